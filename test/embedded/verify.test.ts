/** Verification of the log: a whole one passes, every kind of damage is found and named. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { start } from '../../embedded/event-store/main.ts';
import { verifyLog } from '../../embedded/event-store/verify.ts';
import { serveEventStore, verifyEventStore } from '../../embedded/main.ts';
import { ensureDatabase, startPostgres } from '../../embedded/postgres.ts';
import type { MusterError } from '../../platform/errors.ts';
import { openSql, type Sql } from '../../platform/sql.ts';
import { diskReserveMib, log, numbered, openPostgres, rejection, temporaryFolder } from './support.ts';

const withClient = async (
  url: string,
  use: (client: EventStoreDBClient) => Promise<unknown>,
): Promise<void> => {
  const client = EventStoreDBClient.connectionString(url);
  try {
    await use(client);
  } finally {
    await client.dispose();
  }
};

describe('verify', () => {
  let postgres: Awaited<ReturnType<typeof openPostgres>>;
  let sql: Sql;
  before(async () => {
    postgres = await openPostgres();
  });
  after(() => postgres.stop());

  /** A log of two streams of ten events each, and the store's own first event. */
  beforeEach(async () => {
    const databaseUrl = await ensureDatabase(postgres.url, `verify_${randomUUID().replaceAll('-', '')}`);
    const server = await start({ port: 0, databaseUrl }, { log });
    await withClient(server.connectionString, async (client) => {
      await client.appendToStream('orders-1', numbered(10));
      await client.appendToStream('orders-2', numbered(10));
      await client.deleteStream('orders-2');
      await client.tombstoneStream('orders-3');
    });
    await server.stop();
    sql = openSql(databaseUrl, { max: 1 });
  });

  afterEach(() => sql.end());

  const positionOf = async (stream: string, revision: number): Promise<bigint> => {
    const [row] = await sql<{ position: bigint }[]>`
      select e.position from event_store.events e join event_store.streams s on s.id = e.stream
      where s.name = ${stream} and e.revision = ${revision}`;
    assert.ok(row);
    return row.position;
  };

  it('a whole log passes, deletions and tombstones included', async () => {
    const seen: number[] = [];
    const found = await verifyLog(sql, (read) => seen.push(read));
    assert.deepEqual([found.faults, found.findings], [0, []]);
    assert.equal(found.events, 23);
    assert.deepEqual(seen, [23]);
  });

  for (const [column, change] of [
    ['data', `set_byte(data, 0, get_byte(data, 0) # 1)`],
    ['type', `type || 'x'`],
    ['created', 'created + 1'],
    ['metadata', `'\\x00'::bytea`],
    ['json', 'not json'],
  ] as const) {
    it(`a changed ${column} is found`, async () => {
      const position = await positionOf('orders-1', 3);
      await sql.unsafe(`update event_store.events set ${column} = ${change} where position = ${position}`);
      const found = await verifyLog(sql);
      assert.equal(found.faults, 1);
      const [finding] = found.findings;
      assert.deepEqual([finding?.position, finding?.stream, finding?.revision], [position, 'orders-1', 3n]);
      assert.match(finding?.problem ?? '', /checksum/);
    });
  }

  it('a missing event is found by the one after it', async () => {
    const next = await positionOf('orders-1', 5);
    await sql`delete from event_store.events where position = ${(await positionOf('orders-1', 4)).toString()}`;
    const found = await verifyLog(sql);
    assert.deepEqual(
      found.findings.map(({ position, revision }) => [position, revision]),
      [[next, 5n]],
    );
  });

  it('an event whose stream has lost its name is found', async () => {
    await sql`delete from event_store.streams where name = 'orders-1'`;
    const found = await verifyLog(sql);
    assert.equal(found.faults, 10);
    assert.match(found.findings[0]?.problem ?? '', /no name/);
  });

  it('a database without a log is an error, not a clean bill', async () => {
    const other = openSql(await ensureDatabase(postgres.url, 'no_log'), { max: 1 });
    assert.match((await rejection(verifyLog(other))).message, /no event log/);
    await other.end();
  });
});

