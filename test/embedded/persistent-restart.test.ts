/** Persistent subscriptions of the embedded store across its ends, clean and not, and within its limits. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { BACKWARDS, binaryEvent, END, EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { start } from '../../embedded/event-store/main.ts';
import { type EventStoreProcess, startEventStoreProcess } from '../../embedded/event-store/process.ts';
import { ensureDatabase } from '../../embedded/postgres.ts';
import {
  acknowledge,
  type Delivery,
  eventually,
  group,
  infoOnce,
  joinStream,
  settingsFrom,
} from './persistent.ts';
import { collect, freshStream, log, numbered, openPostgres } from './support.ts';

let postgres: Awaited<ReturnType<typeof openPostgres>>;
before(async () => {
  postgres = await openPostgres();
});
after(() => postgres.stop());

const freshDatabase = (): Promise<string> =>
  ensureDatabase(postgres.url, `persistent_${randomUUID().replaceAll('-', '')}`);

const clientOf = ({ port }: { port: number }): EventStoreDBClient =>
  EventStoreDBClient.connectionString(`esdb://127.0.0.1:${port}?tls=false`);

const numberOf = ({ event }: Delivery): number => (event?.data as { n: number } | undefined)?.n ?? Number.NaN;

/** Every finished event is worth a checkpoint, so that what is redelivered can be told exactly. */
const eager = { checkPointLowerBound: 1, checkPointUpperBound: 1 };

/** Acknowledges all of five events but number 3. Resolves when that is stored. */
const workOnFour = async (client: EventStoreDBClient, stream: string): Promise<void> => {
  await client.appendToStream(stream, numbered(5));
  await client.createPersistentSubscriptionToStream(stream, group, settingsFrom(eager));
  const consumer = await joinStream(client, stream, (one, { subscription }) => {
    if (numberOf(one) !== 3) void subscription.ack(one);
  });
  await infoOnce(
    client,
    stream,
    ({ stats }) => stats.lastCheckpointedEventRevision === 2n && stats.totalInFlightMessages === 1,
  );
  consumer.failed.catch(() => {});
};

/** What a consumer gets in a store that was started again: all behind the first event that was not acknowledged. */
const assertRest = async (client: EventStoreDBClient, stream: string): Promise<void> => {
  await client.appendToStream(stream, numbered(1, 5));
  const again = await joinStream(client, stream, acknowledge);
  await again.until(3);
  assert.deepEqual(again.numbers(), [3, 4, 5]);
  await infoOnce(client, stream, ({ stats }) => stats.lastCheckpointedEventRevision === 5n);
  await again.leave();
};

