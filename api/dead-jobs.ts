/**
 * Jobs that failed for good, across all queues. Opened by api/main.ts; called by api/graphql/dead-job.ts.
 */
import { MusterError } from '../platform/errors.ts';
import { type Queue, type QueueBackend, type QueueName, queueNames } from '../platform/queue.ts';

/** A job that failed for good. Times are ISO 8601, UTC. Its data stays inside: it may concern a tenant's devices. */
export interface DeadJob {
  readonly queue: QueueName;
  readonly jobId: string;
  readonly name: string;
  readonly attempts: number;
  /** Why it failed last. */
  readonly reason: string;
  readonly queuedAt: string;
  readonly failedAt: string | null;
}

export interface DeadJobs {
  /** The dead jobs of a queue, or of every queue, the latest first, at most `limit` of each queue. */
  list(queue: QueueName | null, limit: number): Promise<readonly DeadJob[]>;
  /** How many there are. */
  count(): Promise<number>;
  /** Runs a dead job again from its first attempt; false when it is not there. */
  retry(queue: QueueName, jobId: string): Promise<boolean>;
  /** Forgets a dead job; false when it is not there. */
  discard(queue: QueueName, jobId: string): Promise<boolean>;
  close(): Promise<void>;
}

const unavailable = (cause: unknown): never => {
  throw new MusterError(
    'dependency-unavailable',
    `job queues: ${cause instanceof Error ? cause.message : String(cause)}`,
    { cause },
  );
};

const timeOf = (ms: number | undefined): string | null =>
  ms === undefined ? null : new Date(ms).toISOString();

const deadJobsOf = async (name: QueueName, queue: Queue, limit: number): Promise<DeadJob[]> =>
  (await queue.getFailed(0, limit - 1)).map((job) => ({
    queue: name,
    jobId: job.id ?? '',
    name: job.name,
    attempts: job.attemptsMade,
    reason: job.failedReason ?? '',
    queuedAt: timeOf(job.timestamp) ?? '',
    failedAt: timeOf(job.finishedOn),
  }));

/** Opens the queues at their first use, so that a server without dead jobs to show never connects. */
export const openDeadJobs = (backend: QueueBackend): DeadJobs => {
  const opened = new Map<QueueName, Queue>();
  const queueOf = (name: QueueName): Queue => {
    const queue = opened.get(name) ?? backend.queue(name);
    opened.set(name, queue);
    return queue;
  };
  const find = async (name: QueueName, jobId: string) => {
    const job = await queueOf(name).getJob(jobId);
    return job && (await job.isFailed()) ? job : undefined;
  };
  return {
    async list(queue, limit) {
      const names = queue === null ? queueNames : [queue];
      const lists = await Promise.all(names.map((name) => deadJobsOf(name, queueOf(name), limit))).catch(
        unavailable,
      );
      return lists.flat().sort((a, b) => (b.failedAt ?? '').localeCompare(a.failedAt ?? ''));
    },
    async count() {
      const counts = await Promise.all(queueNames.map((name) => queueOf(name).getFailedCount())).catch(
        unavailable,
      );
      return counts.reduce((sum, count) => sum + count, 0);
    },
    async retry(queue, jobId) {
      const job = await find(queue, jobId).catch(unavailable);
      await job?.retry('failed', { resetAttemptsMade: true });
      return job !== undefined;
    },
    async discard(queue, jobId) {
      const job = await find(queue, jobId).catch(unavailable);
      await job?.remove();
      return job !== undefined;
    },
    async close() {
      await Promise.all([...opened.values()].map((queue) => queue.close()));
      opened.clear();
    },
  };
};
