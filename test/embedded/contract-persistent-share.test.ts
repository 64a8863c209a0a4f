/** Contract: how the consumers of a persistent subscription share its events. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  DISPATCH_TO_SINGLE,
  END,
  type EventStoreDBClient,
  PINNED,
  ROUND_ROBIN,
  streamNameFilter,
} from '@eventstore/db-client';
import {
  acknowledge,
  allSettingsFrom,
  type Delivery,
  group,
  infoOnce,
  joinAll,
  joinStream,
  settingsFrom,
  type TestConsumer,
} from './persistent.ts';
import { type Contract, freshStream, numbered, openContract } from './support.ts';

let contract: Contract;
let client: EventStoreDBClient;
before(async () => {
  contract = await openContract();
  client = contract.client();
});
after(() => contract.stop());

const createFor = async (stream: string, changes = {}): Promise<void> =>
  client.createPersistentSubscriptionToStream(stream, group, settingsFrom(changes));

const leaveAll = (consumers: readonly TestConsumer[]) =>
  Promise.all(consumers.map((consumer) => consumer.leave()));

describe('consumers of one group', () => {
  it('take turns', async () => {
    const stream = freshStream();
    await createFor(stream, { consumerStrategyName: ROUND_ROBIN });
    const both = [await joinStream(client, stream), await joinStream(client, stream)];
    await client.appendToStream(stream, numbered(10));
    await Promise.all(both.map((consumer) => consumer.until(5)));
    const numbers = both.flatMap((consumer) => consumer.numbers());
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    await leaveAll(both);
  });

  it('the second gets only what the first has no room for, with DispatchToSingle', async () => {
    const stream = freshStream();
    await createFor(stream, { consumerStrategyName: DISPATCH_TO_SINGLE });
    const both = [
      await joinStream(client, stream, undefined, { bufferSize: 5 }),
      await joinStream(client, stream, undefined, { bufferSize: 5 }),
    ];
    await client.appendToStream(stream, numbered(8));
    await infoOnce(client, stream, ({ stats }) => stats.totalInFlightMessages === 8);
    await Promise.all(both.map((consumer, at) => consumer.until(at === 0 ? 5 : 3)));
    assert.deepEqual(
      both.map((consumer) => consumer.numbers()),
      [
        [0, 1, 2, 3, 4],
        [5, 6, 7],
      ],
    );
    await leaveAll(both);
  });

  it('get all events of a stream at one place, in order, with Pinned', async () => {
    const prefix = freshStream('pinned');
    const streams = Array.from({ length: 8 }, (_, n) => `${prefix}-${n}`);
    const name = freshStream('group');
    const settings = allSettingsFrom({ startFrom: END, consumerStrategyName: PINNED });
    await client.createPersistentSubscriptionToAll(name, settings, {
      filter: streamNameFilter({ prefixes: [prefix] }),
    });
    let seen = 0;
    let finish: () => void = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const count = (one: Delivery, consumer: TestConsumer) => {
      acknowledge(one, consumer);
      seen += 1;
      if (seen === 40) finish();
    };
    const both = [await joinAll(client, name, count), await joinAll(client, name, count)];
    for (let n = 0; n < 5; n += 1)
      await Promise.all(streams.map((stream) => client.appendToStream(stream, numbered(1, n))));
    await finished;
    for (const stream of streams) {
      const shares = both.map((consumer) =>
        consumer.deliveries
          .filter(({ event }) => event?.streamId === stream)
          .map(({ event }) => (event?.data as { n: number } | undefined)?.n),
      );
      assert.deepEqual(
        shares.filter((share) => share.length > 0),
        [[0, 1, 2, 3, 4]],
      );
    }
    assert.ok(both.every((consumer) => consumer.deliveries.length > 0));
    await leaveAll(both);
    await client.deletePersistentSubscriptionToAll(name);
  });

  it('are measured when asked to be', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(5));
    await createFor(stream, { extraStatistics: true });
    const consumer = await joinStream(client, stream, acknowledge);
    await consumer.until(5);
    const { connections } = await infoOnce(
      client,
      stream,
      (info) => (info.connections[0]?.extraStatistics?.size ?? 0) > 0,
    );
    const measured = connections[0]?.extraStatistics as unknown as Map<string, bigint>;
    for (const name of ['mean', 'median', 'fastest', 'quintile 1', 'quintile 5', '90%', '99%', 'highest'])
      assert.ok((measured.get(name) ?? -1n) >= 0n, `${name} in ${[...measured.keys()]}`);
    await consumer.leave();
  });

  it('2 consumers get each of 2,000 events, while one of them leaves and comes back', async () => {
    const stream = freshStream();
    const total = 2_000;
    await createFor(stream, { checkPointLowerBound: 1, checkPointUpperBound: 100 });
    const acknowledged: number[] = [];
    const answer = (one: Delivery, consumer: TestConsumer) => {
      acknowledged.push((one.event?.data as { n: number } | undefined)?.n ?? -1);
      acknowledge(one, consumer);
    };
    const steady = await joinStream(client, stream, answer, { bufferSize: 50 });
    const fickle = await joinStream(client, stream, answer, { bufferSize: 50 });
    for (let n = 0; n < total; n += 500) await client.appendToStream(stream, numbered(500, n));
    await fickle.until(100);
    await fickle.leave();
    const again = await joinStream(client, stream, answer, { bufferSize: 50 });
    await infoOnce(client, stream, ({ stats }) => stats.lastCheckpointedEventRevision === BigInt(total - 1));
    assert.equal(new Set(acknowledged).size, total);
    // Only what the one that left had in flight may have come twice.
    assert.ok(acknowledged.length - total <= 50, `${acknowledged.length}`);
    const { stats } = await client.getPersistentSubscriptionToStreamInfo(stream, group);
    assert.deepEqual([stats.totalInFlightMessages, stats.parkedMessageCount], [0, 0n]);
    await leaveAll([steady, again]);
  });
});

describe('a stream that changes under its consumers', () => {
  it('need not exist yet', async () => {
    const stream = freshStream();
    await createFor(stream, { startFrom: END });
    const consumer = await joinStream(client, stream, acknowledge);
    await client.appendToStream(stream, numbered(2));
    await consumer.until(2);
    assert.deepEqual(consumer.numbers(), [0, 1]);
    await consumer.leave();
  });

  it('that was truncated begins where it now begins', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(5));
    await client.setStreamMetadata(stream, { truncateBefore: 3 });
    await createFor(stream);
    const consumer = await joinStream(client, stream, acknowledge);
    await consumer.until(2);
    assert.deepEqual(consumer.numbers(), [3, 4]);
    await consumer.leave();
  });

  it('that is deleted goes on when it is written to again', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(2));
    await createFor(stream);
    const consumer = await joinStream(client, stream, acknowledge);
    await consumer.until(2);
    await client.deleteStream(stream);
    await client.appendToStream(stream, numbered(1, 2));
    await consumer.until(3);
    assert.deepEqual(consumer.numbers(), [0, 1, 2]);
    await consumer.leave();
  });

  it('that is tombstoned ends, and its group can be asked about and deleted', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(2));
    await createFor(stream);
    const consumer = await joinStream(client, stream, acknowledge);
    await consumer.until(2);
    await client.tombstoneStream(stream);
    await infoOnce(client, stream, ({ stats }) => stats.totalInFlightMessages === 0);
    await consumer.leave();
    await client.deletePersistentSubscriptionToStream(stream, group);
  });
});
