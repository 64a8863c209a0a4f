/**
 * Tells whether an account is the last one that can administer its tenant, and keeps that true while it is decided on.
 * Called by api/graphql/account.ts before an account is disabled.
 */
import type { AccountState } from '../domain/account/account.ts';
import { accountDecider } from '../domain/account/decide.ts';
import type { Role } from '../domain/account/roles.ts';
import type { AccountId, TenantId } from '../domain/ids.ts';
import { operatorTenantId } from '../domain/tenant/tenant.ts';
import type { Deps } from '../platform/deps.ts';
import { MusterError } from '../platform/errors.ts';
import { transaction } from '../platform/sql.ts';
import { listAccountsOfRole } from '../projections/accounts.ts';

/** The role without which nobody could administer a tenant. */
const indispensable = (tenantId: TenantId): Role =>
  tenantId === operatorTenantId ? 'operator' : 'administrator';

const isEnabled = (state: AccountState, role: Role): boolean =>
  state.status === 'enabled' && state.role === role;

/** Whether no other enabled account has the role that `accountId` has; read models name whom to ask, the log answers. */
const isLast = async (deps: Deps, tenantId: TenantId, accountId: AccountId): Promise<boolean> => {
  const role = indispensable(tenantId);
  const { state } = await deps.handler.load(accountDecider, { tenantId, id: accountId });
  if (!isEnabled(state, role)) return false;
  for (const other of await listAccountsOfRole(deps.sql, tenantId, role)) {
    if (other === accountId) continue;
    const { state: found } = await deps.handler.load(accountDecider, { tenantId, id: other });
    if (isEnabled(found, role)) return false;
  }
  return true;
};

/**
 * Runs `work`, one at a time for each tenant in every process, knowing whether the account is the last. Who comes while
 * another is at it is `too-busy`: waiting would hold a connection that the other one may need.
 */
export const whileLastIsKnown = <T>(
  deps: Deps,
  tenantId: TenantId,
  accountId: AccountId,
  work: (last: boolean) => Promise<T>,
): Promise<T> =>
  transaction(deps.sql, async (tx) => {
    const [lock] = await tx<{ taken: boolean }[]>`
      select pg_try_advisory_xact_lock(hashtext('muster-administrators'), hashtext(${tenantId})) as taken`;
    if (!lock?.taken) throw new MusterError('too-busy', 'another account is being disabled');
    return work(await isLast(deps, tenantId, accountId));
  });
