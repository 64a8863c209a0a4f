/**
 * Job: reviews the devices that time alone concerns: a verdict falls due (sync gap) or a task expires. Runs by schedule,
 * every reviewIntervalSeconds, in one process at a time.
 */
import { isoTime } from '../platform/clock.ts';
import { type DueDevice, listDueDevices } from '../projections/devices.ts';
import { causeOf } from './cause.ts';
import { eachOf } from './in-turn.ts';
import type { JobKind } from './jobs.ts';
import { untilProjected } from './pages.ts';
import { reviewDevice, reviewsAtOnce } from './review.ts';

const pageSize = 500;

const nameOf = ({ tenantId, deviceId }: DueDevice): string => `${tenantId}/${deviceId}`;

export const reviewDevices: JobKind<'review-devices'> = {
  queue: 'review-devices',
  concurrency: 1,
  async run(job, parts) {
    const now = isoTime(parts.deps.clock());
    const reviewed = new Set<string>();
    let changed = 0;
    for (;;) {
      parts.stopping.throwIfAborted();
      const due = await listDueDevices(parts.deps.sql, now, pageSize);
      // Rows that this run has dealt with are there still when nothing changed: they must not keep it going.
      const fresh = due.filter((device) => !reviewed.has(nameOf(device)));
      let position: bigint | undefined;
      await eachOf(fresh, reviewsAtOnce, async (device) => {
        reviewed.add(nameOf(device));
        const cause = causeOf('review-devices', `${job.id}.${device.deviceId}`);
        const reached = await reviewDevice(parts, device, cause);
        if (reached === undefined) return;
        changed += 1;
        if (position === undefined || reached > position) position = reached;
      });
      if (due.length < pageSize) return { reviewed: reviewed.size, changed };
      if (position === undefined) {
        parts.deps.log.error({ due: due.length }, 'devices stay due although their review changes nothing');
        return { reviewed: reviewed.size, changed };
      }
      await untilProjected(parts, position);
    }
  },
};
