/**
 * Keeps values unique that people type at sign-in: a tenant's short name in the installation, an account's e-mail in
 * its tenant. Called by api/bootstrap.ts and by the mutations that create tenants and accounts, and by sign-in.
 */
import { createHash } from 'node:crypto';
import { accountDecider } from '../domain/account/decide.ts';
import type { AccountId, TenantId } from '../domain/ids.ts';
import { isRefusal, type Refusal } from '../domain/refusals.ts';
import { type ReservationCommand, reservationDecider } from '../domain/reservation/decide.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { operatorTenantId } from '../domain/tenant/tenant.ts';
import type { Cause, Handler } from '../platform/handle.ts';

/** A value that is unique: a tenant's short name, or an account's e-mail within `tenantId`. */
export type Unique =
  | { readonly kind: 'tenant-slug'; readonly value: string }
  | { readonly kind: 'account-email'; readonly value: string; readonly tenantId: TenantId };

const streamOf = (unique: Unique): { tenantId: TenantId; id: string } => ({
  tenantId: unique.kind === 'tenant-slug' ? operatorTenantId : unique.tenantId,
  id: createHash('sha256')
    .update(JSON.stringify([unique.kind, unique.value]))
    .digest('hex'),
});

const holderExists = async (handler: Handler, unique: Unique, ownerId: string): Promise<boolean> => {
  const { state } =
    unique.kind === 'tenant-slug'
      ? await handler.load(tenantDecider, { tenantId: ownerId as TenantId, id: ownerId })
      : await handler.load(accountDecider, { tenantId: unique.tenantId, id: ownerId });
  return state.status !== 'none';
};

/** Reserves a value for an owner about to be created; the refusal `name-taken` when another one has it. */
export const reserve = async (
  handler: Handler,
  unique: Unique,
  ownerId: string,
  cause: Cause,
): Promise<Refusal | undefined> => {
  const held = await holderOf(handler, unique);
  const holderMissing = held !== null && held !== ownerId && !(await holderExists(handler, unique, held));
  const reserved = await handler.handle(
    reservationDecider,
    streamOf(unique),
    (now): ReservationCommand => ({
      type: 'ReserveValue',
      kind: unique.kind,
      ownerId,
      now,
      holderMissing,
    }),
    cause,
  );
  if (!isRefusal(reserved)) return undefined;
  return { ...reserved, field: unique.kind === 'tenant-slug' ? 'slug' : 'email' };
};

/** The id of the tenant or account that holds a value; null when nobody does. */
export const holderOf = async (
  handler: Handler,
  unique: Unique,
  options: { maxAgeMs?: number } = {},
): Promise<string | null> => {
  const { state } = await handler.load(reservationDecider, streamOf(unique), options);
  return state.status === 'held' ? state.ownerId : null;
};

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