describe('a persistent subscription', () => {
  it('goes on after the store was killed', async () => {
    const store: EventStoreProcess = await startEventStoreProcess(
      { port: 0, databaseUrl: await freshDatabase() },
      { log },
    );
    const stream = freshStream();
    const before = clientOf(store);
    await workOnFour(before, stream);
    const killed = store.pid();
    process.kill(killed, 'SIGKILL');
    await eventually(
      () => new Promise<number>((resolve) => setImmediate(() => resolve(store.pid()))),
      (pid) => pid !== killed,
    );
    await before.dispose();
    const client = clientOf(store);
    await assertRest(client, stream);
    await client.dispose();
    await store.stop();
  });

  it('goes on after the store was stopped and started', async () => {
    const databaseUrl = await freshDatabase();
    const first = await start({ port: 0, databaseUrl }, { log });
    const stream = freshStream();
    const before = clientOf(first);
    await workOnFour(before, stream);
    await first.stop();
    await before.dispose();
    const second = await start({ port: 0, databaseUrl }, { log });
    const client = clientOf(second);
    await assertRest(client, stream);
    await client.dispose();
    await second.stop();
  });

  it('is stored when the store stops, however little was finished', async () => {
    const databaseUrl = await freshDatabase();
    const first = await start({ port: 0, databaseUrl }, { log });
    const stream = freshStream();
    const before = clientOf(first);
    await before.appendToStream(stream, numbered(2));
    await before.createPersistentSubscriptionToStream(stream, group, settingsFrom());
    const consumer = await joinStream(before, stream, acknowledge);
    await consumer.until(2);
    await infoOnce(before, stream, ({ stats }) => stats.totalInFlightMessages === 0);
    await first.stop();
    assert.match((await consumer.failed).message, /UNAVAILABLE/);
    await before.dispose();
    const second = await start({ port: 0, databaseUrl }, { log });
    const client = clientOf(second);
    const { stats } = await client.getPersistentSubscriptionToStreamInfo(stream, group);
    assert.equal(stats.lastCheckpointedEventRevision, 1n);
    await client.dispose();
    await second.stop();
  });

  it('of a thousand is there again, with its settings', async () => {
    const databaseUrl = await freshDatabase();
    const first = await start({ port: 0, databaseUrl }, { log });
    const before = clientOf(first);
    const names = Array.from({ length: 1_000 }, (_, n) => `stream-${n}`);
    await before.createPersistentSubscriptionToStream('stream-0', group, settingsFrom({ maxRetryCount: 7 }));
    // The rest is written as the store would have, which saves making each of them.
    const config = '$persistentSubscriptionConfig';
    const [newest] = await collect(
      before.readStream(config, { direction: BACKWARDS, fromRevision: END, maxCount: 1 }),
    );
    if (!newest?.event) throw new Error('there is no configuration');
    const { version, entries } = newest.event.data as unknown as { version: number; entries: object[] };
    const data = { version, entries: names.map((stream) => ({ ...entries[0], stream })) };
    await before.appendToStream(config, jsonEvent({ type: '$PersistentConfig', data }));
    await before.dispose();
    await first.stop();
    const second = await start({ port: 0, databaseUrl }, { log });
    const client = clientOf(second);
    const all = await client.listAllPersistentSubscriptions();
    assert.deepEqual(all.map(({ eventSource }) => eventSource).sort(), [...names].sort());
    assert.ok(all.every((one) => one.settings.maxRetryCount === 7));
    await client.dispose();
    await second.stop();
  });

  it('with a broken newest configuration is taken from the one before', async () => {
    const databaseUrl = await freshDatabase();
    const first = await start({ port: 0, databaseUrl }, { log });
    const stream = freshStream();
    const before = clientOf(first);
    await before.createPersistentSubscriptionToStream(stream, group, settingsFrom());
    await before.appendToStream('$persistentSubscriptionConfig', [
      binaryEvent({ type: '$PersistentConfig', data: Buffer.from('{') }),
    ]);
    await before.dispose();
    await first.stop();
    const second = await start({ port: 0, databaseUrl }, { log });
    const client = clientOf(second);
    assert.equal((await client.listPersistentSubscriptionsToStream(stream)).length, 1);
    await client.dispose();
    await second.stop();
  });

  it('of large events keeps no more in flight than memory allows, and sends them all', async () => {
    const server = await start({ port: 0, databaseUrl: await freshDatabase() }, { log });
    const client = clientOf(server);
    const stream = freshStream();
    const count = 60;
    const data = new Uint8Array(1_000_000);
    for (let n = 0; n < count; n += 1)
      await client.appendToStream(stream, binaryEvent({ type: 'Large', data }));
    await client.createPersistentSubscriptionToStream(stream, group, settingsFrom());
    const held: Delivery[] = [];
    let isOpen = false;
    const consumer = await joinStream(
      client,
      stream,
      (one, { subscription }) => {
        if (isOpen) void subscription.ack(one);
        else held.push(one);
      },
      { bufferSize: 1_000 },
    );
    await consumer.until(34);
    const { stats } = await client.getPersistentSubscriptionToStreamInfo(stream, group);
    assert.equal(stats.totalInFlightMessages, 34);
    isOpen = true;
    for (const one of held) await consumer.subscription.ack(one);
    await consumer.until(count);
    await infoOnce(client, stream, (info) => info.stats.totalInFlightMessages === 0);
    await consumer.leave();
    await client.dispose();
    await server.stop();
  });
});