describe('verify of a data folder', () => {
  it('a folder without a log is an error, and stays as it is', async () => {
    const folder = temporaryFolder();
    const error = await rejection<MusterError>(verifyEventStore({ dataDir: folder.path }, { log }));
    assert.deepEqual([error.code, error.field], ['config-invalid', 'MUSTER_DATA_DIR']);
    assert.deepEqual(readdirSync(folder.path), []);
    folder.remove();
  });

  /** Writes sixty events, more than one page of 8 KiB, then flips a byte of the table where `marker` stands. */
  const withDamage = async (
    damage: {
      table: 'events' | 'streams';
      marker: string;
      markedEvent: number;
      streamOf: (n: number) => string;
    },
    check: (dataDir: string) => Promise<void>,
  ): Promise<void> => {
    const folder = temporaryFolder();
    const server = await serveEventStore({ port: 0, dataDir: folder.path, diskReserveMib }, { log });
    await withClient(server.connectionString, async (client) => {
      for (let n = 0; n < 60; n += 1) {
        const data = { n, text: n === damage.markedEvent ? damage.marker : randomUUID().repeat(20) };
        await client.appendToStream(damage.streamOf(n), jsonEvent({ type: 'Written', data }));
      }
    });
    await server.stop();
    assert.equal((await verifyEventStore({ dataDir: folder.path }, { log })).faults, 0);

    const postgres = await startPostgres({ dataDir: folder.path }, { log });
    const sql = openSql(await ensureDatabase(postgres.url, 'eventstore'), { max: 1 });
    const [file] = await sql<{ path: string }[]>`
      select pg_relation_filepath(${`event_store.${damage.table}`}) as path`;
    await sql.end();
    await postgres.stop();
    const path = join(folder.path, 'postgres', file?.path as string);
    const at = readFileSync(path).indexOf(damage.marker);
    assert.ok(at > 0, 'the marker is in the file');
    const handle = openSync(path, 'r+');
    writeSync(handle, 'M', at);
    closeSync(handle);
    await check(folder.path);
    folder.remove();
  };

  it('a byte flipped in a file of PostgreSQL is found, and the rest is still read', async () => {
    const marker = `marker-${randomUUID()}`;
    await withDamage(
      { table: 'events', marker, markedEvent: 30, streamOf: () => 'disk-1' },
      async (dataDir) => {
        const found = await verifyEventStore({ dataDir }, { log });
        assert.ok(found.faults > 0);
        assert.ok(found.events > 20, `${found.events} events are read in spite of the damage`);
      },
    );
  });

  it('a damaged page with the newest events is a finding like others', async () => {
    const marker = `marker-${randomUUID()}`;
    await withDamage(
      { table: 'events', marker, markedEvent: 59, streamOf: () => 'disk-1' },
      async (dataDir) => {
        const found = await verifyEventStore({ dataDir }, { log });
        assert.match(found.findings[0]?.problem ?? '', /the end of the log cannot be read/);
        assert.ok(found.events > 40, `${found.events} events are read in spite of the damage`);
        assert.ok(found.faults < 30, `${found.faults} faults`);
      },
    );
  });

  it('damaged names cost the events of those streams their check, and nothing else its own', async () => {
    const marker = `marker-${randomUUID()}`;
    await withDamage(
      { table: 'streams', marker, markedEvent: -1, streamOf: (n) => (n === 10 ? marker : `disk-${n}`) },
      async (dataDir) => {
        const found = await verifyEventStore({ dataDir }, { log });
        assert.equal(found.events, 61, 'every event is read');
        assert.ok(found.faults > 0);
        assert.match(found.findings[0]?.problem ?? '', /name of its stream cannot be read/);
      },
    );
  });
});
