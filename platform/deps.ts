/**
 * What every process of the server works with, opened once and passed as an argument.
 * Called by cli/ and by tests; each process folder's `start(config, deps)` takes it.
 */
import { type Clock, systemClock } from './clock.ts';
import { type EventStore, openEventStore } from './event-store.ts';
import { type Handler, openHandler } from './handle.ts';
import type { Logger } from './log.ts';
import { openQueues, type QueueBackend } from './queue.ts';
import { openSnapshots } from './snapshots.ts';
import { openSql, type Sql } from './sql.ts';
import { openUploads, type Uploads } from './uploads.ts';
import { openWatch } from './watch.ts';

export interface Deps {
  readonly log: Logger;
  readonly clock: Clock;
  /** The log of events. */
  readonly store: EventStore;
  /** The write side over the log. */
  readonly handler: Handler;
  /** Pool of the database that holds read models, snapshots, credentials and (without Redis) the queues. */
  readonly sql: Sql;
  /** URL of that database, for the one more connection that listens to notifications. */
  readonly databaseUrl: string;
  readonly queues: QueueBackend;
  /** Files that wait to be imported. */
  readonly uploads: Uploads;
}

/** Where the parts are: each either embedded or configured. */
export interface Addresses {
  readonly databaseUrl: string;
  readonly eventStoreUrl: string;
  readonly redisUrl?: string | undefined;
  readonly cachedAggregates?: number;
}

/** Opens every client. `close` ends them; call it after every process is stopped. */
export const openDeps = async (
  addresses: Addresses,
  log: Logger,
  clock: Clock = systemClock,
): Promise<Deps & { close(): Promise<void> }> => {
  const { databaseUrl } = addresses;
  const sql = openSql(databaseUrl, { max: 20 });
  const store = openEventStore(addresses.eventStoreUrl);
  const queues = openQueues(addresses, log);
  const uploads = await openUploads(sql, clock);
  const snapshots = await openSnapshots(sql, log);
  const cachedAggregates = addresses.cachedAggregates ?? 20_000;
  const watch = openWatch({ store, clock, log });
  const handler = openHandler({ store, clock, snapshots, watch, cachedAggregates });
  return {
    log,
    clock,
    store,
    handler,
    sql,
    databaseUrl,
    queues,
    uploads,
    async close() {
      await queues.close();
      await watch.close();
      await store.close();
      await sql.end({ timeout: 5 });
    },
  };
};
