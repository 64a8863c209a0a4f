/**
 * What Muster needs and nobody configured: PostgreSQL and an event store, on this machine, kept running.
 * Called by cli/ before the processes that use them.
 */
import type { Logger } from '../platform/log.ts';
import { openSql } from '../platform/sql.ts';
import type { DiskConfig } from './event-store/disk.ts';
import { type EventStoreServer, start as startEventStore } from './event-store/main.ts';
import { type EventStoreProcess, startEventStoreProcess } from './event-store/process.ts';
import { type Progress, type Verification, verifyLog } from './event-store/verify.ts';
import { type EmbeddedPostgres, ensureDatabase, startPostgres } from './postgres.ts';
import { databases, type StorePlace, withStoreDatabase } from './store-database.ts';

/** The embedded parts that run, and the URLs of all, embedded or configured. */
export interface Embedded {
  readonly databaseUrl: string;
  readonly eventStoreUrl: string;
  /** Process ids of the embedded parts, for tests and for operators. */
  pids(): { postgres: number | undefined; eventStore: number | undefined };
  /** Resolves when a part could not be kept running; never after `stop`. */
  readonly failed: Promise<Error>;
  /** Stops the event store, then PostgreSQL. */
  stop(): Promise<void>;
}

const never = new Promise<never>(() => {});

const openDatabase = async (
  postgres: EmbeddedPostgres | undefined,
  databaseUrl: string | undefined,
  name: string,
): Promise<string> => (postgres ? ensureDatabase(postgres.url, name) : (databaseUrl as string));

/** The disk to watch: that of the embedded PostgreSQL; the disk of another one cannot be seen from here. */
const diskOf = (
  postgres: EmbeddedPostgres | undefined,
  config: { dataDir: string; diskReserveMib: number },
): DiskConfig | undefined =>
  postgres && { folder: config.dataDir, reserveBytes: config.diskReserveMib * 1024 * 1024 };

/**
 * Starts what is missing: PostgreSQL in `dataDir` without `databaseUrl`, the event store (a process of its own, over
 * that PostgreSQL) without `eventStoreUrl`. Both are restarted on the same socket and port whenever they end.
 * With a `databaseUrl` alone, the event store keeps its tables in schema `event_store` of that database.
 * Throws `data-dir-in-use` or `dependency-unavailable` with what to do about it.
 */
export const startEmbedded = async (
  config: {
    dataDir: string;
    databaseUrl?: string | undefined;
    eventStoreUrl?: string | undefined;
    eventStorePort?: number;
    diskReserveMib: number;
  },
  deps: { log: Logger },
): Promise<Embedded> => {
  const postgres =
    config.databaseUrl === undefined ? await startPostgres({ dataDir: config.dataDir }, deps) : undefined;
  let eventStore: EventStoreProcess | undefined;
  const stop = async (): Promise<void> => {
    await eventStore?.stop();
    await postgres?.stop();
  };
  try {
    const databaseUrl = await openDatabase(postgres, config.databaseUrl, databases.muster);
    if (config.eventStoreUrl === undefined) {
      const storeUrl = await openDatabase(postgres, config.databaseUrl, databases.eventStore);
      eventStore = await startEventStoreProcess(
        { port: config.eventStorePort ?? 0, databaseUrl: storeUrl, disk: diskOf(postgres, config) },
        deps,
      );
    }
    return {
      databaseUrl,
      eventStoreUrl: config.eventStoreUrl ?? `esdb://127.0.0.1:${eventStore?.port}?tls=false`,
      pids: () => ({ postgres: postgres?.pid(), eventStore: eventStore?.pid() }),
      failed: Promise.race([postgres?.failed ?? never, eventStore?.failed ?? never]),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
};

/**
 * Serves the event store alone, in this process, for any EventStoreDB client: over `databaseUrl`, or over a
 * PostgreSQL of its own in `dataDir`. Called by `muster eventstore`.
 */
export const serveEventStore = async (
  config: { port: number; dataDir: string; databaseUrl?: string | undefined; diskReserveMib: number },
  deps: { log: Logger },
): Promise<EventStoreServer> => {
  const postgres =
    config.databaseUrl === undefined ? await startPostgres({ dataDir: config.dataDir }, deps) : undefined;
  try {
    const databaseUrl = await openDatabase(postgres, config.databaseUrl, databases.eventStore);
    const disk = diskOf(postgres, config);
    const server = await startEventStore({ port: config.port, databaseUrl, disk }, deps);
    return {
      ...server,
      failed: Promise.race([server.failed, postgres?.failed ?? never]),
      stop: async () => {
        await server.stop();
        await postgres?.stop();
      },
    };
  } catch (error) {
    await postgres?.stop();
    throw error;
  }
};

/**
 * Verifies the log of the event store that `withStoreDatabase` finds. Nothing is written to the log.
 * Throws as `withStoreDatabase` does, and `config-invalid` where there is no log. Called by `muster eventstore verify`.
 */
export const verifyEventStore = (
  config: StorePlace,
  deps: { log: Logger },
  progress?: Progress,
): Promise<Verification> =>
  withStoreDatabase(config, deps, async ({ storeUrl }) => {
    const sql = openSql(storeUrl, { max: 1, applicationName: 'muster-event-store-verify' });
    try {
      return await verifyLog(sql, progress);
    } finally {
      await sql.end({ timeout: 2 });
    }
  });
