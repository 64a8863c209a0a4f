/**
 * Job: after a policy was revised, wakes the devices that have it. Queued by react.ts; runs wake-device.ts for each.
 */
import { listDevices } from '../projections/devices.ts';
import type { JobKind, JobRequest } from './jobs.ts';
import { everyPage, untilProjected } from './pages.ts';

export const wakePolicyDevices: JobKind<'wake-policy-devices'> = {
  queue: 'wake-policy-devices',
  concurrency: 2,
  async run(job, parts) {
    const { origin, policyId } = job.data;
    await untilProjected(parts, BigInt(origin.position));
    let devices = 0;
    const pages = everyPage(parts, (page) =>
      listDevices(parts.deps.sql, origin.tenantId, { status: 'enrolled' }, page),
    );
    for await (const rows of pages) {
      const concerned = rows.filter(({ policies }) =>
        Object.values(policies).some((assigned) => assigned.policyId === policyId),
      );
      await parts.queues.add(
        concerned.map(
          ({ deviceId }): JobRequest => ({
            queue: 'wake-device',
            jobId: `${job.id}.${deviceId}`,
            data: { origin, deviceId, revision: null },
          }),
        ),
      );
      devices += concerned.length;
      await job.progress({ devices });
    }
    return { devices };
  },
};
