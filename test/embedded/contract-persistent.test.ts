/** Contract: the life of persistent subscriptions to a stream, and what their consumers are sent. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  binaryEvent,
  DISPATCH_TO_SINGLE,
  END,
  type EventStoreDBClient,
  PersistentSubscriptionDoesNotExistError,
  PersistentSubscriptionDroppedError,
  PersistentSubscriptionExistsError,
  PersistentSubscriptionFailedError,
  PersistentSubscriptionMaximumSubscribersReachedError,
  PINNED,
  UNBOUNDED,
} from '@eventstore/db-client';
import { acknowledge, eventually, group, joinStream, settingsFrom } from './persistent.ts';
import { type Contract, freshStream, numbered, openContract, rejection } from './support.ts';

let contract: Contract;
let client: EventStoreDBClient;
before(async () => {
  contract = await openContract();
  client = contract.client();
});
after(() => contract.stop());

const create = async (stream: string, changes = {}) =>
  client.createPersistentSubscriptionToStream(stream, group, settingsFrom(changes));

describe('a persistent subscription to a stream', () => {
  it('is made once', async () => {
    const stream = freshStream();
    await create(stream);
    const error = await rejection(create(stream));
    assert.ok(error instanceof PersistentSubscriptionExistsError, `${error}`);
    assert.deepEqual([error.streamName, error.groupName], [stream, group]);
  });

  it('a group that is not there can be neither used, changed, asked about nor deleted', async () => {
    const stream = freshStream();
    const calls = [
      () => joinStream(client, stream),
      () => client.updatePersistentSubscriptionToStream(stream, group, settingsFrom()),
      () => client.deletePersistentSubscriptionToStream(stream, group),
      () => client.getPersistentSubscriptionToStreamInfo(stream, group),
      () => client.replayParkedMessagesToStream(stream, group),
      () => client.listPersistentSubscriptionsToStream(stream),
    ];
    for (const call of calls) {
      const error = await rejection(call());
      assert.ok(error instanceof PersistentSubscriptionDoesNotExistError, `${call}: ${error}`);
    }
  });

  it('settings that contradict each other are refused', async () => {
    const error = await rejection(create(freshStream(), { readBatchSize: 500, historyBufferSize: 500 }));
    assert.ok(error instanceof PersistentSubscriptionFailedError, `${error}`);
  });

  it('tells its settings and where it starts', async () => {
    const stream = freshStream();
    const settings = settingsFrom({
      startFrom: 7n,
      resolveLinkTos: true,
      messageTimeout: 4_000,
      maxRetryCount: 3,
      checkPointAfter: 1_500,
      checkPointLowerBound: 5,
      checkPointUpperBound: 50,
      maxSubscriberCount: 4,
      liveBufferSize: 300,
      readBatchSize: 30,
      historyBufferSize: 301,
      consumerStrategyName: PINNED,
    });
    await client.createPersistentSubscriptionToStream(stream, group, settings);
    const info = await client.getPersistentSubscriptionToStreamInfo(stream, group);
    assert.deepEqual(info.settings, settings);
    assert.deepEqual([info.eventSource, info.groupName, info.connections], [stream, group, []]);
    assert.equal(info.stats.lastCheckpointedEventRevision, undefined);
  });

  it('sends the past, then what comes, and hears acknowledgements', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(5));
    await create(stream);
    const consumer = await joinStream(client, stream, acknowledge);
    await consumer.until(5);
    await client.appendToStream(stream, numbered(3, 5));
    await consumer.until(8);
    assert.deepEqual(consumer.numbers(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert.deepEqual(
      consumer.deliveries.map(({ retryCount }) => retryCount),
      Array(8).fill(0),
    );
    const info = await eventually(
      () => client.getPersistentSubscriptionToStreamInfo(stream, group),
      ({ stats }) => stats.totalInFlightMessages === 0,
    );
    assert.equal(info.stats.lastKnownEventRevision, 7n);
    assert.equal(info.connections.length, 1);
    assert.equal(info.connections[0]?.totalItems, 8n);
    await consumer.leave();
  });

  it('begins at a revision, or at the end as it was when it was made', async () => {
    const stream = freshStream();
    const other = freshStream();
    for (const one of [stream, other]) await client.appendToStream(one, numbered(5));
    await create(stream, { startFrom: 3n });
    await create(other, { startFrom: END });
    await client.appendToStream(other, numbered(1, 5));
    const fromThree = await joinStream(client, stream, acknowledge);
    const fromEnd = await joinStream(client, other, acknowledge);
    await fromThree.until(2);
    await fromEnd.until(1);
    assert.deepEqual([fromThree.numbers(), fromEnd.numbers()], [[3, 4], [5]]);
    await Promise.all([fromThree.leave(), fromEnd.leave()]);
  });

  it('sends no more than the consumer’s window before it answers', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(20));
    await create(stream);
    const consumer = await joinStream(client, stream, undefined, { bufferSize: 4 });
    await consumer.until(4);
    const { connections, stats } = await client.getPersistentSubscriptionToStreamInfo(stream, group);
    assert.deepEqual([connections[0]?.inFlightMessages, connections[0]?.availableSlots], [4, 0]);
    assert.equal(stats.totalInFlightMessages, 4);
    assert.equal(consumer.deliveries.length, 4);
    const [first, second] = consumer.deliveries;
    if (!first || !second) throw new Error('two deliveries expected');
    await consumer.subscription.ack(first, second);
    await consumer.until(6);
    assert.deepEqual(consumer.numbers(), [0, 1, 2, 3, 4, 5]);
    await consumer.leave();
  });

  it('resolves links and is acknowledged by the link’s id', async () => {
    const stream = freshStream();
    const links = freshStream('links');
    await client.appendToStream(stream, numbered(2));
    const link = (n: number) => binaryEvent({ type: '$>', data: Buffer.from(`${n}@${stream}`) });
    await client.appendToStream(links, [link(0), link(1)]);
    await create(links, { resolveLinkTos: true });
    const consumer = await joinStream(client, links, acknowledge);
    await consumer.until(2);
    assert.deepEqual(consumer.numbers(), [0, 1]);
    assert.deepEqual(
      consumer.deliveries.map((one) => [one.event?.streamId, one.link?.streamId]),
      Array(2).fill([stream, links]),
    );
    await eventually(
      () => client.getPersistentSubscriptionToStreamInfo(links, group),
      ({ stats }) => stats.totalInFlightMessages === 0,
    );
    await consumer.leave();
  });

  it('lists the groups of a stream, and all of them', async () => {
    const stream = freshStream();
    await create(stream);
    await client.createPersistentSubscriptionToStream(stream, 'others', settingsFrom());
    const names = (list: { groupName: string; eventSource: string }[]) =>
      list.filter((one) => one.eventSource === stream).map((one) => one.groupName);
    assert.deepEqual(names(await client.listPersistentSubscriptionsToStream(stream)), [group, 'others']);
    assert.deepEqual(names(await client.listAllPersistentSubscriptions()), [group, 'others']);
  });

  it('takes no more consumers than it may', async () => {
    const stream = freshStream();
    await create(stream, { maxSubscriberCount: 1 });
    const first = await joinStream(client, stream);
    const error = await rejection(joinStream(client, stream));
    assert.ok(error instanceof PersistentSubscriptionMaximumSubscribersReachedError, `${error}`);
    await client.updatePersistentSubscriptionToStream(
      stream,
      group,
      settingsFrom({ maxSubscriberCount: UNBOUNDED }),
    );
    assert.ok((await first.failed) instanceof PersistentSubscriptionDroppedError);
    const both = [await joinStream(client, stream), await joinStream(client, stream)];
    await Promise.all(both.map((one) => one.leave()));
  });

  it('drops its consumers when it is deleted, and forgets how far it had come', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(3));
    await create(stream, { checkPointLowerBound: 1, checkPointUpperBound: 1 });
    const consumer = await joinStream(client, stream, acknowledge);
    await consumer.until(3);
    await eventually(
      () => client.getPersistentSubscriptionToStreamInfo(stream, group),
      ({ stats }) => stats.lastCheckpointedEventRevision === 2n,
    );
    await client.deletePersistentSubscriptionToStream(stream, group);
    assert.ok((await consumer.failed) instanceof PersistentSubscriptionDroppedError);
    await assert.rejects(joinStream(client, stream), PersistentSubscriptionDoesNotExistError);
    await create(stream);
    const again = await joinStream(client, stream, acknowledge);
    await again.until(3);
    assert.deepEqual(again.numbers(), [0, 1, 2]);
    await again.leave();
  });

  it('goes on where it was when its settings change', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(3));
    await create(stream, { checkPointLowerBound: 1, checkPointUpperBound: 1 });
    const consumer = await joinStream(client, stream, acknowledge);
    await consumer.until(3);
    await eventually(
      () => client.getPersistentSubscriptionToStreamInfo(stream, group),
      ({ stats }) => stats.lastCheckpointedEventRevision === 2n,
    );
    const changed = settingsFrom({ consumerStrategyName: DISPATCH_TO_SINGLE });
    await client.updatePersistentSubscriptionToStream(stream, group, changed);
    await client.appendToStream(stream, numbered(1, 3));
    const again = await joinStream(client, stream, acknowledge);
    await again.until(1);
    assert.deepEqual(again.numbers(), [3]);
    const { settings } = await client.getPersistentSubscriptionToStreamInfo(stream, group);
    assert.equal(settings.consumerStrategyName, DISPATCH_TO_SINGLE);
    await again.leave();
  });
});
