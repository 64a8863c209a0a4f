/** What the tests of the scavenge share: a store with its database in sight, and events of any age. */
import { randomUUID } from 'node:crypto';
import { EventStoreDBClient } from '@eventstore/db-client';
import { checksumOf, type StoredEvent, ticksPerSecond } from '../../embedded/event-store/event.ts';
import { type EventStoreServer, start } from '../../embedded/event-store/main.ts';
import { ensureDatabase } from '../../embedded/postgres.ts';
import { openSql, type Sql } from '../../platform/sql.ts';
import { log } from './support.ts';

/** An event as its row holds it, checksum included. */
export type StoredRow = StoredEvent & { readonly checksum: number };

/** A running store and its database. */
export interface SeenStore {
  readonly databaseUrl: string;
  /** A connection of the test's own. */
  readonly sql: Sql;
  client(): EventStoreDBClient;
  /** Every event of the database, in log order. */
  rows(): Promise<StoredRow[]>;
  stopServer(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a store over a database of its own on the server of `serverUrl`. */
export const openSeenStore = async (serverUrl: string): Promise<SeenStore> => {
  const databaseUrl = await ensureDatabase(serverUrl, `scavenge_${randomUUID().replaceAll('-', '')}`);
  const sql = openSql(databaseUrl, { max: 1 });
  let server: EventStoreServer | undefined;
  let client: EventStoreDBClient | undefined;
  const begin = async (): Promise<void> => {
    server = await start({ port: 0, databaseUrl }, { log });
    client = EventStoreDBClient.connectionString(server.connectionString);
  };
  const stopServer = async (): Promise<void> => {
    await client?.dispose();
    await server?.stop();
    server = undefined;
    client = undefined;
  };
  await begin();
  return {
    databaseUrl,
    sql,
    client: () => client as EventStoreDBClient,
    rows: async () => [
      ...(await sql<StoredRow[]>`
      select e.position, s.name as stream, e.revision, e.created, e.id, e.json, e.type, e.data, e.metadata, e.checksum
      from event_store.events e join event_store.streams s on s.id = e.stream order by e.position`),
    ],
    stopServer,
    restart: async () => {
      await stopServer();
      await begin();
    },
    stop: async () => {
      await stopServer();
      await sql.end();
    },
  };
};

/** Makes the events of `stream` below revision `below` look `seconds` older, checksums included. */
export const makeOlder = async (
  { sql, rows }: SeenStore,
  stream: string,
  below: bigint,
  seconds: bigint,
): Promise<void> => {
  for (const row of await rows()) {
    if (row.stream !== stream || row.revision >= below) continue;
    const created = row.created - seconds * ticksPerSecond;
    await sql`
      update event_store.events set created = ${created.toString()}, checksum = ${checksumOf({ ...row, created })}
      where position = ${row.position.toString()}`;
  }
};

/** Runs `work` over a connection of its own, as the command does. */
export const withConnection = async <T>(databaseUrl: string, work: (sql: Sql) => Promise<T>): Promise<T> => {
  const sql = openSql(databaseUrl, { max: 1 });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 2 });
  }
};

/**
 * Holds the row of an event, so that whoever wants to remove it has to wait, while `work` runs. `work` may let go
 * earlier.
 */
export const holdingEvent = async <T>(
  databaseUrl: string,
  position: bigint,
  work: (release: () => void) => Promise<T>,
): Promise<T> =>
  withConnection(databaseUrl, async (sql) => {
    let release: () => void = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    let held: () => void = () => {};
    const holds = new Promise<void>((resolve) => {
      held = resolve;
    });
    const transaction = sql.begin(async (tx) => {
      await tx`select from event_store.events where position = ${position.toString()} for update`;
      held();
      await released;
    });
    await holds;
    try {
      return await work(release);
    } finally {
      release();
      await transaction;
    }
  });

/** Resolves once a connection of this database waits for a lock that another one holds. */
export const someoneWaits = async ({ sql }: SeenStore): Promise<void> => {
  for (;;) {
    const waiting = await sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    if (waiting.length > 0) return;
  }
};
