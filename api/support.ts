/**
 * Support access: an operator enters a tenant that grants it, and leaves again; both are in both tenants' history.
 * Called by api/graphql/{support,session}.ts.
 */
import { accountDecider } from '../domain/account/decide.ts';
import type { AccountId, TenantId } from '../domain/ids.ts';
import { isRefusal, type Refusal } from '../domain/refusals.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { standingSupport } from '../domain/tenant/standing.ts';
import { operatorTenantId, type SupportGrant } from '../domain/tenant/tenant.ts';
import { isoTime } from '../platform/clock.ts';
import type { Deps } from '../platform/deps.ts';
import type { Cause } from '../platform/handle.ts';
import type { AccountCredential, Credentials } from './credentials.ts';

interface Parts {
  readonly deps: Pick<Deps, 'handler' | 'clock'>;
  readonly credentials: Credentials;
}

/** A tenant as entered: the token is shown this once. `position` is of the last event. */
export interface Entered extends SupportGrant {
  readonly token: string;
  readonly position: bigint | undefined;
}

const supportActor = (accountId: AccountId) => ({ kind: 'account', id: accountId, support: true }) as const;

/** Enters a tenant as support; refuses `support-access-missing`, `tenant-deleted` and `tenant-missing`. */
export const enterTenant = async (
  { deps, credentials }: Parts,
  { accountId, token }: Pick<AccountCredential, 'accountId' | 'token'>,
  tenantId: TenantId,
  requestId: string,
): Promise<Entered | Refusal> => {
  const cause: Cause = { actor: supportActor(accountId), commandId: requestId };
  const used = await deps.handler.handle(
    tenantDecider,
    { tenantId, id: tenantId },
    (now) => ({ type: 'UseSupportAccess' as const, now, accountId }),
    cause,
  );
  if (isRefusal(used)) return used;
  const grant = standingSupport(used.state, isoTime(deps.clock()));
  if (grant === null) return { refused: 'support-access-missing', field: 'tenantId' };
  const entered = await deps.handler.handle(
    accountDecider,
    { tenantId: operatorTenantId, id: accountId },
    { type: 'EnterTenant', tenantId, ...grant },
    { ...cause, actor: { kind: 'account', id: accountId } },
  );
  if (isRefusal(entered)) return entered;
  const own = await credentials.supportSessions.open({ tenantId, accountId }, token, grant.until);
  return { ...grant, token: own, position: entered.position };
};

const recordLeft = (
  { deps }: Pick<Parts, 'deps'>,
  accountId: AccountId,
  tenantId: TenantId,
  reason: 'left' | 'revoked',
  cause: Cause,
) =>
  deps.handler.handle(
    accountDecider,
    { tenantId: operatorTenantId, id: accountId },
    { type: 'LeaveTenant', tenantId, reason },
    cause,
  );

/** Ends the support session of the caller. */
export const leaveTenant = async (
  parts: Parts,
  { accountId, tenantId, token }: AccountCredential,
  requestId: string,
): Promise<void> => {
  await parts.credentials.supportSessions.end(token);
  const cause: Cause = { actor: { kind: 'account', id: accountId }, commandId: requestId };
  await recordLeft(parts, accountId, tenantId, 'left', cause);
};

/** Ends every support session within a tenant, after its grant was revoked or it was deleted. */
export const endSupport = async (parts: Parts, tenantId: TenantId, requestId: string): Promise<void> => {
  const accounts = await parts.credentials.supportSessions.endWithin(tenantId);
  const cause: Cause = { actor: { kind: 'system', id: 'support' }, commandId: requestId };
  for (const accountId of accounts) await recordLeft(parts, accountId, tenantId, 'revoked', cause);
};
