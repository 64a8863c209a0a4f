/**
 * Job: finds the tenants whose directories are due for a sync and queues one for each. Runs by schedule, in one
 * process at a time; no tenant has a timer of its own.
 */
import { isoTime } from '../platform/clock.ts';
import { listDueDirectories } from '../projections/directories.ts';
import type { JobKind } from './jobs.ts';

const mostPerRun = 500;

export const reviewDirectories: JobKind<'review-directories'> = {
  queue: 'review-directories',
  concurrency: 1,
  async run(_job, { deps, queues }) {
    const due = await listDueDirectories(deps.sql, isoTime(deps.clock()), mostPerRun);
    await queues.add(
      due.map(({ tenantId, syncDueAt }) => ({
        queue: 'sync-directory',
        // BullMQ takes no colon in an id. A sync that is due is queued once, however often it is found.
        jobId: `${tenantId}.${syncDueAt.replaceAll(':', '-')}`,
        data: { tenantId },
      })),
    );
    return { due: due.length };
  },
};
