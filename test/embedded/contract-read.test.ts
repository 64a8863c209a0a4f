/** Contract: reads of streams and of $all in every combination that the official client can ask for. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  BACKWARDS,
  binaryEvent,
  END,
  EventStoreDBClient,
  FORWARDS,
  type ResolvedEvent,
  START,
  StreamDeletedError,
  StreamNotFoundError,
} from '@eventstore/db-client';
import {
  type Contract,
  collect,
  freshStream,
  numbered,
  numbersOf,
  openContract,
  rejection,
} from './support.ts';

let contract: Contract;
let client: EventStoreDBClient;
const stream = freshStream('read');
const other = freshStream('read');

before(async () => {
  contract = await openContract();
  client = contract.client();
  await client.appendToStream(stream, numbered(10));
  await client.appendToStream(other, numbered(3, 100));
  await client.appendToStream(stream, numbered(2, 10));
});
after(() => contract.stop());

const range = (from: number, to: number): number[] =>
  from <= to ? Array.from({ length: to - from + 1 }, (_, n) => from + n) : range(to, from).reverse();

/** Events of this file's streams within a read of $all, which on a shared server holds others' as well. */
const ours = (events: readonly ResolvedEvent[]): ResolvedEvent[] =>
  events.filter((one) => one.event?.streamId === stream || one.event?.streamId === other);

describe('read a stream', () => {
  const cases: [string, Parameters<EventStoreDBClient['readStream']>[1], number[]][] = [
    ['forwards from the start', {}, range(0, 11)],
    ['forwards with a count', { maxCount: 4 }, range(0, 3)],
    ['forwards from a revision, inclusive', { fromRevision: 7n }, range(7, 11)],
    ['forwards from a revision with a count', { fromRevision: 7n, maxCount: 2 }, [7, 8]],
    ['forwards from beyond the end', { fromRevision: 12n }, []],
    ['forwards from the end', { fromRevision: END, direction: FORWARDS }, []],
    ['backwards from the end', { fromRevision: END, direction: BACKWARDS }, range(11, 0)],
    ['backwards from the end with a count', { fromRevision: END, direction: BACKWARDS, maxCount: 1 }, [11]],
    ['backwards from a revision, inclusive', { fromRevision: 3n, direction: BACKWARDS }, range(3, 0)],
    ['backwards from the start', { fromRevision: START, direction: BACKWARDS }, [0]],
    ['backwards from beyond the end', { fromRevision: 99n, direction: BACKWARDS, maxCount: 2 }, [11, 10]],
  ];
  for (const [name, options, expected] of cases) {
    it(name, async () =>
      assert.deepEqual(numbersOf(await collect(client.readStream(stream, options))), expected),
    );
  }

  it('numbers revisions and positions', async () => {
    const events = await collect(client.readStream(stream));
    assert.deepEqual(
      events.map((one) => one.event?.revision),
      range(0, 11).map(BigInt),
    );
    for (const one of events) assert.equal(one.commitPosition, one.event?.position?.commit);
  });

  it('a missing stream is not found', async () => {
    const name = freshStream();
    const error = await rejection(collect(client.readStream(name)));
    assert.ok(error instanceof StreamNotFoundError);
    assert.equal(error.streamName, name);
    await assert.rejects(
      collect(client.readStream(name, { direction: BACKWARDS, fromRevision: END })),
      StreamNotFoundError,
    );
  });

  it('reads thousands of events in order, both ways', async () => {
    const long = freshStream('long');
    for (let at = 0; at < 5_000; at += 1_000) await client.appendToStream(long, numbered(1_000, at));
    assert.deepEqual(numbersOf(await collect(client.readStream(long))), range(0, 4_999));
    assert.deepEqual(
      numbersOf(await collect(client.readStream(long, { direction: BACKWARDS, fromRevision: END }))),
      range(4_999, 0),
    );
    assert.equal(
      (await collect(client.readStream(long, { maxCount: 1_500, fromRevision: 10n }))).length,
      1_500,
    );
  });

  it('reads large events page by page', async () => {
    const large = freshStream('large');
    for (let n = 0; n < 40; n += 1)
      await client.appendToStream(
        large,
        binaryEvent({ type: 'Large', data: new Uint8Array(1_000_000).fill(n) }),
      );
    const events = await collect(client.readStream(large));
    assert.deepEqual(
      events.map((one) => (one.event?.data as Uint8Array | undefined)?.[999_999]),
      range(0, 39),
    );
  });

  it('a reader that leaves half-way harms nobody', async () => {
    // A client of its own, never disposed of: disposing waits for what an abandoned read will never read.
    const leaver = EventStoreDBClient.connectionString(contract.url);
    for await (const one of leaver.readStream(stream)) {
      assert.equal(one.event?.revision, 0n);
      break;
    }
    await leaver.readAll().cancel();
    assert.equal((await collect(client.readStream(stream))).length, 12);
  });
});

