/** What a scavenge removes, what it keeps, and that nobody who reads can tell the difference. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import {
  ANY,
  binaryEvent,
  type EventStoreDBClient,
  jsonEvent,
  NO_STREAM,
  type ResolvedEvent,
  StreamDeletedError,
  StreamNotFoundError,
  WrongExpectedVersionError,
} from '@eventstore/db-client';
import { scavengeLog } from '../../embedded/event-store/scavenge.ts';
import { verifyLog } from '../../embedded/event-store/verify.ts';
import { consume, group, settingsFrom } from './persistent.ts';
import { makeOlder, openSeenStore, type SeenStore, type StoredRow, withConnection } from './scavenging.ts';
import { collect, follow, numbered, numbersOf, openPostgres, rejection } from './support.ts';

let postgres: Awaited<ReturnType<typeof openPostgres>>;
let store: SeenStore;
let client: EventStoreDBClient;
before(async () => {
  postgres = await openPostgres();
});
after(() => postgres.stop());
beforeEach(async () => {
  store = await openSeenStore(postgres.url);
  client = store.client();
});
afterEach(() => store.stop());

const scavenge = (options = {}) => withConnection(store.databaseUrl, (sql) => scavengeLog(sql, options));
const verify = () => withConnection(store.databaseUrl, (sql) => verifyLog(sql));

/** Appends one by one, as most streams grow. */
const write = (stream: string, count: number, first = 0) =>
  client.appendToStream(stream, numbered(count, first));

/** Which events of each stream may go, and why; every other event must stay as it is. */
const removable: Readonly<Record<string, readonly [string, number]>> = {
  'deleted-1': ['deleted', 4],
  'returned-1': ['truncated', 5],
  'gone-1': ['tombstoned', 5],
  '$$gone-1': ['tombstoned', 2],
  'counted-1': ['over count', 7],
  'truncated-1': ['truncated', 4],
  'aged-1': ['expired', 6],
  'expired-1': ['expired', 9],
  'mixed-1': ['', 8],
  '$$returned-1': ['superseded', 1],
  '$$renewed-1': ['superseded', 2],
};

const writeEverything = async (): Promise<void> => {
  await write('kept-1', 10);
  await client.appendToStream('kept-1', binaryEvent({ type: 'Bytes', data: Buffer.alloc(20_000, 7) }));
  for (const stream of ['deleted-1', 'returned-1', 'gone-1']) await write(stream, 5);
  await client.deleteStream('deleted-1');
  await client.deleteStream('returned-1');
  await write('returned-1', 2, 5);
  await client.setStreamMetadata('gone-1', { maxCount: 3 });
  await client.setStreamMetadata('gone-1', { maxCount: 4 });
  await client.tombstoneStream('gone-1');
  for (const stream of ['counted-1', 'truncated-1', 'aged-1', 'expired-1', 'mixed-1', 'renewed-1'])
    await write(stream, 10);
  await client.setStreamMetadata('counted-1', { maxCount: 3 });
  await client.setStreamMetadata('truncated-1', { truncateBefore: 4 });
  await client.setStreamMetadata('aged-1', { maxAge: 3600 });
  await client.setStreamMetadata('expired-1', { maxAge: 3600 });
  await client.setStreamMetadata('mixed-1', { truncateBefore: 2, maxCount: 5, maxAge: 3600 });
  for (const owner of ['one', 'two', 'three']) await client.setStreamMetadata('renewed-1', { owner });
  await makeOlder(store, 'aged-1', 6n, 4_000n);
  await makeOlder(store, 'expired-1', 10n, 4_000n);
  await makeOlder(store, 'mixed-1', 8n, 4_000n);
};

const isRemovable = (row: StoredRow): boolean => {
  const [, count] = removable[row.stream] ?? ['', 0];
  return row.revision < BigInt(count);
};

/** What readers see of a stream: its events, or the name of the error. */
const seen = async (stream: string): Promise<unknown> => {
  try {
    return await collect(client.readStream(stream));
  } catch (error) {
    return (error as Error).constructor.name;
  }
};

const placesOf = (events: readonly ResolvedEvent[]) =>
  events.map(({ event }) => [
    event?.position?.commit,
    event?.streamId,
    event?.revision,
    event?.id,
    event?.data,
  ]);

