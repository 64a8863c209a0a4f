/** Contract: what becomes of events that a consumer of a persistent subscription does not acknowledge. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { binaryEvent, type EventStoreDBClient } from '@eventstore/db-client';
import {
  acknowledge,
  type Delivery,
  group,
  infoOnce,
  joinStream,
  settingsFrom,
  type TestConsumer,
} from './persistent.ts';
import { type Contract, collect, freshStream, numbered, openContract } from './support.ts';

let contract: Contract;
let client: EventStoreDBClient;
before(async () => {
  contract = await openContract();
  client = contract.client();
});
after(() => contract.stop());

/** A stream with `count` events and a group that reads it from the start. */
const streamWith = async (count: number, changes = {}): Promise<string> => {
  const stream = freshStream();
  if (count > 0) await client.appendToStream(stream, numbered(count));
  await client.createPersistentSubscriptionToStream(stream, group, settingsFrom(changes));
  return stream;
};

const numberOf = ({ event }: Delivery): number => (event?.data as { n: number } | undefined)?.n ?? Number.NaN;
const retriesOf = (consumer: TestConsumer): [n: number, retryCount: number][] =>
  consumer.deliveries.map((one) => [numberOf(one), one.retryCount]);
const isIdle = ({ stats }: { stats: { totalInFlightMessages: number; retryBufferCount: number } }): boolean =>
  stats.totalInFlightMessages === 0 && stats.retryBufferCount === 0;

