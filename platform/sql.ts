/**
 * PostgreSQL through postgres.js: pools, libpq-style URLs with socket folders, and tenant-bound transactions.
 * Pools are constructed in each main.ts and passed as arguments.
 */
import postgres from 'postgres';
import type { TenantId } from '../domain/ids.ts';
import { MusterError } from './errors.ts';

/** A postgres.js pool, or a transaction of one. */
export type Sql = postgres.Sql<{ bigint: bigint }>;
export type Transaction = postgres.TransactionSql<{ bigint: bigint }>;

/** Connection options that postgres.js and pg both understand. `host` may be the folder of a unix socket. */
export interface DatabaseOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password?: string;
  readonly database: string;
  readonly ssl?: 'require' | 'verify-full';
}

/** Parses `postgres://user:password@host:port/database?host=/socket/folder&sslmode=require` (libpq's URI form). */
export const databaseOptions = (url: string): DatabaseOptions => {
  const parsed = new URL(url);
  const password = decodeURIComponent(parsed.password);
  const sslMode = parsed.searchParams.get('sslmode');
  return {
    host: parsed.searchParams.get('host') ?? parsed.hostname,
    port: Number(parsed.searchParams.get('port') ?? (parsed.port || 5432)),
    user: decodeURIComponent(parsed.username) || 'postgres',
    ...(password === '' ? {} : { password }),
    database: decodeURIComponent(parsed.pathname.slice(1)) || 'postgres',
    ...(sslMode === 'require' || sslMode === 'verify-full' ? { ssl: sslMode } : {}),
  };
};

/** Opens a pool of at most `max` connections. bigint columns arrive as JavaScript bigint. */
export const openSql = (url: string, options: { max?: number; applicationName?: string } = {}): Sql => {
  const { host, port, ...rest } = databaseOptions(url);
  return postgres({
    ...rest,
    // postgres.js reads a unix socket from `path`, not from a folder in `host`.
    ...(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }),
    max: options.max ?? 10,
    connection: { application_name: options.applicationName ?? 'muster' },
    types: { bigint: postgres.BigInt },
    onnotice: () => {},
  } as unknown as postgres.Options<{ bigint: postgres.PostgresType<bigint> }>) as unknown as Sql;
};

/** The role that reads on behalf of a tenant: owns nothing, cannot bypass row-level security. */
export const readerRole = 'muster_reader';

/** True when a query failed because its connection is gone: closed, reset, or ended by the server (FATAL). */
const isLoss = (error: unknown): boolean => {
  if (typeof error !== 'object' || error === null || !('query' in error)) return false;
  const { code, severity_local: severity } = error as { code?: string; severity_local?: string };
  return (
    severity === 'FATAL' || severity === 'PANIC' || /^(CONNECTION_|ECONN|EPIPE|ETIMEDOUT)/.test(code ?? '')
  );
};

/**
 * Runs `work` in a transaction: committed when it resolves, rolled back when it rejects.
 *
 * Instead of `sql.begin`, because postgres.js 3.4.9 sends its rollback over the very connection whose loss made the
 * work fail, which ends the process (porsager/postgres#1208). Here a lost connection rejects the transaction and
 * nothing more is sent: neither the rollback nor what the work still wanted to do.
 */
export const transaction = <T>(sql: Sql, work: (tx: Transaction) => Promise<T>): Promise<T> =>
  new Promise<T>((resolve, reject) => {
    let over = false;
    const stillOpen = (): void => {
      if (over) throw new MusterError('dependency-unavailable', 'the transaction is over');
    };
    const guard = (tx: Transaction): Transaction =>
      new Proxy(tx, {
        apply(target, self, args) {
          stillOpen();
          return Reflect.apply(target, self, args);
        },
        get(target, name) {
          if (name === 'unsafe') stillOpen();
          return Reflect.get(target, name);
        },
      });
    sql
      .begin(
        (tx) =>
          new Promise<T>((done, fail) => {
            work(guard(tx as Transaction)).then(done, (error: unknown) => {
              if (isLoss(error) || over) reject(error);
              else fail(error);
            });
          }),
      )
      .finally(() => {
        over = true;
      })
      .then((result) => resolve(result as T), reject);
  });

/**
 * Runs `read` in a transaction that sees the rows of `tenantId` alone: it takes the reader role and binds the
 * tenant for row-level security, both for this transaction only.
 */
export const asTenant = <T>(
  sql: Sql,
  tenantId: TenantId,
  read: (tx: Transaction) => Promise<T>,
): Promise<T> =>
  transaction(sql, (tx) => {
    tx`select set_config('role', ${readerRole}, true), set_config('muster.tenant_id', ${tenantId}, true)`.execute();
    return read(tx);
  });
