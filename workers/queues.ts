/**
 * Every queue of Muster, opened for adding jobs. Called by main.ts; used by reactor.ts and by jobs that fan out.
 */
import { jobDefaults, type Queue, type QueueBackend, queueNames } from '../platform/queue.ts';
import type { JobQueues, JobRequest } from './jobs.ts';

const addTo = async (queue: Queue, requests: readonly JobRequest[]): Promise<void> => {
  const jobs = requests.map(({ queue: name, data, jobId }) => ({ name, data, opts: { jobId } }));
  if (jobs.length > 0) await queue.addBulk(jobs);
};

/** Opens every queue and waits until the backend answers. */
export const openJobQueues = async (backend: QueueBackend): Promise<JobQueues> => {
  const queues = new Map(
    queueNames.map((name) => [name, backend.queue(name, { defaultJobOptions: jobDefaults })]),
  );
  await Promise.all([...queues.values()].map((queue) => queue.waitUntilReady()));
  return {
    async add(requests) {
      for (const [name, queue] of queues) {
        await addTo(
          queue,
          requests.filter((request) => request.queue === name),
        );
      }
    },
    async schedule(name, everyMs) {
      // The next run makes up for one that failed: it is not repeated, and few are kept to look at.
      const opts = { attempts: 1, removeOnComplete: { count: 10 }, removeOnFail: { count: 100 } };
      await queues.get(name)?.upsertJobScheduler(name, { every: everyMs }, { name, data: {}, opts });
    },
    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
    },
  };
};
