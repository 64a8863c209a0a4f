/**
 * How fast a scavenge removes events, and what appends beside it notice of it.
 * Called by main.ts.
 */
import { scavengeLog } from '../../embedded/event-store/scavenge.ts';
import { openSql } from '../../platform/sql.ts';
import { closedLoop } from '../measure.ts';
import { figureRow, heading, rateRow, row } from '../report.ts';
import { append, newEvents, openStoreAlone, type StoreAlone } from './alone.ts';

const chunk = 100;
const perStream = 1_000;
const kept = 100;
const callers = 32;

const grow = async (store: StoreAlone, events: number): Promise<void> => {
  const streams = Math.ceil(events / perStream);
  let next = 0;
  const loop = async (): Promise<void> => {
    for (let stream = next++; stream < streams; stream = next++)
      for (let n = 0; n < perStream; n += chunk)
        await append(store, `bench-scavenged_${stream}`, 'any', chunk);
  };
  await Promise.all(Array.from({ length: 16 }, loop));
  const data = Buffer.from(`{"$maxCount":${kept}}`);
  for (let stream = 0; stream < streams; stream += 1) {
    const metadata = newEvents(1).map((event) => ({ ...event, type: '$metadata', data }));
    const name = `$$bench-scavenged_${stream}`;
    await store.writer.submit({ kind: 'append', stream: name, expected: 'any', events: metadata });
  }
  await store.sql`vacuum analyze event_store.events`;
  await store.sql`checkpoint`;
};

const appendBeside = (store: StoreAlone, durationMs: number) =>
  closedLoop(callers, durationMs, (caller) => append(store, `bench-beside_${caller}`, 'any'));

/** Prints events removed per second from a log of `events`, of which nine in ten may go, and appends beside it. */
export const benchScavenge = async (
  addresses: { databaseUrl: string },
  durationMs: number,
  events: number,
): Promise<void> => {
  const store = await openStoreAlone(addresses.databaseUrl);
  await grow(store, events);
  heading(`Event store: scavenge of a log of ${events} events, nine in ten to go`);
  const alone = await appendBeside(store, durationMs);
  const sql = openSql(store.databaseUrl, { max: 1 });
  const startedAt = performance.now();
  let elapsedMs = 0;
  const scavenging = scavengeLog(sql).then((done) => {
    elapsedMs = performance.now() - startedAt;
    return done;
  });
  const beside = await appendBeside(store, durationMs);
  const done = await scavenging;
  await sql.end();
  row(`append, ${callers} callers, nothing beside`, alone);
  row('append, while the scavenge runs', beside, { name: 'nothing beside', measured: alone });
  rateRow('events removed, vacuum included', (done.events * 1000) / elapsedMs);
  figureRow('space of an event removed', done.sizeBytes / Math.max(1, done.events), 'bytes');
  await store.close();
};
