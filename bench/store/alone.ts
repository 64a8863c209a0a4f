/**
 * The event store without its protocol: writer, cache and recent events in this process, in a database of their own.
 * Called by the benches that ask what the gRPC hop costs.
 */
import { randomUUID } from 'node:crypto';
import { openRecent } from '../../embedded/event-store/recent.ts';
import { openStreamCache } from '../../embedded/event-store/stream-cache.ts';
import type { Sources } from '../../embedded/event-store/subscriptions.ts';
import { openWriter, type Writer } from '../../embedded/event-store/writer.ts';
import { ensureDatabase } from '../../embedded/postgres.ts';
import { openLog } from '../../platform/log.ts';
import { openSql } from '../../platform/sql.ts';

/** The parts, and the URL of their database on the server of `serverUrl`. */
export interface StoreAlone extends Sources {
  readonly databaseUrl: string;
  readonly writer: Writer;
  close(): Promise<void>;
}

/** Opens an empty store. */
export const openStoreAlone = async (serverUrl: string): Promise<StoreAlone> => {
  const databaseUrl = await ensureDatabase(serverUrl, `bench_${randomUUID().replaceAll('-', '')}`);
  const sql = openSql(databaseUrl, { max: 8 });
  const cache = openStreamCache(sql, 100_000);
  const recent = openRecent(16_384, 32 * 1024 * 1024);
  const log = openLog({ level: 'warn', name: 'bench' });
  const writer = await openWriter(databaseUrl, { sql, cache, recent, log });
  return {
    databaseUrl,
    sql,
    cache,
    recent,
    writer,
    close: async () => {
      await writer.stop();
      await sql.end({ timeout: 2 });
    },
  };
};

const data = Buffer.from(
  JSON.stringify({
    checkInId: 'x'.repeat(36),
    dueAt: '2026-01-01T00:00:00.000Z',
    filler: 'y'.repeat(280),
  }),
);
const metadata = Buffer.from('{"at":"now"}');

/** `count` new events of about 400 bytes. */
export const newEvents = (count: number) =>
  Array.from({ length: count }, () => ({ id: randomUUID(), type: 'Benched', json: true, data, metadata }));

/** Appends and answers the stream's new last revision; rejects when the store did not write. */
export const append = async (
  { writer }: StoreAlone,
  stream: string,
  expected: bigint | 'any',
  count = 1,
): Promise<bigint> => {
  await writer.room();
  const outcome = await writer.submit({ kind: 'append', stream, expected, events: newEvents(count) });
  if (!outcome.done) throw new Error(`the store did not write: ${outcome.because}`);
  return outcome.revision;
};
