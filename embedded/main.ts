/**
 * What Muster needs and nobody configured: PostgreSQL and an event store, on this machine, kept running.
 * Called by cli/ before the processes that use them.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { MusterError } from '../platform/errors.ts';
import { type CertificateFiles, readCertificateFiles } from '../platform/listening.ts';
import type { Logger } from '../platform/log.ts';
import { openPasswordHashing } from '../platform/passwords.ts';
import { openSql, type Sql } from '../platform/sql.ts';
import type { DiskConfig } from './event-store/disk.ts';
import {
  type EventStoreServer,
  refuseOpenHost,
  start as startEventStore,
  type TlsConfig,
} from './event-store/main.ts';
import { type EventStoreProcess, startEventStoreProcess } from './event-store/process.ts';
import { addressFor, certificateHosts, ownCertificate } from './event-store/security/certificates.ts';
import { openUsers, type Users, usersDdl } from './event-store/security/users.ts';
import { type Progress, type Verification, verifyLog } from './event-store/verify.ts';
import { type EmbeddedPostgres, ensureDatabase, startPostgres } from './postgres.ts';

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

/** Names of the databases in the embedded PostgreSQL. */
const databases = { muster: 'muster', eventStore: 'eventstore' } as const;

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

/** How the event store is to be served over TLS. */
export interface TlsRequest {
  /** Certificate and key to serve with; without files, one of the store's own authority. */
  readonly files: CertificateFiles;
  /** Address that clients reach the store under; that of the host unless given. */
  readonly advertisedHost?: string | undefined;
}

const tlsFor = async (
  request: TlsRequest,
  host: string,
  dataDir: string,
  log: Logger,
): Promise<TlsConfig> => {
  const advertisedHost = request.advertisedHost ?? addressFor(host);
  const given = readCertificateFiles(request.files);
  if (given) return { certificate: given.cert, key: given.key, caFile: undefined, advertisedHost };
  const hosts = certificateHosts(host, advertisedHost);
  return { ...(await ownCertificate(resolve(dataDir), hosts, new Date(), log)), advertisedHost };
};

/** The event store that `muster eventstore` serves, and the database that it serves from. */
export type ServedEventStore = EventStoreServer & { readonly databaseUrl: string };

/**
 * Serves the event store alone, in this process, for any EventStoreDB client: over `databaseUrl`, or over a
 * PostgreSQL of its own in `dataDir`; over TLS when asked. Called by `muster eventstore`.
 */
export const serveEventStore = async (
  config: {
    host?: string | undefined;
    port: number;
    dataDir: string;
    databaseUrl?: string | undefined;
    diskReserveMib: number;
    tls?: TlsRequest | undefined;
  },
  deps: { log: Logger },
): Promise<ServedEventStore> => {
  const host = config.host ?? '127.0.0.1';
  if (!config.tls) refuseOpenHost(host);
  const postgres =
    config.databaseUrl === undefined ? await startPostgres({ dataDir: config.dataDir }, deps) : undefined;
  try {
    const databaseUrl = await openDatabase(postgres, config.databaseUrl, databases.eventStore);
    const disk = diskOf(postgres, config);
    const tls = config.tls && (await tlsFor(config.tls, host, config.dataDir, deps.log));
    const server = await startEventStore({ host, port: config.port, databaseUrl, disk, tls }, deps);
    return {
      ...server,
      databaseUrl,
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

/** Where a log is: over `databaseUrl`, or in `dataDir`, whose PostgreSQL may be running at `runningUrl`. */
export interface LogPlace {
  readonly dataDir: string;
  readonly databaseUrl?: string | undefined;
  readonly runningUrl?: string | undefined;
}

/**
 * Uses the database of an event store: over `databaseUrl`, or over the PostgreSQL in `dataDir`: the running one at
 * `runningUrl` (any database of it), else one started for the purpose.
 * Throws `config-invalid` where there is no data, `data-dir-in-use` or `dependency-unavailable`.
 */
const withLog = async <T>(
  place: LogPlace,
  purpose: string,
  deps: { log: Logger },
  use: (sql: Sql) => Promise<T>,
): Promise<T> => {
  const isOurs = place.databaseUrl === undefined;
  // A mistyped folder must be an error, never a new and empty cluster that verifies well.
  if (isOurs && place.runningUrl === undefined && !existsSync(join(place.dataDir, 'postgres'))) {
    throw new MusterError(
      'config-invalid',
      `There is no Muster data in ${place.dataDir}; check MUSTER_DATA_DIR.`,
      {
        field: 'MUSTER_DATA_DIR',
      },
    );
  }
  const postgres =
    isOurs && place.runningUrl === undefined
      ? await startPostgres({ dataDir: place.dataDir }, deps)
      : undefined;
  try {
    const serverUrl = postgres?.url ?? place.runningUrl;
    const databaseUrl =
      isOurs && serverUrl !== undefined
        ? await ensureDatabase(serverUrl, databases.eventStore)
        : (place.databaseUrl as string);
    const sql = openSql(databaseUrl, { max: 1, applicationName: `muster-event-store-${purpose}` });
    try {
      return await use(sql);
    } finally {
      await sql.end({ timeout: 2 });
    }
  } finally {
    await postgres?.stop();
  }
};

/**
 * Verifies the log of the event store. Nothing is written to the log. Throws as `withLog` does.
 * Called by `muster eventstore verify`.
 */
export const verifyEventStore = async (
  place: LogPlace,
  deps: { log: Logger },
  progress?: Progress,
): Promise<Verification> => withLog(place, 'verify', deps, (sql) => verifyLog(sql, progress));

/**
 * Changes or lists the users of the event store, which notices within seconds if it runs. Throws as `withLog` does.
 * Called by `muster eventstore user`.
 */
export const withEventStoreUsers = async <T>(
  place: LogPlace,
  deps: { log: Logger },
  use: (users: Users) => Promise<T>,
): Promise<T> =>
  withLog(place, 'users', deps, async (sql) => {
    const [store] = await sql`select to_regclass('event_store.store') as name`;
    if (!store?.['name'])
      throw new MusterError('config-invalid', 'There is no event log in this database; serve it once first.');
    await sql.unsafe(usersDdl);
    return use(openUsers(sql, await openPasswordHashing()));
  });
