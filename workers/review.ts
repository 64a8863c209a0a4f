/**
 * Reviews one device: its verdict is reached again under the compliance policy in force, and its tasks expire.
 * Called by review-devices.ts (by schedule) and review-fleet.ts (after a policy changed).
 */
import { deviceDecider } from '../domain/device/decide.ts';
import type { DeviceId, TenantId } from '../domain/ids.ts';
import { isRefusal } from '../domain/refusals.ts';
import { complianceInForce } from '../platform/compliance-in-force.ts';
import type { Cause } from '../platform/handle.ts';
import type { Parts } from './jobs.ts';

/** Devices that one job reviews at once. */
export const reviewsAtOnce = 8;

/**
 * Reviews a device; answers the log position of what followed, undefined when nothing changed. The policy is found
 * inside the command: should the device join another group meanwhile, the append conflicts and both are read again.
 * It is read anew each time, lest a verdict under an older version follow one under a newer.
 */
export const reviewDevice = async (
  { deps: { handler } }: Parts,
  { tenantId, deviceId }: { tenantId: TenantId; deviceId: DeviceId },
  cause: Cause,
): Promise<bigint | undefined> => {
  const target = { tenantId, id: deviceId };
  const handled = await handler.handle(
    deviceDecider,
    target,
    async (now) => {
      const { state } = await handler.load(deviceDecider, target);
      const compliance = await complianceInForce(handler, tenantId, state.groupId, 0);
      return { type: 'ReviewDevice' as const, now, compliance };
    },
    cause,
  );
  return isRefusal(handled) ? undefined : handled.position;
};
