/**
 * Job: binds a device that was seen at the mail gate, where the tenant wants that and only one device can be meant: the
 * user's only enrolled one without an EAS id, of the platform that the phone says it is. Else it stays in the quarantine.
 * Queued by react.ts.
 */
import { mailSightingDecider } from '../domain/mail-sighting/decide.ts';
import { isRefusal } from '../domain/refusals.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { bindMailDevice, platformSeen } from '../platform/bind-mail-device.ts';
import { listMailCandidates } from '../projections/devices.ts';
import { mailVerdictsOfEasId } from '../projections/mail.ts';
import { causeOf } from './cause.ts';
import type { JobKind } from './jobs.ts';
import { untilProjected } from './pages.ts';

export const bindSeenDevice: JobKind<'bind-mail-device'> = {
  queue: 'bind-mail-device',
  async run(job, parts) {
    const { origin, sightingId } = job.data;
    const { tenantId } = origin;
    const { handler, sql } = parts.deps;
    const { state: tenant } = await handler.load(tenantDecider, { tenantId, id: tenantId });
    if (tenant.status === 'none' || tenant.unknownMailDevices !== 'bind') return { outcome: 'not-wanted' };
    const { state: seen } = await handler.load(mailSightingDecider, { tenantId, id: sightingId });
    if (seen.status !== 'open') return { outcome: 'settled' };
    await untilProjected(parts, BigInt(origin.position));
    const [candidate, ...more] = await listMailCandidates(sql, tenantId, seen.user);
    if (candidate === undefined || more.length > 0) return { outcome: 'ambiguous' };
    if (platformSeen(seen) !== candidate.platform) return { outcome: 'other-platform' };
    const holders = (await mailVerdictsOfEasId(sql, tenantId, seen.easDeviceId)).map(
      ({ deviceId }) => deviceId,
    );
    const { deviceId } = candidate;
    const binding = { tenantId, sightingId, deviceId, holders, automatically: true };
    const bound = await bindMailDevice(handler, binding, causeOf('bind-mail-device', job.id, origin));
    // It waits for an administrator then, who is told the same.
    return isRefusal(bound) ? { outcome: bound.refused } : { outcome: 'bound', deviceId };
  },
};
