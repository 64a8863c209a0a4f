/**
 * Who signs in: the account behind a tenant's short name and an e-mail, both reserved in platform/reservation.ts.
 * Called by api/bootstrap.ts, by the mutations that create tenants and accounts, and by sign-in.
 */
import type { AccountId, TenantId } from '../domain/ids.ts';
import type { Handler } from '../platform/handle.ts';
import { holderOf } from '../platform/reservation.ts';

export { holderOf, operatorTenantId, reserve, type Unique } from '../platform/reservation.ts';

/** The account behind a tenant's short name and an e-mail; either is null when there is none. */
export const findAccount = async (
  handler: Handler,
  tenantSlug: string,
  email: string,
): Promise<{ tenantId: TenantId; accountId: AccountId | null } | null> => {
  const maxAgeMs = 2000;
  const tenantId = (await holderOf(
    handler,
    { kind: 'tenant-slug', value: tenantSlug },
    { maxAgeMs },
  )) as TenantId | null;
  if (tenantId === null) return null;
  const accountId = await holderOf(handler, { kind: 'account-email', value: email, tenantId }, { maxAgeMs });
  return { tenantId, accountId: accountId as AccountId | null };
};