describe('read $all', () => {
  it('forwards holds every stream’s events in order of position, a system event among them', async () => {
    const all = await collect(client.readAll());
    const positions = all.map((one) => one.event?.position?.commit ?? -1n);
    assert.ok(
      positions.every((position, index) => index === 0 || position > (positions[index - 1] as bigint)),
    );
    assert.deepEqual(numbersOf(ours(all)), [...range(0, 9), ...range(100, 102), 10, 11]);
    assert.ok(all.some((one) => one.event?.type.startsWith('$')));
  });

  it('backwards is the exact reverse', async () => {
    const forwards = (await collect(client.readAll())).map((one) => one.event?.id);
    const backwards = (await collect(client.readAll({ direction: BACKWARDS, fromPosition: END }))).map(
      (one) => one.event?.id,
    );
    assert.deepEqual(backwards.slice(-forwards.length).reverse(), forwards);
  });

  it('a position is inclusive forwards and exclusive backwards', async () => {
    const all = await collect(client.readAll());
    const middle = all.findIndex((one) => one.event?.streamId === other);
    const fromPosition = all[middle]?.event?.position as { commit: bigint; prepare: bigint };
    const forwards = await collect(client.readAll({ fromPosition, maxCount: 2 }));
    assert.deepEqual(
      forwards.map((one) => one.event?.id),
      all.slice(middle, middle + 2).map((one) => one.event?.id),
    );
    const backwards = await collect(client.readAll({ fromPosition, direction: BACKWARDS, maxCount: 2 }));
    assert.deepEqual(
      backwards.map((one) => one.event?.id),
      all
        .slice(middle - 2, middle)
        .reverse()
        .map((one) => one.event?.id),
    );
  });

  it('forwards from the end and backwards from the start are empty', async () => {
    assert.deepEqual(await collect(client.readAll({ fromPosition: END })), []);
    assert.deepEqual(await collect(client.readAll({ fromPosition: START, direction: BACKWARDS })), []);
  });

  it('count limits', async () => assert.equal((await collect(client.readAll({ maxCount: 5 }))).length, 5));
});

describe('links', () => {
  const link = (revision: bigint | number, target: string) =>
    binaryEvent({ type: '$>', data: Buffer.from(`${revision}@${target}`) });

  it('resolve to event and link; unresolved they are plain events', async () => {
    const index = freshStream('links');
    await client.appendToStream(index, [link(3, stream), link(1, other), ...numbered(1, 55)]);
    const resolved = await collect(client.readStream(index, { resolveLinkTos: true }));
    assert.deepEqual(numbersOf(resolved), [3, 101, 55]);
    assert.deepEqual(
      resolved.map((one) => one.link?.streamId),
      [index, index, undefined],
    );
    assert.equal(resolved[0]?.event?.streamId, stream);
    assert.equal(resolved[0]?.commitPosition, resolved[0]?.link?.position?.commit);
    const plain = await collect(client.readStream(index));
    assert.deepEqual(
      plain.map((one) => [one.event?.type, one.link]),
      [
        ['$>', undefined],
        ['$>', undefined],
        ['Numbered', undefined],
      ],
    );
  });

  it('whose target is missing, truncated or deleted come alone', async () => {
    const target = freshStream('target');
    const gone = freshStream('target');
    await client.appendToStream(target, numbered(3));
    await client.setStreamMetadata(target, { truncateBefore: 2 });
    await client.appendToStream(gone, numbered(1));
    await client.deleteStream(gone);
    const index = freshStream('links');
    await client.appendToStream(index, [
      link(9, target),
      link(0, target),
      link(2, target),
      link(0, gone),
      link(0, freshStream()),
    ]);
    const resolved = await collect(client.readStream(index, { resolveLinkTos: true }));
    assert.deepEqual(
      resolved.map((one) => [one.event?.revision, one.link?.revision]),
      [
        [undefined, 0n],
        [undefined, 1n],
        [2n, 2n],
        [undefined, 3n],
        [undefined, 4n],
      ],
    );
  });
});

describe('connections', () => {
  it('discovery and several endpoints find the one member', async () => {
    const { host } = new URL(contract.url.replace(/^esdb(\+discover)?:/, 'http:'));
    for (const url of [`esdb+discover://${host}?tls=false`, `esdb://${host},${host}?tls=false`]) {
      const discovered = EventStoreDBClient.connectionString(url);
      assert.equal((await collect(discovered.readStream(stream, { maxCount: 1 }))).length, 1);
      await discovered.dispose();
    }
  });

  it('a stream that was tombstoned reads as deleted', async () => {
    const name = freshStream();
    await client.appendToStream(name, numbered(1));
    await client.tombstoneStream(name);
    const error = await rejection(collect(client.readStream(name)));
    assert.ok(error instanceof StreamDeletedError);
    assert.equal(error.streamName, name);
  });
});
