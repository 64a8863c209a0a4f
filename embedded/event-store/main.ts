/**
 * The event store: EventStoreDB's gRPC protocol over PostgreSQL.
 * Started by child.ts (in a process of its own) and by `muster eventstore`.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from '../../platform/log.ts';
import { openSql } from '../../platform/sql.ts';
import { type DiskConfig, watchDisk } from './disk.ts';
import { startGrpcServer } from './grpc/server.ts';
import { openRegistry } from './persistent/registry.ts';
import { openRecent } from './recent.ts';
import { openStreamCache } from './stream-cache.ts';
import { openWriter, type Writer } from './writer.ts';

/** A serving event store. */
export interface EventStoreServer {
  readonly port: number;
  /** For EventStoreDB clients on this machine. */
  readonly connectionString: string;
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

/**
 * Serves the store in the database of `databaseUrl` on loopback; port 0 takes any free one.
 * Rejects with `data-dir-in-use` while another event store writes to that database.
 */
export const start = async (
  config: { host?: string; port: number; databaseUrl: string; disk?: DiskConfig | undefined },
  deps: { log: Logger },
): Promise<EventStoreServer> => {
  const { log } = deps;
  const host = config.host ?? '127.0.0.1';
  const sql = openSql(config.databaseUrl, { max: readConnections, applicationName: 'muster-event-store' });
  try {
    const recent = openRecent(recentEvents, recentBytes);
    const cache = openStreamCache(sql, cachedStreams);
    const disk = config.disk && (await watchDisk(config.disk, log));
    const writer = await openWriter(config.databaseUrl, { sql, cache, recent, log, disk });
    if (recent.last() === 0n) await beginLog(writer);
    const sources = { sql, cache, recent };
    const registry = await openRegistry({ sources, writer, log });
    const server = await startGrpcServer({ host, port: config.port }, { sources, writer, registry }).catch(
      async (error) => {
        await writer.stop();
        throw error;
      },
    );
    return {
      port: server.port,
      connectionString: `esdb://${host}:${server.port}?tls=false`,
      failed: writer.failed,
      stop: async () => {
        // How far the groups have come is written last, while there still is a writer.
        await registry.stop();
        await writer.stop();
        await server.stop();
        await sql.end({ timeout: 2 });
      },
    };
  } catch (error) {
    await sql.end({ timeout: 2 });
    throw error;
  }
};
