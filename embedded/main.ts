/**
 * What Muster needs and nobody configured: PostgreSQL and an event store, on this machine, kept running.
 * Called by cli/ before the processes that use them.
 */
import { resolve } from 'node:path';
import { type CertificateFiles, readCertificateFiles } from '../platform/listening.ts';
import type { Logger } from '../platform/log.ts';
import { openPasswordHashing } from '../platform/passwords.ts';
import type { DiskConfig } from './event-store/disk.ts';
import { expectLog } from './event-store/log-table.ts';
import {
  type EventStoreServer,
  refuseOpenHost,
  start as startEventStore,
  type TlsConfig,
} from './event-store/main.ts';
import { type EventStoreProcess, startEventStoreProcess } from './event-store/process.ts';
import {
  type Scavenged,
  type ScavengeOptions,
  type ScavengeProgress,
  scavengeLog,
} from './event-store/scavenge.ts';
import { addressFor, certificateHosts, ownCertificate } from './event-store/security/certificates.ts';
import { openUsers, type Users, usersDdl } from './event-store/security/users.ts';
import { type Progress, type Verification, verifyLog } from './event-store/verify.ts';
import { databases, type LogPlace, withLogDatabase } from './log-database.ts';
import { type EmbeddedPostgres, ensureDatabase, startPostgres } from './postgres.ts';

/** The embedded parts that run, and the URLs of all, embedded or configured. */
export interface Embedded {
  readonly databaseUrl: string;
  readonly eventStoreUrl: string;
  /** Where the embedded event store keeps its log; missing with an event store of another kind. */
  readonly eventStoreDatabaseUrl?: string;
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
    let storeUrl: string | undefined;
    if (config.eventStoreUrl === undefined) {
      storeUrl = await openDatabase(postgres, config.databaseUrl, databases.eventStore);
      eventStore = await startEventStoreProcess(
        { port: config.eventStorePort ?? 0, databaseUrl: storeUrl, disk: diskOf(postgres, config) },
        deps,
      );
    }
    return {
      databaseUrl,
      eventStoreUrl: config.eventStoreUrl ?? `esdb://127.0.0.1:${eventStore?.port}?tls=false`,
      ...(storeUrl === undefined ? {} : { eventStoreDatabaseUrl: storeUrl }),
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
 * PostgreSQL of its own in `dataDir`; over TLS when asked. `databaseUrl` of the result is where the log is. Called by
 * `muster eventstore`.
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

/**
 * Verifies the log at `place`, whoever else uses it. Nothing is written to the log.
 * Throws as `withLogDatabase`. Called by `muster eventstore verify`.
 */
export const verifyEventStore = (
  place: LogPlace,
  deps: { log: Logger },
  progress?: Progress,
): Promise<Verification> =>
  withLogDatabase(place, deps, 'muster-event-store-verify', (sql) => verifyLog(sql, progress));

/**
 * Scavenges the log at `place`, beside a running server or without one.
 * Throws as `withLogDatabase` and `scavengeLog`. Called by `muster eventstore scavenge`.
 */
export const scavengeEventStore = (
  place: LogPlace,
  options: ScavengeOptions,
  deps: { log: Logger },
  progress?: ScavengeProgress,
): Promise<Scavenged> =>
  withLogDatabase(place, deps, 'muster-event-store-scavenge', (sql) => scavengeLog(sql, options, progress));

/**
 * Changes or lists the users of the event store, which notices within seconds if it runs.
 * Throws as `withLogDatabase`. Called by `muster eventstore user`.
 */
export const withEventStoreUsers = <T>(
  place: LogPlace,
  deps: { log: Logger },
  use: (users: Users) => Promise<T>,
): Promise<T> =>
  withLogDatabase(place, deps, 'muster-event-store-users', async (sql) => {
    await expectLog(sql);
    await sql.unsafe(usersDdl);
    return use(openUsers(sql, await openPasswordHashing()));
  });
