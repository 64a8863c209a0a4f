/**
 * The writer's one connection: takes the writer lock, applies the schema, inserts groups of events.
 * Called by writer.ts. A lost connection is never reopened here, because the lock went with it.
 */
import type pg from 'pg';
import { MusterError } from '../../platform/errors.ts';
import { clientFor } from '../postgres/client.ts';
import { boolArray, byteaArray, int4Array, int8Array, textArray, uuidArray } from './binary-array.ts';
import { checksumOf, type StoredEvent } from './event.ts';
import { ddl, layout, scavengedChannel, writerLock } from './schema.ts';

/** An event with the interned number of its stream. */
export interface Row {
  readonly event: StoredEvent;
  readonly streamId: number;
}

/** A stream that gets its number with this group. */
export interface NewStream {
  readonly id: number;
  readonly name: string;
}

/** Where the log ends on disk, and the newest event ids (oldest first). */
export interface JournalEnd {
  readonly position: bigint;
  readonly streamId: number;
  readonly created: bigint;
  readonly ids: readonly { id: string; stream: string; revision: bigint; position: bigint }[];
}

/** The open journal. */
export interface Journal {
  readonly end: JournalEnd;
  /** Inserts all or nothing in one statement; resolved means on disk. Rejects with PostgreSQL's error. */
  insert(rows: readonly Row[], newStreams: readonly NewStream[]): Promise<void>;
  /** Calls `listener` with the position up to which a scavenger has removed events. */
  onScavenged(listener: (position: bigint) => void): void;
  /** Resolves when the connection is gone, and the lock with it. */
  readonly lost: Promise<void>;
  isLost(): boolean;
  close(): Promise<void>;
}

const insertText = `
with named as (insert into event_store.streams (id, name) select * from unnest($1::bigint[], $2::text[]))
insert into event_store.events (position, stream, revision, created, id, checksum, json, type, data, metadata)
select * from unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::uuid[], $8::integer[], $9::boolean[], $10::text[], $11::bytea[], $12::bytea[])`;

const parametersOf = (rows: readonly Row[], newStreams: readonly NewStream[]): Buffer[] => {
  const events = rows.map((row) => row.event);
  return [
    int8Array(newStreams.map((stream) => BigInt(stream.id))),
    textArray(newStreams.map((stream) => stream.name)),
    int8Array(events.map((event) => event.position)),
    int8Array(rows.map((row) => BigInt(row.streamId))),
    int8Array(events.map((event) => event.revision)),
    int8Array(events.map((event) => event.created)),
    uuidArray(events.map((event) => event.id)),
    int4Array(events.map(checksumOf)),
    boolArray(events.map((event) => event.json)),
    textArray(events.map((event) => event.type)),
    byteaArray(events.map((event) => event.data)),
    byteaArray(events.map((event) => event.metadata)),
  ];
};

const readEnd = async (client: pg.Client, rememberedIds: number): Promise<JournalEnd> => {
  const newest = await client.query<{
    id: string;
    stream: string;
    revision: string;
    position: string;
    created: string;
  }>(
    `select e.id, s.name as stream, e.revision, e.position, e.created
     from (select * from event_store.events order by position desc limit $1) e join event_store.streams s on s.id = e.stream
     order by e.position desc`,
    [rememberedIds],
  );
  const streams = await client.query<{ max: string | null }>('select max(id) from event_store.streams');
  const last = newest.rows[0];
  return {
    position: BigInt(last?.position ?? 0),
    created: BigInt(last?.created ?? 0),
    streamId: Number(streams.rows[0]?.max ?? 0),
    ids: newest.rows
      .reverse()
      .map((row) => ({ ...row, revision: BigInt(row.revision), position: BigInt(row.position) })),
  };
};

const takeLock = async (client: pg.Client): Promise<void> => {
  const taken = await client.query<{ ok: boolean }>('select pg_try_advisory_lock($1) as ok', [writerLock]);
  if (!taken.rows[0]?.ok) {
    throw new MusterError(
      'data-dir-in-use',
      'Another event store already writes to this database. Stop it, or give each its own DATABASE_URL.',
    );
  }
};

const checkLayout = async (client: pg.Client): Promise<void> => {
  const found = await client.query<{ layout: number }>('select layout from event_store.store');
  if (found.rows[0]?.layout !== layout) {
    throw new MusterError(
      'config-invalid',
      `The event store on disk has layout ${found.rows[0]?.layout}; this version of Muster reads layout ${layout}.`,
    );
  }
};

/**
 * Connects, takes the lock, applies the schema and reads the end of the log.
 * Throws `data-dir-in-use` while another writer holds the lock, PostgreSQL's error when it cannot be reached.
 */
export const openJournal = async (databaseUrl: string, rememberedIds: number): Promise<Journal> => {
  const client = clientFor(databaseUrl, 'muster-event-store-writer');
  let isLost = false;
  const lost = new Promise<void>((resolve) => {
    const lose = (): void => {
      isLost = true;
      resolve();
    };
    client.on('error', lose);
    client.on('end', lose);
  });
  try {
    await client.connect();
    await takeLock(client);
    // Durability is the promise; a server configured otherwise is overruled for this session.
    await client.query('set synchronous_commit = on');
    await client.query('set client_min_messages = warning');
    await client.query(ddl);
    await checkLayout(client);
    await client.query(`listen ${scavengedChannel}`);
    const end = await readEnd(client, rememberedIds);
    return {
      end,
      onScavenged: (listener) => {
        client.on('notification', ({ payload }) => listener(BigInt(payload ?? 0)));
      },
      lost,
      isLost: () => isLost,
      insert: async (rows, newStreams) => {
        await client.query({ name: 'append', text: insertText, values: parametersOf(rows, newStreams) });
      },
      close: () => client.end(),
    };
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
};
