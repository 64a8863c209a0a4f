/**
 * The event store: EventStoreDB's gRPC protocol over PostgreSQL.
 * Started by child.ts (in a process of its own) and by `muster eventstore`.
 */
import { randomUUID } from 'node:crypto';
import { MusterError } from '../../platform/errors.ts';
import { isLoopback } from '../../platform/listening.ts';
import type { Logger } from '../../platform/log.ts';
import { openPasswordHashing } from '../../platform/passwords.ts';
import { openSql } from '../../platform/sql.ts';
import { type DiskConfig, watchDisk } from './disk.ts';
import { type Guard, openGuard } from './grpc/guard.ts';
import { startGrpcServer, type TlsIdentity } from './grpc/server.ts';
import { openRegistry } from './persistent/registry.ts';
import { openRecent } from './recent.ts';
import { openAttempts } from './security/attempts.ts';
import { openCredentials } from './security/credentials.ts';
import { followDefaultAcls } from './security/default-acls.ts';
import { openUsers, type Users } from './security/users.ts';
import { openStreamCache } from './stream-cache.ts';
import type { Sources } from './subscriptions.ts';
import { openWriter, type Writer } from './writer.ts';

/** A serving event store. */
export interface EventStoreServer {
  readonly port: number;
  /** For EventStoreDB clients; over TLS it lacks the credentials. */
  readonly connectionString: string;
  /** One-time password of user `admin`, which was made just now because nobody administers the store. */
  readonly administratorPassword: string | undefined;
  /** Resolves when the store can no longer write and will not recover; the process should end. */
  readonly failed: Promise<Error>;
  /** Fails what is pending with UNAVAILABLE; everything acknowledged is on disk already. */
  stop(): Promise<void>;
}

const cachedStreams = 100_000;
const recentEvents = 16_384;
const recentBytes = 32 * 1024 * 1024;
const readConnections = 8;

/** A new log begins with a system event, as on the real server: $all is never empty, and has a first position. */
const beginLog = async (writer: Writer): Promise<void> => {
  const event = {
    id: randomUUID(),
    type: '$StoreCreated',
    json: true,
    data: Buffer.from('{}'),
    metadata: new Uint8Array(),
  };
  await writer.submit({ kind: 'append', stream: '$store', expected: -1n, events: [event] });
};

/** What makes a store serve over TLS, to users that it knows. */
export interface TlsConfig extends TlsIdentity {
  /** File with which clients verify the certificate; undefined when they know who issued it. */
  readonly caFile: string | undefined;
  /** Address under which clients reach the server; the certificate names it. */
  readonly advertisedHost: string;
}

/** Users and access control of a store that serves over TLS. */
interface Security {
  readonly guard: Guard;
  readonly users: Users;
  stop(): Promise<void>;
}

const openSecurity = async (sources: Sources, log: Logger): Promise<Security> => {
  const hashing = await openPasswordHashing();
  const users = openUsers(sources.sql, hashing);
  const credentials = openCredentials({ users, hashing, attempts: openAttempts() });
  const defaults = await followDefaultAcls(sources, log);
  return {
    guard: openGuard({ cache: sources.cache, credentials, defaults: defaults.current }),
    users,
    stop: defaults.stop,
  };
};

const connectionStringOf = (host: string, port: number, tls: TlsConfig | undefined): string => {
  if (!tls) return `esdb://${host}:${port}?tls=false`;
  const ca = tls.caFile?.split('/').map(encodeURIComponent).join('/');
  return `esdb://${tls.advertisedHost}:${port}?tls=true${ca === undefined ? '' : `&tlsCAFile=${ca}`}`;
};

/** Without TLS anybody who reaches the port may do anything: nobody beyond this machine must. Throws `config-invalid`. */
export const refuseOpenHost = (host: string): void => {
  if (isLoopback(host)) return;
  throw new MusterError(
    'config-invalid',
    `MUSTER_EVENTSTORE_HOST: ${host} is not loopback, and the event store listens there over TLS only; add --tls`,
    { field: 'MUSTER_EVENTSTORE_HOST' },
  );
};

/**
 * Serves the store in the database of `databaseUrl`; port 0 takes any free one. Without `tls` on loopback only, where
 * callers are not told apart.
 * Rejects with `data-dir-in-use` while another event store writes to that database, and with `config-invalid` for an
 * address that is taken, not this machine's, or not loopback without `tls`.
 */
export const start = async (
  config: {
    host?: string;
    port: number;
    databaseUrl: string;
    disk?: DiskConfig | undefined;
    tls?: TlsConfig | undefined;
  },
  deps: { log: Logger },
): Promise<EventStoreServer> => {
  const { log } = deps;
  const host = config.host ?? '127.0.0.1';
  const { tls } = config;
  if (!tls) refuseOpenHost(host);
  const sql = openSql(config.databaseUrl, { max: readConnections, applicationName: 'muster-event-store' });
  try {
    const recent = openRecent(recentEvents, recentBytes);
    const cache = openStreamCache(sql, cachedStreams);
    const disk = config.disk && (await watchDisk(config.disk, log));
    const writer = await openWriter(config.databaseUrl, { sql, cache, recent, log, disk });
    if (recent.last() === 0n) await beginLog(writer);
    const sources = { sql, cache, recent };
    const registry = await openRegistry({ sources, writer, log });
    const security = tls && (await openSecurity(sources, log));
    const server = await startGrpcServer(
      { host, port: config.port, advertisedHost: tls?.advertisedHost ?? host, tls },
      { sources, writer, registry, guard: security?.guard },
    ).catch(async (cause: Error) => {
      await security?.stop();
      await writer.stop();
      throw new MusterError('config-invalid', `The event store cannot listen: ${cause.message}`, { cause });
    });
    // Last of all: a password that was made by a start that fails would never be shown.
    const administratorPassword = await security?.users.ensureAdministrator();
    return {
      port: server.port,
      connectionString: connectionStringOf(host, server.port, tls),
      administratorPassword,
      failed: writer.failed,
      stop: async () => {
        // How far the groups have come is written last, while there still is a writer.
        await registry.stop();
        await writer.stop();
        await server.stop();
        await security?.stop();
        await sql.end({ timeout: 2 });
      },
    };
  } catch (error) {
    await sql.end({ timeout: 2 });
    throw error;
  }
};
