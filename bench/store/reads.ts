/**
 * Reading the whole log: through the official client, against a server without storage that streams such events to the
 * same client; and by the store alone, against one ordered SELECT of the same rows. Called by main.ts.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { EventStoreDBClient, FORWARDS, START } from '@eventstore/db-client';
import { startEventStoreProcess } from '../../embedded/event-store/process.ts';
import { readAll } from '../../embedded/event-store/reader.ts';
import { openLog } from '../../platform/log.ts';
import { heading, rateRow } from '../report.ts';
import { append, openStoreAlone, type StoreAlone } from './alone.ts';

const logSize = 100_000;
const rounds = 3;

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

const timed = async (read: () => Promise<number>): Promise<number> => {
  const startedAt = performance.now();
  const count = await read();
  return (count * 1000) / (performance.now() - startedAt);
};

const readThrough = async (client: EventStoreDBClient): Promise<number> => {
  let count = 0;
  for await (const _ of client.readAll({ direction: FORWARDS, fromPosition: START, maxCount: logSize }))
    count += 1;
  return count;
};

const readAlone = async ({ sql }: StoreAlone): Promise<number> => {
  let count = 0;
  for await (const page of readAll(sql, { from: 'start', backwards: false, maxCount: logSize }))
    count += page.length;
  return count;
};

/** One statement, rows taken in by the thousand: the least that reading them in order can cost this process. */
const selectOrdered = async ({ sql }: StoreAlone): Promise<number> => {
  let count = 0;
  const rows = sql`
    select e.position, s.name as stream, e.revision, e.created, e.id, e.json, e.type, e.data, e.metadata
    from event_store.events e join event_store.streams s on s.id = e.stream
    order by e.position limit ${logSize}`;
  await rows.cursor(1_000, (page) => {
    count += page.length;
  });
  return count;
};

const startBareStore = async () => {
  const file = fileURLToPath(new URL('bare-store.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), file, String(logSize)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const port = await new Promise<string>((resolve) =>
    createInterface({ input: child.stdout }).once('line', resolve),
  );
  return {
    client: EventStoreDBClient.connectionString(`esdb://127.0.0.1:${port}?tls=false`),
    stop: () => child.stdin.end(),
  };
};

const fill = async (store: StoreAlone): Promise<void> => {
  for (let written = 0; written < logSize; written += 5_000)
    await Promise.all(Array.from({ length: 100 }, (_, n) => append(store, `bench-read_${n}`, 'any', 50)));
};

/** Prints rates of reading a log of 100,000 events from its beginning. */
export const benchReads = async (addresses: { databaseUrl: string }): Promise<void> => {
  heading(`Event store: reading ${logSize} events of about 400 bytes in order`);
  const alone = await openStoreAlone(addresses.databaseUrl);
  await fill(alone);
  await alone.sql`vacuum analyze event_store.events`;
  const rates = {
    select: [] as number[],
    alone: [] as number[],
    bare: [] as number[],
    client: [] as number[],
  };
  for (let round = 0; round < rounds; round += 1) {
    rates.select.push(await timed(() => selectOrdered(alone)));
    rates.alone.push(await timed(() => readAlone(alone)));
  }
  await alone.close();
  const log = openLog({ level: 'warn', name: 'bench' });
  const store = await startEventStoreProcess({ port: 0, databaseUrl: alone.databaseUrl }, { log });
  const bare = await startBareStore();
  const client = EventStoreDBClient.connectionString(`esdb://127.0.0.1:${store.port}?tls=false`);
  for (let round = 0; round < rounds; round += 1) {
    rates.bare.push(await timed(() => readThrough(bare.client)));
    rates.client.push(await timed(() => readThrough(client)));
  }
  await client.dispose();
  await bare.client.dispose();
  bare.stop();
  await store.stop();
  const select = { name: 'SELECT', measured: { perSecond: median(rates.select) }, target: 0.5 };
  const bareBase = {
    name: 'server without storage',
    measured: { perSecond: median(rates.bare) },
    target: 0.8,
  };
  rateRow('ordered SELECT, one statement', select.measured.perSecond);
  rateRow('the store alone', median(rates.alone), select);
  rateRow('server without storage, through the client', bareBase.measured.perSecond);
  rateRow('the store, through the client', median(rates.client), bareBase);
};
