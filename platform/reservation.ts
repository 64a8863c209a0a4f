/**
 * Keeps values unique that people type at sign-in: a tenant's short name in the installation, an account's and a
 * user's e-mail in its tenant, who they are at an identity provider, and the certificate by which a proxy is known in
 * the installation.
 * Called by api/reservation.ts, api/identify/proxy.ts and by jobs that create users.
 */
import { createHash } from 'node:crypto';
import { accountDecider } from '../domain/account/decide.ts';
import type { Identity } from '../domain/identity-provider/identity.ts';
import type { ProxyId, TenantId } from '../domain/ids.ts';
import { proxyDecider } from '../domain/proxy/decide.ts';
import { isRefusal, type Refusal } from '../domain/refusals.ts';
import { type ReservationCommand, reservationDecider } from '../domain/reservation/decide.ts';
import type { ReservedKind } from '../domain/reservation/reservation.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { userDecider } from '../domain/user/decide.ts';
import type { Cause, Handler } from './handle.ts';

/** The operator tenant's id, the same in every installation: processes that start together create one. */
export const operatorTenantId = `ten${'0'.repeat(26)}` as TenantId;

/**
 * A value that is unique: a tenant's short name, the digest of a proxy's certificate, or an account's or a user's e-mail
 * or identity within `tenantId`.
 */
export type Unique =
  | { readonly kind: 'tenant-slug' | 'proxy-certificate'; readonly value: string }
  | {
      readonly kind: Exclude<ReservedKind, 'tenant-slug' | 'proxy-certificate'>;
      readonly value: string;
      readonly tenantId: TenantId;
    };

/** An identity as a value that is unique. */
export const identityKey = ({ issuer, subject }: Identity): string => JSON.stringify([issuer, subject]);

const fields: Readonly<Record<ReservedKind, string>> = {
  'tenant-slug': 'slug',
  'account-email': 'email',
  'user-email': 'email',
  'account-identity': 'subject',
  'user-identity': 'subject',
  'proxy-certificate': 'certificatePem',
};

const streamOf = (unique: Unique): { tenantId: TenantId; id: string } => ({
  tenantId: 'tenantId' in unique ? unique.tenantId : operatorTenantId,
  id: createHash('sha256')
    .update(JSON.stringify([unique.kind, unique.value]))
    .digest('hex'),
});

/** Who holds a certificate: a proxy of a tenant. */
export const proxyOwner = (tenantId: TenantId, proxyId: ProxyId): string => `${tenantId}_${proxyId}`;

/** The tenant and proxy that proxyOwner named. */
export const ofProxyOwner = (ownerId: string): { readonly tenantId: TenantId; readonly id: ProxyId } => {
  const [tenantId, id] = ownerId.split('_') as [TenantId, ProxyId];
  return { tenantId, id };
};

const holderExists = async (handler: Handler, unique: Unique, ownerId: string): Promise<boolean> => {
  if (unique.kind === 'proxy-certificate')
    return (await handler.load(proxyDecider, ofProxyOwner(ownerId))).state.status === 'active';
  if (unique.kind === 'user-email') {
    const { state } = await handler.load(userDecider, { tenantId: unique.tenantId, id: ownerId });
    // A removed user gives the address back; should that have failed, it is free for the next who asks.
    return state.status !== 'none' && state.status !== 'removed';
  }
  // An identity is reserved before it is bound: who was not bound to it does not hold it.
  if (unique.kind === 'user-identity') {
    const { state } = await handler.load(userDecider, { tenantId: unique.tenantId, id: ownerId });
    if (state.status === 'none' || state.status === 'removed' || state.identity === null) return false;
    return identityKey(state.identity) === unique.value;
  }
  if (unique.kind === 'account-identity') {
    const { state } = await handler.load(accountDecider, { tenantId: unique.tenantId, id: ownerId });
    return state.status !== 'none' && state.identity !== null && identityKey(state.identity) === unique.value;
  }
  const { state } = !('tenantId' in unique)
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
  return { ...reserved, field: fields[unique.kind] };
};

/** Who holds a value: the id of a tenant, account or user, or what proxyOwner makes; null when nobody does. */
export const holderOf = async (
  handler: Handler,
  unique: Unique,
  options: { maxAgeMs?: number } = {},
): Promise<string | null> => {
  const { state } = await handler.load(reservationDecider, streamOf(unique), options);
  return state.status === 'held' ? state.ownerId : null;
};

/** Gives a value back that `ownerId` holds; nothing happens when somebody else does. */
export const release = async (
  handler: Handler,
  unique: Unique,
  ownerId: string,
  cause: Cause,
): Promise<void> => {
  const command = { type: 'ReleaseReservation', ownerId } as const;
  const released = await handler.handle(reservationDecider, streamOf(unique), command, cause);
  if (isRefusal(released)) throw new TypeError(`releasing was refused: ${released.refused}`);
};
