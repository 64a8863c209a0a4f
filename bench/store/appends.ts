/**
 * Durable appends with the expected revision checked: through the official client and by the store alone, against one
 * INSERT per call, COPY and emmett-postgresql on the same PostgreSQL; and 10,000 of them fired at once.
 * Called by main.ts.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ANY, EventStoreDBClient, jsonEvent, NO_STREAM } from '@eventstore/db-client';
import { ensureDatabase } from '../../embedded/postgres.ts';
import { newUuid } from '../../platform/new-id.ts';
import { openSql, type Sql } from '../../platform/sql.ts';
import { closedLoop, type Measured, medianOf, summarise } from '../measure.ts';
import { heading, rateRow, row } from '../report.ts';
import { append, openStoreAlone, type StoreAlone } from './alone.ts';
import { emmettAppends, openEmmett } from './emmett.ts';

const payload = { checkInId: 'x'.repeat(36), dueAt: '2026-01-01T00:00:00.000Z', filler: 'y'.repeat(280) };
const rounds = 3;

const withTable = async <T>(databaseUrl: string, max: number, use: (sql: Sql) => Promise<T>): Promise<T> => {
  const sql = openSql(databaseUrl, { max });
  try {
    await sql`create table if not exists bench_inserts (id uuid primary key, stream text, data jsonb, at timestamptz default now())`;
    return await use(sql);
  } finally {
    await sql`drop table bench_inserts`;
    await sql.end();
  }
};

/** Rates of one-INSERT-per-call, for other benches to compare with. */
export const singleInserts = (databaseUrl: string, callers: number, durationMs: number): Promise<Measured> =>
  withTable(databaseUrl, callers, (sql) =>
    closedLoop(
      callers,
      durationMs,
      (caller) =>
        sql`insert into bench_inserts (id, stream, data) values (${newUuid()}, ${`stream-${caller}`}, ${sql.json(payload)})`,
    ),
  );

/** Rows a second that one COPY of many rows brings in. */
const copied = (databaseUrl: string, count: number): Promise<number> =>
  withTable(databaseUrl, 1, async (sql) => {
    const text = JSON.stringify(payload);
    const lines = Array.from({ length: count }, (_, n) => `${newUuid()}\tstream-${n % 32}\t${text}\n`);
    const startedAt = performance.now();
    const into = await sql`copy bench_inserts (id, stream, data) from stdin`.writable();
    await pipeline(Readable.from(lines.map((line) => Buffer.from(line))), into);
    return (count * 1000) / (performance.now() - startedAt);
  });

const clientAppends = (
  client: EventStoreDBClient,
  callers: number,
  durationMs: number,
): Promise<Measured> => {
  const run = newUuid().replaceAll('-', '');
  const revisions: (bigint | undefined)[] = [];
  return closedLoop(callers, durationMs, async (caller) => {
    const event = jsonEvent({ type: 'Benched', data: payload, metadata: { at: 'now' } });
    const expectedRevision = revisions[caller] ?? NO_STREAM;
    const result = await client.appendToStream(`bench-${run}_${caller}`, event, { expectedRevision });
    revisions[caller] = result.nextExpectedRevision;
  });
};

const aloneAppends = (store: StoreAlone, callers: number, durationMs: number): Promise<Measured> => {
  const run = newUuid().replaceAll('-', '');
  const revisions: (bigint | undefined)[] = [];
  return closedLoop(callers, durationMs, async (caller) => {
    revisions[caller] = await append(store, `bench-${run}_${caller}`, revisions[caller] ?? -1n);
  });
};

const burstSize = 10_000;

/** Fires them all before the first is answered; each has the client's default deadline of ten seconds. */
const burst = async (
  client: EventStoreDBClient,
  options: object,
): Promise<{ measured: Measured; failed: number }> => {
  const run = newUuid().replaceAll('-', '');
  const latencies: number[] = [];
  const startedAt = performance.now();
  const results = await Promise.allSettled(
    Array.from({ length: burstSize }, async (_, n) => {
      const event = jsonEvent({ type: 'Benched', data: payload });
      await client.appendToStream(`burst-${run}_${n % 2_000}`, event, { expectedRevision: ANY, ...options });
      latencies.push(performance.now() - startedAt);
    }),
  );
  return {
    measured: summarise(latencies, performance.now() - startedAt),
    failed: results.filter((result) => result.status === 'rejected').length,
  };
};

const benchBursts = async (client: EventStoreDBClient): Promise<void> => {
  heading(`Event store: ${burstSize} single appends fired at once through one client`);
  // Credentials make the client choose the Append path; over plain loopback it never sends them.
  const paths = { BatchAppend: {}, Append: { credentials: { username: 'bench', password: 'bench' } } };
  for (const [path, options] of Object.entries(paths)) {
    const { measured, failed } = await burst(client, options);
    row(`${path}, ${failed} failed`, measured);
  }
};

/** Prints the store's append rates. Interleaves what it compares, and reports medians. */
export const benchAppends = async (
  addresses: { databaseUrl: string; eventStoreUrl: string },
  durationMs: number,
): Promise<void> => {
  const client = EventStoreDBClient.connectionString(addresses.eventStoreUrl);
  const alone = await openStoreAlone(addresses.databaseUrl);
  const emmett = await openEmmett(await ensureDatabase(addresses.databaseUrl, 'bench_emmett'));
  await clientAppends(client, 32, durationMs / 2);
  await aloneAppends(alone, 32, durationMs / 2);
  await emmettAppends(emmett, payload, 32, durationMs / 2);
  for (const callers of [32, 256]) {
    const connections = Math.min(callers, 64);
    const inserts: Measured[] = [];
    const theirs: Measured[] = [];
    const stored: Measured[] = [];
    const throughClient: Measured[] = [];
    for (let round = 0; round < rounds; round += 1) {
      inserts.push(await singleInserts(addresses.databaseUrl, connections, durationMs));
      theirs.push(await emmettAppends(emmett, payload, callers, durationMs));
      stored.push(await aloneAppends(alone, callers, durationMs));
      throughClient.push(await clientAppends(client, callers, durationMs));
    }
    const insert = { name: 'INSERT', measured: medianOf(inserts) };
    const emmettBase = { name: 'emmett', measured: medianOf(theirs) };
    heading(`Event store: durable appends, expected revision checked, ${callers} callers`);
    row(`one INSERT per call, ${connections} connections`, insert.measured);
    row('emmett-postgresql', emmettBase.measured, insert);
    row('the store alone', medianOf(stored), insert, { ...emmettBase, target: 6 });
    row('through @eventstore/db-client', medianOf(throughClient), insert, emmettBase);
  }
  const copyRate = await copied(addresses.databaseUrl, 100_000);
  rateRow('COPY, 100,000 rows at once', copyRate);
  const chunk = await closedLoop(4, durationMs, (caller) =>
    append(alone, `bench-chunks_${caller}`, 'any', 500),
  );
  rateRow('the store alone, appends of 500 events, 4 callers', chunk.perSecond * 500, {
    name: 'COPY',
    measured: { perSecond: copyRate },
  });
  await benchBursts(client);
  await client.dispose();
  await alone.close();
  await emmett.close();
};
