/** Contract: persistent subscriptions to $all. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  END,
  type EventStoreDBClient,
  eventTypeFilter,
  type Filter,
  PersistentSubscriptionDoesNotExistError,
  PersistentSubscriptionDroppedError,
  PersistentSubscriptionExistsError,
  PersistentSubscriptionFailedError,
  PINNED,
  type Position,
  START,
  streamNameFilter,
} from '@eventstore/db-client';
import { acknowledge, allSettingsFrom, eventually, joinAll } from './persistent.ts';
import { type Contract, freshStream, numbered, openContract, rejection } from './support.ts';

let contract: Contract;
let client: EventStoreDBClient;
before(async () => {
  contract = await openContract();
  client = contract.client();
});
after(() => contract.stop());

/** Groups that a case made; a server under contract keeps none of them. */
const made: string[] = [];
after(async () => {
  for (const name of made) await client.deletePersistentSubscriptionToAll(name).catch(() => {});
});

const create = async (changes = {}, filter?: Filter): Promise<string> => {
  const name = freshStream('group');
  await client.createPersistentSubscriptionToAll(name, allSettingsFrom(changes), filter ? { filter } : {});
  made.push(name);
  return name;
};

const append = async (stream: string, count: number, first = 0, type?: string): Promise<Position> => {
  const { position } = await client.appendToStream(stream, numbered(count, first, type));
  if (!position) throw new Error('the append has no position');
  return position;
};

const streamsWith = (prefix: string): Filter => streamNameFilter({ prefixes: [prefix] });

