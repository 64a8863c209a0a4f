/**
 * Who signs in: the account behind a tenant's short name and an e-mail, both reserved in platform/reservation.ts.
 * Called by api/bootstrap.ts, by the mutations that create tenants and accounts, and by sign-in.
 */
import type { AccountId, TenantId } from '../domain/ids.ts';
import type { Handler } from '../platform/handle.ts';
import { holderOf } from '../platform/reservation.ts';

export { holderOf, operatorTenantId, reserve, type Unique } from '../platform/reservation.ts';

/** The tenant of a short name; null when there is none. */
export const findTenantOf = async (handler: Handler, tenantSlug: string): Promise<TenantId | null> =>
  (await holderOf(
    handler,
    { kind: 'tenant-slug', value: tenantSlug },
    { maxAgeMs: 2000 },
  )) as TenantId | null;

/** The account of an e-mail in a tenant; null when there is none. */
export const findAccountOf = async (
  handler: Handler,
  tenantId: TenantId,
  email: string,
): Promise<AccountId | null> =>
  (await holderOf(
    handler,
    { kind: 'account-email', value: email, tenantId },
    { maxAgeMs: 2000 },
  )) as AccountId | null;
