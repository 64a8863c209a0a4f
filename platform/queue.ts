/**
 * BullMQ on the configured backend: Redis when REDIS_URL is set, PostgreSQL otherwise; the same API on both.
 * Opened by platform/deps.ts; called by workers/ (which run the jobs) and by api/ (which shows dead ones).
 *
 * BullMQ's `deduplication` is not used: on PostgreSQL a redelivered job takes the key of its finished namesake and
 * never gives it back, and every later job with that key is lost (BullMQ 6.7.0). Jobs are told apart by `jobId`.
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
import type { Logger } from './log.ts';
import { databaseOptions } from './sql.ts';

export type { Job, JobsOptions, Queue, QueueEvents, Worker } from 'bullmq';

/** Every queue of Muster. Each holds jobs of one kind, run by workers/<name>.ts. */
export const queueNames = [
  'wake-device',
  'wake-policy-devices',
  'transfer-task-bundle',
  'act-on-verdict',
  'deploy-template',
  'purge-tenants',
  'review-devices',
  'review-fleet',
  'release-seat',
  'review-seats',
  'review-licence',
  'run-import',
  'issue-handout',
  'review-directories',
  'sync-directory',
  'switch-mail-access',
  'review-exchange',
  'reconcile-exchange',
  'bind-mail-device',
] as const;
export type QueueName = (typeof queueNames)[number];

/** Opens queues, workers and listeners that share one backend; `close` ends every one it opened. */
export interface QueueBackend {
  readonly kind: 'redis' | 'postgres';
  queue(name: QueueName, options?: Omit<QueueOptions, 'connection' | 'prefix'>): Queue;
  worker<Data>(
    name: QueueName,
    process: (job: Job<Data>, token?: string, signal?: AbortSignal) => Promise<unknown>,
    options?: Omit<WorkerOptions, 'connection' | 'prefix'>,
  ): Worker<Data>;
  /**
   * Tells of completed and failed jobs of a queue, whichever process ran them. For display only: on PostgreSQL it
   * passes over events whose transactions commit out of order (BullMQ 6.7.0). The state of a job is what counts.
   */
  events(name: QueueName): QueueEvents;
  close(): Promise<void>;
}

/** What the classes of BullMQ have in common. `close` may be called twice. */
interface Part {
  close(): Promise<unknown>;
  on(event: 'error', listener: (err: Error) => void): unknown;
}

type Openers = Pick<QueueBackend, 'queue' | 'worker' | 'events'>;

/** Remembers what was opened until it is closed, and logs its lost connections, which BullMQ restores by itself. */
const backendOf = (
  kind: QueueBackend['kind'],
  open: Openers,
  log: Logger,
  disconnect: () => void = () => {},
): QueueBackend => {
  const opened = new Set<Part>();
  const keep = <P extends Part>(queue: QueueName, part: P): P => {
    const close = part.close.bind(part);
    part.close = async () => {
      await close();
      opened.delete(part);
    };
    part.on('error', (err) => log.warn({ err, queue }, 'queue disturbed'));
    opened.add(part);
    return part;
  };
  return {
    kind,
    queue: (name, options) => keep(name, open.queue(name, options)),
    worker: (name, process, options) => keep(name, open.worker(name, process, options)),
    events: (name) => keep(name, open.events(name)),
    async close() {
      await Promise.all([...opened].map((part) => part.close()));
      disconnect();
    },
  };
};

const openRedis = (url: string, database: string, log: Logger): QueueBackend => {
  // BullMQ needs blocking commands that never give up: its documentation asks for null here.
  const dial = () => {
    const connection = new Redis(url, { maxRetriesPerRequest: null });
    connection.on('error', (err) => log.warn({ err }, 'Redis disturbed'));
    return connection;
  };
  const connection = dial();
  // Installations, and tests, that share a Redis are told apart by the database they belong to.
  const shared = { connection, prefix: `muster:${database}` };
  // Listeners block their connection; BullMQ does not end connections that were handed to it.
  const listeners: Redis[] = [];
  const listener = () => {
    const own = dial();
    listeners.push(own);
    return own;
  };
  const open: Openers = {
    queue: (name, options) => new Queue(name, { ...options, ...shared }),
    worker: (name, process, options) => new Worker(name, process, { ...options, ...shared }),
    events: (name) => new QueueEvents(name, { ...shared, connection: listener() }),
  };
  return backendOf('redis', open, log, () => {
    for (const each of [connection, ...listeners]) each.disconnect();
  });
};

/** Connections that one queue, worker or listener may open, besides the one on which a worker listens. */
const poolSize = { queue: 2, worker: 4, events: 1 };

const openPostgres = (databaseUrl: string, log: Logger): QueueBackend => {
  const { ssl, ...rest } = databaseOptions(databaseUrl);
  const connection = (max: number) => ({
    ...rest,
    ...(ssl ? { ssl: { rejectUnauthorized: ssl === 'verify-full' } } : {}),
    application_name: 'muster-queues',
    migrate: true,
    max,
  });
  const backed = withBackend(createPostgresBackend);
  const open: Openers = {
    queue: (name, options) =>
      new backed.Queue(name, { ...options, connection: connection(poolSize.queue) }) as unknown as Queue,
    worker: (name, process, options) =>
      new backed.Worker(name, process as never, {
        ...options,
        connection: connection(poolSize.worker),
      }) as never,
    events: (name) =>
      new backed.QueueEvents(name, { connection: connection(poolSize.events) }) as unknown as QueueEvents,
  };
  return backendOf('postgres', open, log);
};

/** Opens the backend that the configuration names. Connections are made when something is opened on it. */
export const openQueues = (
  config: { redisUrl?: string | undefined; databaseUrl: string },
  log: Logger,
): QueueBackend =>
  config.redisUrl === undefined
    ? openPostgres(config.databaseUrl, log)
    : openRedis(config.redisUrl, databaseOptions(config.databaseUrl).database, log);

const daySeconds = 86_400;

/**
 * How jobs are kept: finished ones for a day, so that an event that is delivered again finds its job and adds none;
 * dead ones for 30 days, so that they can be seen. Pauses between attempts: workers/errors.ts.
 */
export const jobDefaults: JobsOptions = {
  attempts: 12,
  backoff: { type: 'muster' },
  removeOnComplete: { age: daySeconds },
  removeOnFail: { age: 30 * daySeconds, count: 100_000 },
};
