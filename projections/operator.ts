/**
 * The few reads across tenants that exist: by a role of its own, which sees only the columns that a projection gives
 * it. Called by the named functions of projections/{tenants,enrolments,devices}.ts and by nothing else.
 */
import { type Sql, type Transaction, transaction } from '../platform/sql.ts';

/** The role that reads across tenants: owns nothing, cannot bypass row-level security. */
export const operatorRole = 'muster_operator';

/** Runs `read` in a transaction that sees, of every tenant, the views made for the operator. */
export const asOperator = <T>(sql: Sql, read: (tx: Transaction) => Promise<T>): Promise<T> =>
  transaction(sql, (tx) => {
    tx`select set_config('role', ${operatorRole}, true)`.execute();
    return read(tx);
  });