describe('scavenge', () => {
  it('removes what each limit allows, and leaves every other event byte for byte where it is', async () => {
    await writeEverything();
    const rowsBefore = await store.rows();
    const streams = [...new Set(rowsBefore.map((row) => row.stream))];
    const seenBefore = await Promise.all(streams.map(seen));
    const allBefore = placesOf(await collect(client.readAll()));

    const planned = await scavenge({ dryRun: true });
    assert.deepEqual(await store.rows(), rowsBefore, 'a dry run changes nothing');
    const done = await scavenge();
    const kept = rowsBefore.filter((row) => !isRemovable(row));
    assert.deepEqual(await store.rows(), kept);
    assert.deepEqual(
      { ...done.byReason },
      { tombstoned: 7, deleted: 4, superseded: 3, truncated: 11, 'over count': 10, expired: 18 },
    );
    assert.equal(done.events, rowsBefore.length - kept.length);
    assert.equal(done.streams, Object.keys(removable).length);
    assert.ok(done.sizeBytes > done.events * 90);
    assert.deepEqual(
      [planned.events, planned.streams, planned.sizeBytes, planned.byReason],
      [done.events, done.streams, done.sizeBytes, done.byReason],
    );

    assert.deepEqual(await Promise.all(streams.map(seen)), seenBefore);
    const keptPlaces = new Set(kept.map((row) => row.position));
    assert.deepEqual(
      placesOf(await collect(client.readAll())),
      allBefore.filter(([position]) => keptPlaces.has(position as bigint)),
    );
    assert.deepEqual(
      placesOf(await collect(client.readAll({ direction: 'backwards', fromPosition: 'end' }))),
      allBefore.filter(([position]) => keptPlaces.has(position as bigint)).reverse(),
    );
    const verified = await verify();
    assert.deepEqual([verified.findings, verified.events], [[], kept.length]);
    assert.equal((await scavenge()).events, 0, 'nothing is left for a second one');
  });

  it('streams go on where they were, deleted ones included, also after a restart', async () => {
    await writeEverything();
    await scavenge();
    await store.restart();
    client = store.client();
    assert.ok((await rejection(write('gone-1', 1))) instanceof StreamDeletedError);
    assert.ok((await rejection(collect(client.readStream('deleted-1')))) instanceof StreamNotFoundError);
    const again = await client.appendToStream('deleted-1', numbered(1), { expectedRevision: NO_STREAM });
    assert.equal(again.nextExpectedRevision, 5n);
    assert.equal((await write('expired-1', 1, 10)).nextExpectedRevision, 10n);
    assert.deepEqual(numbersOf(await collect(client.readStream('expired-1'))), [10]);
    const { metadata } = await client.getStreamMetadata<{ owner: string }>('renewed-1');
    assert.equal(metadata?.owner, 'three');
    const fromZero = await collect(client.readStream('truncated-1', { fromRevision: 0n }));
    assert.equal(fromZero[0]?.event?.revision, 4n);
    assert.deepEqual((await verify()).findings, []);
    // What the return of the deleted stream has set free: its last old event, and the metadata of its deletion.
    assert.deepEqual([(await scavenge()).events, (await verify()).findings], [3, []]);
  });

  it('a repeat of an append whose events are gone: known while remembered, then like a new one', async () => {
    const [first, second] = [randomUUID(), randomUUID()];
    const one = (id: string) => jsonEvent({ id, type: 'Numbered', data: { n: 1 } });
    const original = await client.appendToStream('repeat-1', one(first), { expectedRevision: NO_STREAM });
    await client.appendToStream('repeat-1', one(second), { expectedRevision: 0n });
    await write('repeat-1', 3);
    await client.setStreamMetadata('repeat-1', { truncateBefore: 4 });
    assert.equal((await scavenge()).events, 4);
    const remembered = await client.appendToStream('repeat-1', one(first), { expectedRevision: ANY });
    assert.deepEqual([remembered.nextExpectedRevision, remembered.position], [0n, original.position]);
    await store.restart();
    client = store.client();
    const behind = client.appendToStream('repeat-1', one(second), { expectedRevision: 0n });
    assert.ok((await rejection(behind)) instanceof WrongExpectedVersionError);
    const anew = await client.appendToStream('repeat-1', one(first), { expectedRevision: ANY });
    assert.equal(anew.nextExpectedRevision, 5n);
  });

  it('a link to a removed event is the link alone', async () => {
    await write('target-1', 3);
    for (const revision of [0, 2])
      await client.appendToStream(
        'links-1',
        binaryEvent({ type: '$>', data: Buffer.from(`${revision}@target-1`) }),
      );
    await client.setStreamMetadata('target-1', { truncateBefore: 2 });
    assert.equal((await scavenge()).events, 2);
    const resolved = await collect(client.readStream('links-1', { resolveLinkTos: true }));
    assert.deepEqual(
      resolved.map(({ link, event }) => [link?.streamId, event?.streamId]),
      [
        ['links-1', undefined],
        ['links-1', 'target-1'],
      ],
    );
  });

  it('a subscription that begins among removed events gets none of them, out of memory neither', async () => {
    const { position } = await write('recent-1', 1);
    await write('recent-1', 9, 1);
    await client.setStreamMetadata('recent-1', { truncateBefore: 8 });
    await scavenge();
    await write('recent-1', 1, 10);
    assert.ok(position);
    const transcripts = [
      follow(client.subscribeToAll({ fromPosition: position })),
      follow(client.subscribeToStream('recent-1', { fromRevision: 0n })),
    ];
    for (const transcript of transcripts) {
      await transcript.until(({ marks }) => marks.includes('caughtUp'));
      assert.deepEqual(
        transcript.events.flatMap(({ event }) => (event?.streamId === 'recent-1' ? [event.revision] : [])),
        [8n, 9n, 10n],
      );
    }
  });

  it('a persistent subscription goes on behind a checkpoint at removed events', async () => {
    await write('work-1', 10);
    await client.createPersistentSubscriptionToStream(
      'work-1',
      group,
      settingsFrom({ checkPointLowerBound: 1, checkPointUpperBound: 1 }),
    );
    const subscribe = () =>
      client.subscribeToPersistentSubscriptionToStream('work-1', group, { bufferSize: 1 });
    const first = await consume(subscribe(), (delivery, { subscription, deliveries }) => {
      if (deliveries.length <= 3) void subscription.ack(delivery);
    });
    await first.until(4);
    await first.leave();
    await client.setStreamMetadata('work-1', { truncateBefore: 6 });
    assert.ok((await scavenge()).events >= 6);
    await store.restart();
    client = store.client();
    const second = await consume(
      subscribe(),
      (delivery, { subscription }) => void subscription.ack(delivery),
    );
    await second.until(4);
    assert.deepEqual(second.numbers(), [6, 7, 8, 9]);
    await second.leave();
    assert.deepEqual((await verify()).findings, []);
  });
});
