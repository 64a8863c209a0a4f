/**
 * Job: finds the Exchange connections whose mailboxes are due for a comparison and queues one for each. Runs by
 * schedule, in one process at a time; no tenant has a timer of its own.
 */
import { isoTime } from '../platform/clock.ts';
import { listDueExchanges } from '../projections/exchange.ts';
import type { JobKind } from './jobs.ts';

const mostPerRun = 500;

export const reviewExchange: JobKind<'review-exchange'> = {
  queue: 'review-exchange',
  concurrency: 1,
  async run(_job, { deps, queues }) {
    const due = await listDueExchanges(deps.sql, isoTime(deps.clock()), mostPerRun);
    await queues.add(
      due.map(({ tenantId, name, dueAt }) => ({
        queue: 'reconcile-exchange',
        // BullMQ takes no colon in an id. One that is due is queued once, however often it is found.
        jobId: `${tenantId}.${name}.${dueAt.replaceAll(':', '-')}`,
        data: { tenantId, name, dryRun: false },
      })),
    );
    return { due: due.length };
  },
};