describe('an event that is not acknowledged', () => {
  it('is parked on request, with the reason, and not sent again', async () => {
    const stream = await streamWith(2);
    const consumer = await joinStream(client, stream, (one, { subscription }) => {
      void (numberOf(one) === 0 ? subscription.nack('park', 'no good', one) : subscription.ack(one));
    });
    await infoOnce(client, stream, (info) => info.stats.parkedMessageCount === 1n && isIdle(info));
    assert.deepEqual(consumer.numbers(), [0, 1]);
    const [parked] = await collect(client.readStream(`$persistentsubscription-${stream}::${group}-parked`));
    assert.equal(parked?.event?.type, '$>');
    assert.equal(Buffer.from(parked?.event?.data as Uint8Array).toString(), `0@${stream}`);
    const metadata = JSON.stringify(parked?.event?.metadata);
    assert.match(metadata, /no good/);
    await consumer.leave();
  });

  it('is sent again on request, counted', async () => {
    const stream = await streamWith(1);
    const consumer = await joinStream(client, stream, (one, { subscription }) => {
      void (one.retryCount < 2 ? subscription.nack('retry', 'again', one) : subscription.ack(one));
    });
    await consumer.until(3);
    await infoOnce(client, stream, isIdle);
    assert.deepEqual(retriesOf(consumer), [
      [0, 0],
      [0, 1],
      [0, 2],
    ]);
    await consumer.leave();
  });

  it('is skipped on request: neither sent again nor parked', async () => {
    const stream = await streamWith(2);
    const consumer = await joinStream(client, stream, (one, { subscription }) => {
      void subscription.nack('skip', 'not for us', one);
    });
    await consumer.until(2);
    const { stats } = await infoOnce(client, stream, isIdle);
    assert.equal(stats.parkedMessageCount, 0n);
    assert.deepEqual(consumer.numbers(), [0, 1]);
    await consumer.leave();
  });

  it('is sent again when there is no answer in time', async () => {
    const stream = await streamWith(1, { messageTimeout: 100 });
    const consumer = await joinStream(client, stream, (one, { subscription }) => {
      if (one.retryCount > 0) void subscription.ack(one);
    });
    await consumer.until(2);
    await infoOnce(client, stream, isIdle);
    assert.deepEqual(retriesOf(consumer), [
      [0, 0],
      [0, 1],
    ]);
    await consumer.leave();
  });

  it('is waited for without end when there is no timeout', async () => {
    const stream = await streamWith(2, {
      messageTimeout: 0,
      checkPointAfter: 20,
      checkPointLowerBound: 1,
    });
    const consumer = await joinStream(client, stream, (one, { subscription }) => {
      if (numberOf(one) !== 1) void subscription.ack(one);
    });
    await consumer.until(2);
    // By now whatever looks at due times has done so.
    await infoOnce(client, stream, ({ stats }) => stats.lastCheckpointedEventRevision === 0n);
    await client.appendToStream(stream, numbered(1, 2));
    await consumer.until(3);
    assert.deepEqual(consumer.numbers(), [0, 1, 2]);
    await consumer.leave();
  });

  it('is parked after as many retries as allowed', async () => {
    const stream = await streamWith(1, { maxRetryCount: 2 });
    const consumer = await joinStream(client, stream, (one, { subscription }) => {
      void subscription.nack('retry', 'never', one);
    });
    await infoOnce(client, stream, (info) => info.stats.parkedMessageCount === 1n && isIdle(info));
    assert.deepEqual(
      retriesOf(consumer).map(([, retryCount]) => retryCount),
      [0, 1, 2],
    );
    await consumer.leave();
  });

  it('is parked when the answers that never come use up the retries', async () => {
    const stream = await streamWith(1, { maxRetryCount: 1, messageTimeout: 100 });
    const consumer = await joinStream(client, stream);
    await infoOnce(client, stream, (info) => info.stats.parkedMessageCount === 1n && isIdle(info));
    assert.equal(consumer.deliveries.length, 2);
    await consumer.leave();
  });

  it('goes to the others when its consumer leaves, counted', async () => {
    const stream = await streamWith(3);
    const first = await joinStream(client, stream);
    await first.until(3);
    const second = await joinStream(client, stream, acknowledge);
    await first.leave();
    await second.until(3);
    assert.deepEqual(retriesOf(second), [
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
    await second.leave();
  });
});

describe('parked events', () => {
  it('are replayed up to a revision, then the rest', async () => {
    const stream = await streamWith(3);
    let isReplay = false;
    const consumer = await joinStream(client, stream, (one, { subscription }) => {
      void (isReplay ? subscription.ack(one) : subscription.nack('park', 'later', one));
    });
    await infoOnce(client, stream, (info) => info.stats.parkedMessageCount === 3n && isIdle(info));
    isReplay = true;
    await client.replayParkedMessagesToStream(stream, group, { stopAt: 2 });
    await consumer.until(5);
    await infoOnce(client, stream, (info) => info.stats.parkedMessageCount === 1n && isIdle(info));
    const replayed = consumer.deliveries.slice(3);
    assert.deepEqual(replayed.map(numberOf).sort(), [0, 1]);
    assert.ok(replayed.every(({ event, link }) => event?.streamId === stream && link !== undefined));
    await client.replayParkedMessagesToStream(stream, group);
    await consumer.until(6);
    await infoOnce(client, stream, (info) => info.stats.parkedMessageCount === 0n && isIdle(info));
    assert.equal(consumer.numbers().at(-1), 2);
    await consumer.leave();
  });

  it('are parked again when they fail again', async () => {
    const stream = await streamWith(1);
    const consumer = await joinStream(client, stream, (one, { subscription }) => {
      void subscription.nack('park', 'never', one);
    });
    await infoOnce(client, stream, (info) => info.stats.parkedMessageCount === 1n && isIdle(info));
    await client.replayParkedMessagesToStream(stream, group);
    await consumer.until(2);
    await infoOnce(client, stream, (info) => info.stats.parkedMessageCount === 1n && isIdle(info));
    await client.replayParkedMessagesToStream(stream, group);
    await consumer.until(3);
    assert.deepEqual(consumer.numbers(), [0, 0, 0]);
    await consumer.leave();
  });

  it('whose stream is gone are not replayed', async () => {
    const stream = await streamWith(2);
    let isReplay = false;
    const consumer = await joinStream(client, stream, (one, { subscription }) => {
      void (isReplay ? subscription.ack(one) : subscription.nack('park', 'later', one));
    });
    await infoOnce(client, stream, (info) => info.stats.parkedMessageCount === 2n && isIdle(info));
    await client.deleteStream(stream);
    isReplay = true;
    await client.replayParkedMessagesToStream(stream, group);
    await infoOnce(client, stream, ({ stats }) => stats.parkedMessageCount === 0n);
    await client.appendToStream(stream, numbered(1, 2));
    await consumer.until(3);
    assert.deepEqual(consumer.numbers(), [0, 1, 2]);
    await consumer.leave();
  });
});

describe('a link whose event is gone', () => {
  it('is sent as a link alone', async () => {
    const links = freshStream('links');
    const data = Buffer.from(`0@${freshStream()}`);
    await client.appendToStream(links, [binaryEvent({ type: '$>', data })]);
    await client.createPersistentSubscriptionToStream(links, group, settingsFrom({ resolveLinkTos: true }));
    const consumer = await joinStream(client, links, acknowledge);
    await consumer.until(1);
    const [only] = consumer.deliveries;
    assert.deepEqual([only?.event, only?.link?.streamId], [undefined, links]);
    await infoOnce(client, links, isIdle);
    await consumer.leave();
  });
});
