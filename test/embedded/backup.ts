/** What the tests of backup and restore share: stores of their own, backups in memory, and every stored byte. */
import { randomUUID } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { EventStoreDBClient } from '@eventstore/db-client';
import type { Mark, Trailer } from '../../embedded/event-store/backup/format.ts';
import { type Readers, type Restored, restoreLog } from '../../embedded/event-store/backup/restore.ts';
import { takeBackup } from '../../embedded/event-store/backup/take.ts';
import { type EventStoreServer, start } from '../../embedded/event-store/main.ts';
import { verifyLog } from '../../embedded/event-store/verify.ts';
import { ensureDatabase } from '../../embedded/postgres.ts';
import { openSql } from '../../platform/sql.ts';
import { log } from './support.ts';

/** A new and empty database on the run's PostgreSQL. */
export const newDatabase = (): Promise<string> =>
  ensureDatabase(process.env['MUSTER_TEST_POSTGRES'] as string, `backup_${randomUUID().replaceAll('-', '')}`);

/** Runs `use` with a store that serves `databaseUrl`. */
export const withStore = async <T>(
  databaseUrl: string,
  use: (client: EventStoreDBClient, server: EventStoreServer) => Promise<T>,
): Promise<T> => {
  const server = await start({ port: 0, databaseUrl }, { log });
  const client = EventStoreDBClient.connectionString(server.connectionString);
  try {
    return await use(client, server);
  } finally {
    await client.dispose();
    await server.stop();
  }
};

/** A backup in memory. */
export const backUp = async (
  databaseUrl: string,
  parent?: Mark,
): Promise<{ bytes: Buffer; trailer: Trailer }> => {
  const output = new PassThrough();
  const chunks: Buffer[] = [];
  output.on('data', (chunk: Buffer) => chunks.push(chunk));
  const trailer = await takeBackup(databaseUrl, output, { parent });
  return { bytes: Buffer.concat(chunks), trailer };
};

/** In pieces that end anywhere, as a pipe gives them. */
export const inPieces = async function* (bytes: Buffer, size = 1_000_003): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
};

const nobody: Readers = { admit: async () => {}, prepare: async () => {} };

/** Restores backups in memory where nobody else follows the log. */
export const restoreFrom = (
  databaseUrl: string,
  backups: readonly Buffer[],
  options: { replace?: boolean; readers?: Readers } = {},
): Promise<Restored> =>
  restoreLog(
    databaseUrl,
    backups.map((bytes) => () => inPieces(bytes)),
    { replace: options.replace ?? false, readers: options.readers ?? nobody },
  );

/** Every event of a log with everything that is stored of it, in log order, and what verification finds. */
export const contentsOf = async (databaseUrl: string) => {
  const sql = openSql(databaseUrl, { max: 1 });
  try {
    const events = await sql<{ position: bigint; row: string }[]>`
      select e.position, concat_ws('|', e.position, s.name, e.revision, e.created, e.id, e.checksum, e.json, e.type,
        encode(e.data, 'hex'), encode(e.metadata, 'hex')) as row
      from event_store.events e join event_store.streams s on s.id = e.stream order by e.position`;
    const [store] = await sql<{ id: string; createdAt: string }[]>`
      select id, created_at::text as "createdAt" from event_store.store`;
    const { faults } = await verifyLog(sql);
    return { rows: events.map(({ row }) => row), store, faults };
  } finally {
    await sql.end();
  }
};

/** The schemas of the event store, old, new or half-made, that a database holds. */
export const schemasOf = async (databaseUrl: string): Promise<string[]> => {
  const sql = openSql(databaseUrl, { max: 1 });
  const found = await sql<{ name: string }[]>`
    select nspname as name from pg_namespace where nspname like 'event_store%' order by 1`;
  await sql.end();
  return found.map(({ name }) => name);
};
