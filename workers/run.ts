/**
 * Runs the jobs of one queue: hands BullMQ's job to its kind and maps what goes wrong. Called by main.ts.
 */
import { WaitingError } from 'bullmq';
import type { Job, QueueName, Worker } from '../platform/queue.ts';
import { jobError, pauseBefore } from './errors.ts';
import type { JobData, JobKind, Parts } from './jobs.ts';

/** A worker renews its hold on a job well within this time; a job whose worker is gone is taken over after it. */
const lockMs = 15_000;
const stalledCheckMs = 10_000;
/** How often a job may lose its worker before it is dead: a crash is not the job's fault. */
const maximumStalls = 10;

const runJob = async <Name extends QueueName>(
  kind: JobKind<Name>,
  parts: Parts,
  job: Job<JobData[Name]>,
  token: string | undefined,
): Promise<unknown> => {
  try {
    return await kind.run(
      {
        id: job.id as string,
        data: job.data,
        keep: (data) => job.updateData(data),
        progress: (counts) => job.updateProgress({ ...counts }),
      },
      parts,
    );
  } catch (error) {
    if (parts.stopping.aborted && error === parts.stopping.reason) {
      await job.moveToWait(token);
      throw new WaitingError();
    }
    throw jobError(error);
  }
};

/** Starts a worker for one kind of job. It logs each failure once, and death loudly. */
export const runJobs = <Name extends QueueName>(kind: JobKind<Name>, parts: Parts): Worker<JobData[Name]> => {
  const worker = parts.deps.queues.worker<JobData[Name]>(
    kind.queue,
    (job, token) => runJob(kind, parts, job, token),
    {
      concurrency: kind.concurrency ?? parts.config.workerConcurrency,
      lockDuration: lockMs,
      stalledInterval: stalledCheckMs,
      maxStalledCount: maximumStalls,
      settings: { backoffStrategy: (attempts, _type, error) => pauseBefore(attempts, error, Math.random()) },
    },
  );
  const log = parts.deps.log.child({ queue: kind.queue });
  worker.on('failed', (job, err) => {
    const line = { err, jobId: job?.id, attempt: job?.attemptsMade };
    if (job?.finishedOn === undefined) log.warn(line, 'job failed, to be tried again');
    else log.error(line, 'job is dead');
  });
  return worker;
};
