/**
 * Verifies a device's credential: `Authorization: Bearer muster-device.<tenantId>.<deviceId>.<secret>`.
 * Called by sync.ts before anything else of a check-in is looked at, and again on the state it is decided on.
 */
import { deviceDecider } from '../../domain/device/decide.ts';
import type { DeviceState } from '../../domain/device/device.ts';
import type { DeviceId, TenantId } from '../../domain/ids.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Handler } from '../../platform/handle.ts';
import { hashSecret, sameHash } from '../../platform/new-id.ts';

/** What a credential claims: its ids count only once `verify` has accepted the secret's hash. */
export interface Credential {
  readonly tenantId: TenantId;
  readonly deviceId: DeviceId;
  readonly secretHash: string;
}

const idPart = '[0-9a-hjkmnp-tv-z]{26}';
const bearer = new RegExp(`^bearer muster-device\\.(ten${idPart})\\.(dev${idPart})\\.([\\w-]{43})$`, 'i');

/** Writes the credential of a device. `secret` is known to the device alone. */
export const deviceTokenOf = (tenantId: TenantId, deviceId: DeviceId, secret: string): string =>
  `muster-device.${tenantId}.${deviceId}.${secret}`;

const unauthenticated = () => new MusterError('unauthenticated', 'a valid device token is needed');

/** Reads a credential; throws `unauthenticated` when it has not the form of one. */
export const readCredential = (authorization: string | undefined): Credential => {
  const match = authorization === undefined ? null : bearer.exec(authorization);
  if (!match) throw unauthenticated();
  const [, tenantId, deviceId, secret] = match;
  return {
    tenantId: tenantId as TenantId,
    deviceId: deviceId as DeviceId,
    secretHash: hashSecret(secret as string),
  };
};

/** Whether the credential is the one of this device, in constant time. */
const matches = (credential: Credential, state: DeviceState): boolean =>
  state.tokenHash !== null && sameHash(credential.secretHash, state.tokenHash);

/** Throws `unauthenticated` unless the credential is the one of this device. */
export const verify = (credential: Credential, state: DeviceState): void => {
  if (!matches(credential, state)) throw unauthenticated();
};

/**
 * Verifies a credential against the device as cached; what the cache would turn away is looked up in the log before
 * it is believed. A device that was unenrolled passes: the decision tells it so (`device-retired`).
 */
export const identify = async (handler: Handler, authorization: string | undefined): Promise<Credential> => {
  const credential = readCredential(authorization);
  const target = { tenantId: credential.tenantId, id: credential.deviceId };
  const cached = await handler.load(deviceDecider, target, { maxAgeMs: Number.POSITIVE_INFINITY });
  if (!matches(credential, cached.state))
    verify(credential, (await handler.load(deviceDecider, target)).state);
  return credential;
};
