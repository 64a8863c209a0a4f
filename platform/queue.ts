/**
 * BullMQ on the configured backend: Redis when REDIS_URL is set, PostgreSQL otherwise; the same API on both.
 * Constructed in workers/main.ts (and by api/main.ts to show dead jobs), passed as an argument.
 */
import {
  createPostgresBackend,
  type Job,
  type JobsOptions,
  Queue,
  QueueEvents,
  type QueueOptions,
  Worker,
  type WorkerOptions,
  withBackend,
} from 'bullmq';
import { Redis } from 'ioredis';
import { databaseOptions } from './sql.ts';

export type { Job, JobsOptions, Queue, QueueEvents, Worker } from 'bullmq';

/** Opens queues, workers and listeners that share one backend; `close` ends every one it opened. */
export interface QueueBackend {
  readonly kind: 'redis' | 'postgres';
  queue(name: string, options?: Omit<QueueOptions, 'connection'>): Queue;
  worker<Data>(
    name: string,
    process: (job: Job<Data>, token?: string, signal?: AbortSignal) => Promise<unknown>,
    options?: Omit<WorkerOptions, 'connection'>,
  ): Worker<Data>;
  /** Tells of completed and failed jobs of a queue, whichever process ran them. */
  events(name: string): QueueEvents;
  close(): Promise<void>;
}

type Closable = { close(): Promise<unknown> };

const backendOf = (
  kind: QueueBackend['kind'],
  open: {
    queue: QueueBackend['queue'];
    worker: QueueBackend['worker'];
    events: QueueBackend['events'];
    close: () => Promise<void>;
  },
): QueueBackend => {
  const opened: Closable[] = [];
  const keep = <T extends Closable>(thing: T): T => {
    opened.push(thing);
    return thing;
  };
  return {
    kind,
    queue: (name, options) => keep(open.queue(name, options)),
    worker: (name, process, options) => keep(open.worker(name, process, options)),
    events: (name) => keep(open.events(name)),
    async close() {
      await Promise.all(opened.splice(0).map((thing) => thing.close()));
      await open.close();
    },
  };
};

const openRedis = (url: string): QueueBackend => {
  // BullMQ needs blocking commands that never give up: its documentation asks for null here.
  const connection = new Redis(url, { maxRetriesPerRequest: null });
  connection.on('error', () => {});
  return backendOf('redis', {
    queue: (name, options) => new Queue(name, { ...options, connection }),
    worker: (name, process, options) => new Worker(name, process, { ...options, connection }),
    events: (name) => new QueueEvents(name, { connection: connection.duplicate() }),
    close: async () => {
      connection.disconnect();
    },
  });
};

const openPostgres = (databaseUrl: string): QueueBackend => {
  const { ssl, ...rest } = databaseOptions(databaseUrl);
  const connection = {
    ...rest,
    ...(ssl ? { ssl: { rejectUnauthorized: ssl === 'verify-full' } } : {}),
    migrate: true,
  };
  const backed = withBackend(createPostgresBackend);
  return backendOf('postgres', {
    queue: (name, options) => new backed.Queue(name, { ...options, connection }) as unknown as Queue,
    worker: (name, process, options) =>
      new backed.Worker(name, process as never, { ...options, connection }) as never,
    events: (name) => new backed.QueueEvents(name, { connection }) as unknown as QueueEvents,
    close: async () => {},
  });
};

/** Opens the backend that the configuration names. */
export const openQueues = (config: { redisUrl?: string | undefined; databaseUrl: string }): QueueBackend =>
  config.redisUrl === undefined ? openPostgres(config.databaseUrl) : openRedis(config.redisUrl);

/** How jobs are kept: retried with growing pauses, the dead ones visible, the finished ones long enough to dedupe. */
export const jobDefaults: JobsOptions = {
  attempts: 8,
  backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
  removeOnComplete: { age: 86_400, count: 100_000 },
  removeOnFail: { age: 30 * 86_400, count: 100_000 },
};
