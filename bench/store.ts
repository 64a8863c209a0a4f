/**
 * Appends through the official client to the embedded event store, against one INSERT per call on the same PostgreSQL.
 * Called by main.ts.
 */
import { EventStoreDBClient, jsonEvent, NO_STREAM } from '@eventstore/db-client';
import { newUuid } from '../platform/new-id.ts';
import { openSql } from '../platform/sql.ts';
import { closedLoop, type Measured, medianOf } from './measure.ts';
import { heading, row } from './report.ts';

const payload = { checkInId: 'x'.repeat(36), dueAt: '2026-01-01T00:00:00.000Z', filler: 'y'.repeat(280) };
const rounds = 3;

/** Rates of one-INSERT-per-call with 32 callers, for other benches to compare with. */
export const singleInserts = async (
  databaseUrl: string,
  callers: number,
  durationMs: number,
): Promise<Measured> => {
  const sql = openSql(databaseUrl, { max: callers });
  try {
    await sql`create table if not exists bench_inserts (id uuid primary key, stream text, data jsonb, at timestamptz default now())`;
    return await closedLoop(
      callers,
      durationMs,
      (caller) =>
        sql`insert into bench_inserts (id, stream, data) values (${newUuid()}, ${`stream-${caller}`}, ${sql.json(payload)})`,
    );
  } finally {
    await sql`drop table bench_inserts`;
    await sql.end();
  }
};

const appends = async (
  client: EventStoreDBClient,
  callers: number,
  durationMs: number,
): Promise<Measured> => {
  const run = newUuid().replaceAll('-', '');
  const revisions = Array.from({ length: callers }, () => -1n);
  return closedLoop(callers, durationMs, async (caller) => {
    const expected = revisions[caller] as bigint;
    const event = jsonEvent({ type: 'Benched', data: payload, metadata: { at: 'now' } });
    const expectedRevision = expected < 0n ? NO_STREAM : expected;
    const result = await client.appendToStream(`bench-${run}_${caller}`, event, { expectedRevision });
    revisions[caller] = result.nextExpectedRevision;
  });
};

/** Prints the store's rates. Interleaves what it compares, and reports medians. */
export const benchStore = async (
  addresses: { databaseUrl: string; eventStoreUrl: string },
  durationMs: number,
): Promise<void> => {
  heading('Event store: durable appends through @eventstore/db-client, expected revision checked');
  const client = EventStoreDBClient.connectionString(addresses.eventStoreUrl);
  await appends(client, 32, durationMs / 2);
  for (const callers of [32, 256]) {
    const baseline: Measured[] = [];
    const measured: Measured[] = [];
    for (let round = 0; round < rounds; round += 1) {
      baseline.push(await singleInserts(addresses.databaseUrl, Math.min(callers, 64), durationMs));
      measured.push(await appends(client, callers, durationMs));
    }
    row(`one INSERT per call, ${Math.min(callers, 64)} connections`, medianOf(baseline));
    row(`append, ${callers} callers`, medianOf(measured), { name: 'INSERT', measured: medianOf(baseline) });
  }
  await client.dispose();
};
