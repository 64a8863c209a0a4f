/**
 * Waits for jobs by their state. BullMQ's QueueEvents would be shorter, but on PostgreSQL they pass over events whose
 * transactions commit out of order. Called by the tests of workers/ and platform/queue.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Job, Queue } from '../../platform/queue.ts';

const lookEveryMs = 15;

/** Resolves with the job, which need not have been added yet, once it is finished or dead. */
export const untilSettled = async (queue: Queue, jobId: string): Promise<Job> => {
  for (;;) {
    const job = await queue.getJob(jobId);
    if (job?.finishedOn !== undefined) return job;
    await pause(lookEveryMs);
  }
};

/** Resolves with the job once an attempt has failed and another one is to come. */
export const untilHeld = async (queue: Queue, jobId: string): Promise<Job> => {
  for (;;) {
    const job = await queue.getJob(jobId);
    if (job !== undefined && job.attemptsMade > 0 && (await job.isDelayed())) return job;
    await pause(lookEveryMs);
  }
};