describe('a persistent subscription to $all', () => {
  it('sends the past and what comes of the streams that a prefix names, in the order of the log', async () => {
    const prefix = freshStream('prefix');
    await append(`${prefix}-a`, 2);
    await append(freshStream(), 2, 100);
    await append(`${prefix}-b`, 2, 2);
    const consumer = await joinAll(client, await create({}, streamsWith(prefix)), acknowledge);
    await consumer.until(4);
    await append(freshStream(), 1, 100);
    await append(`${prefix}-a`, 1, 4);
    await consumer.until(5);
    assert.deepEqual(consumer.numbers(), [0, 1, 2, 3, 4]);
    await consumer.leave();
  });

  it('filters types by regular expression', async () => {
    const type = freshStream('Type').replaceAll('-', '');
    const stream = freshStream();
    await append(stream, 1, 0, `${type}Started`);
    await append(stream, 1, 1, 'Other');
    await append(stream, 1, 2, `${type}Ended`);
    await append(stream, 1, 3, `${type}EndedTwice`);
    const filter = eventTypeFilter({ regex: `^${type}(Started|Ended)$` });
    const consumer = await joinAll(client, await create({}, filter), acknowledge);
    await consumer.until(2);
    assert.deepEqual(consumer.numbers(), [0, 2]);
    await consumer.leave();
  });

  it('begins at a position, itself included', async () => {
    const prefix = freshStream('from');
    await append(prefix, 1, 0);
    const startFrom = await append(prefix, 1, 1);
    await append(prefix, 1, 2);
    const name = await create({ startFrom }, streamsWith(prefix));
    const consumer = await joinAll(client, name, acknowledge);
    await consumer.until(2);
    assert.deepEqual(consumer.numbers(), [1, 2]);
    const { settings } = await client.getPersistentSubscriptionToAllInfo(name);
    assert.deepEqual(settings.startFrom, startFrom);
    await consumer.leave();
  });

  it('begins at the end as it was when it was made', async () => {
    const prefix = freshStream('end');
    await append(prefix, 2);
    const name = await create({ startFrom: END }, streamsWith(prefix));
    await append(prefix, 1, 2);
    const consumer = await joinAll(client, name, acknowledge);
    await consumer.until(1);
    assert.deepEqual(consumer.numbers(), [2]);
    const { settings } = await client.getPersistentSubscriptionToAllInfo(name);
    assert.equal(settings.startFrom, END);
    await consumer.leave();
  });

  it('cannot begin behind the end of the log', async () => {
    const { commit } = await append(freshStream(), 1);
    const beyond = commit + 1_000_000_000n;
    const error = await rejection(create({ startFrom: { commit: beyond, prepare: beyond } }));
    assert.ok(error instanceof PersistentSubscriptionFailedError, `${error}`);
  });

  it('without a filter sends what is written to any stream', async () => {
    const name = await create({ startFrom: END });
    const stream = freshStream();
    await append(stream, 3);
    const consumer = await joinAll(client, name, acknowledge);
    await consumer.until(3, ({ event }) => event?.streamId === stream);
    await consumer.leave();
  });

  it('tells positions', async () => {
    const prefix = freshStream('info');
    const position = await append(prefix, 3);
    const settings = { checkPointLowerBound: 1, checkPointUpperBound: 1 };
    const name = await create(settings, streamsWith(prefix));
    const fresh = await client.getPersistentSubscriptionToAllInfo(name);
    assert.deepEqual([fresh.eventSource, fresh.groupName, fresh.connections], ['$all', name, []]);
    assert.deepEqual(fresh.settings, allSettingsFrom(settings));
    assert.equal(fresh.settings.startFrom, START);
    const consumer = await joinAll(client, name, acknowledge);
    await consumer.until(3);
    const { stats } = await eventually(
      () => client.getPersistentSubscriptionToAllInfo(name),
      (info) => (info.stats.lastCheckpointedEventPosition?.commit ?? -1n) >= position.commit,
    );
    assert.ok((stats.lastKnownEventPosition?.commit ?? -1n) >= position.commit);
    await consumer.leave();
  });

  it('comes past what its filter leaves out', async () => {
    const name = await create(
      { startFrom: END, checkPointAfter: 1_000, checkPointLowerBound: 1 },
      streamsWith(freshStream('nothing')),
    );
    const consumer = await joinAll(client, name, acknowledge);
    const { commit } = await append(freshStream(), 20);
    await eventually(
      () => client.getPersistentSubscriptionToAllInfo(name),
      ({ stats }) => (stats.lastCheckpointedEventPosition?.commit ?? -1n) >= commit,
    );
    assert.equal(consumer.deliveries.length, 0);
    await consumer.leave();
  });

  it('is made once, listed, changed and deleted', async () => {
    const name = await create();
    await assert.rejects(
      client.createPersistentSubscriptionToAll(name, allSettingsFrom()),
      PersistentSubscriptionExistsError,
    );
    const names = async () =>
      (await client.listPersistentSubscriptionsToAll()).map(({ groupName }) => groupName);
    assert.ok((await names()).includes(name));
    const consumer = await joinAll(client, name, acknowledge);
    await client.updatePersistentSubscriptionToAll(name, allSettingsFrom({ consumerStrategyName: PINNED }));
    assert.ok((await consumer.failed) instanceof PersistentSubscriptionDroppedError);
    const { settings } = await client.getPersistentSubscriptionToAllInfo(name);
    assert.equal(settings.consumerStrategyName, PINNED);
    await client.deletePersistentSubscriptionToAll(name);
    const gone = [
      () => joinAll(client, name),
      () => client.updatePersistentSubscriptionToAll(name, allSettingsFrom()),
      () => client.deletePersistentSubscriptionToAll(name),
      () => client.getPersistentSubscriptionToAllInfo(name),
      () => client.replayParkedMessagesToAll(name),
    ];
    for (const call of gone) await assert.rejects(call(), PersistentSubscriptionDoesNotExistError);
  });

  it('parks and replays', async () => {
    const prefix = freshStream('park');
    await append(prefix, 2);
    const name = await create({}, streamsWith(prefix));
    let isReplay = false;
    const consumer = await joinAll(client, name, (delivery, { subscription }) => {
      void (isReplay ? subscription.ack(delivery) : subscription.nack('park', 'later', delivery));
    });
    const parked = (count: bigint) =>
      eventually(
        () => client.getPersistentSubscriptionToAllInfo(name),
        ({ stats }) => stats.parkedMessageCount === count,
      );
    await parked(2n);
    isReplay = true;
    await client.replayParkedMessagesToAll(name);
    await consumer.until(4);
    await parked(0n);
    assert.deepEqual(consumer.numbers(), [0, 1, 0, 1]);
    await consumer.leave();
  });
});
