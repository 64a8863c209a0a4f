/**
 * Binds a device that was seen at the mail gate to the enrolled device that it is: from then on the verdict of the device
 * is that of its EAS id. Called by api/graphql/mail-sighting.ts and by the job of the tenant's rule.
 */
import { deviceDecider } from '../domain/device/decide.ts';
import type { DeviceId, MailSightingId, TenantId } from '../domain/ids.ts';
import { mailSightingDecider } from '../domain/mail-sighting/decide.ts';
import type { Sighting } from '../domain/mail-sighting/mail-sighting.ts';
import { isRefusal, type Refusal, refuse } from '../domain/refusals.ts';
import type { Platform } from '../domain/text.ts';
import { derivedId } from './derived-id.ts';
import type { Cause, Handler } from './handle.ts';
import { isSameUser } from './mail-user.ts';

/** Ids of sightings say nothing of a time: the same user and device are one sighting, whenever. */
const epoch = '1970-01-01T00:00:00.000Z';

/** The sighting of a user with an EAS id. */
export const mailSightingIdOf = (
  tenantId: TenantId,
  { user, easDeviceId }: Pick<Sighting, 'user' | 'easDeviceId'>,
): MailSightingId => derivedId('sgt', epoch, `${tenantId}/${user}/${easDeviceId.toUpperCase()}`);

/** The platform that a phone says it is of; null when it does not say so plainly, as apps for several do not. */
export const platformSeen = ({
  deviceType,
  userAgent,
}: Pick<Sighting, 'deviceType' | 'userAgent'>): Platform | null => {
  const said = `${deviceType ?? ''} ${userAgent ?? ''}`;
  // Outlook calls itself by both names, whatever it runs on.
  if (/iOS-Android/i.test(said)) return null;
  if (/\b(iPhone|iPad|iPod)\b|\bApple-/i.test(said)) return 'ios';
  if (/android|^SAMSUNG|^SM-/i.test(said)) return 'android';
  if (/^(WP\d*|WindowsMail|WindowsOutlook15|UniversalOutlook)\b/i.test(said)) return 'windows';
  return null;
};

/** What is bound to what; `holders` are devices that are known by the EAS id already. */
export interface MailBinding {
  readonly tenantId: TenantId;
  readonly sightingId: MailSightingId;
  readonly deviceId: DeviceId;
  readonly holders: readonly DeviceId[];
  readonly automatically: boolean;
}

/** Binds, and answers the log position of what changed; a repetition changes nothing. */
export const bindMailDevice = async (
  handler: Handler,
  { tenantId, sightingId, deviceId, holders, automatically }: MailBinding,
  cause: Cause,
): Promise<{ readonly position: bigint | undefined } | Refusal> => {
  const device = { tenantId, id: deviceId };
  const [{ state: seen }, { state: owner }, ...others] = await Promise.all([
    handler.load(mailSightingDecider, { tenantId, id: sightingId }),
    handler.load(deviceDecider, device),
    ...holders
      .filter((holder) => holder !== deviceId)
      .map((id) => handler.load(deviceDecider, { tenantId, id })),
  ]);
  if (seen.status === 'none') return refuse('mail-sighting-missing', { field: 'sightingId' });
  if (owner.status === 'none') return refuse('device-missing', { field: 'deviceId' });
  if (owner.userEmail === null || !isSameUser(seen.user, owner.userEmail))
    return refuse('mail-device-mismatch', { field: 'deviceId', detail: `${seen.user} signed in` });
  const isHeld = others.some(
    ({ state }) =>
      state.status === 'enrolled' && state.inventory.easDeviceId?.toUpperCase() === seen.easDeviceId,
  );
  if (isHeld) return refuse('mail-device-taken', { field: 'sightingId' });
  const { easDeviceId } = seen;
  const bound = await handler.handle(deviceDecider, device, { type: 'BindEasId', easDeviceId }, cause);
  if (isRefusal(bound)) return bound;
  const settled = await handler.handle(
    mailSightingDecider,
    { tenantId, id: sightingId },
    { type: 'BindMailSighting', deviceId, automatically },
    cause,
  );
  if (isRefusal(settled)) return settled;
  return { position: settled.position ?? bound.position };
};
