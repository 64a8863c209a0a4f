/** Contract: catch-up subscriptions to a stream and to $all, with filters, checkpoints and caught-up. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  END,
  type EventStoreDBClient,
  eventTypeFilter,
  excludeSystemEvents,
  type Position,
  START,
  StreamDeletedError,
  streamNameFilter,
} from '@eventstore/db-client';
import {
  type Contract,
  collect,
  follow,
  freshStream,
  numbered,
  numbersOf,
  openContract,
  rejection,
} from './support.ts';

let contract: Contract;
let client: EventStoreDBClient;
before(async () => {
  contract = await openContract();
  client = contract.client();
});
after(() => contract.stop());

const streamOf = (one: { event?: { streamId: string } | undefined }) => one.event?.streamId;

describe('subscribe to a stream', () => {
  it('confirms, sends the past, says caught up, then sends what comes', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(3));
    const seen = follow(client.subscribeToStream(stream));
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    assert.deepEqual(seen.marks, ['confirmation', 'event', 'event', 'event', 'caughtUp']);
    await client.appendToStream(freshStream(), numbered(1, 99));
    await client.appendToStream(stream, numbered(2, 3));
    await seen.until(({ events }) => events.length === 5);
    assert.deepEqual(numbersOf(seen.events), [0, 1, 2, 3, 4]);
    await seen.leave();
  });

  it('starts after a revision', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(5));
    const seen = follow(client.subscribeToStream(stream, { fromRevision: 2n }));
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    assert.deepEqual(numbersOf(seen.events), [3, 4]);
    await seen.leave();
  });

  it('from the end sends new events only', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(5));
    const seen = follow(client.subscribeToStream(stream, { fromRevision: END }));
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    await client.appendToStream(stream, numbered(2, 5));
    await seen.until(({ events }) => events.length === 2);
    assert.deepEqual(numbersOf(seen.events), [5, 6]);
    await seen.leave();
  });

  it('waits for a stream that is not there yet', async () => {
    const stream = freshStream();
    const seen = follow(client.subscribeToStream(stream));
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    await client.appendToStream(stream, numbered(1));
    await seen.until(({ events }) => events.length === 1);
    await seen.leave();
  });

  it('a tombstone is sent, then ends the subscription as deleted', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(1));
    const seen = follow(client.subscribeToStream(stream));
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    await client.tombstoneStream(stream);
    const error = await seen.failed;
    assert.ok(error instanceof StreamDeletedError, `${error}`);
    assert.deepEqual(
      seen.events.map((one) => one.event?.type),
      ['Numbered', '$streamDeleted'],
    );
  });

  it('of a tombstoned stream ends as deleted', async () => {
    const stream = freshStream();
    await client.tombstoneStream(stream);
    assert.ok((await follow(client.subscribeToStream(stream)).failed) instanceof StreamDeletedError);
  });

  it('goes on through a soft delete', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(2));
    const seen = follow(client.subscribeToStream(stream));
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    await client.deleteStream(stream);
    await client.appendToStream(stream, numbered(1, 2));
    await seen.until(({ events }) => events.length === 3);
    assert.deepEqual(
      seen.events.map((one) => one.event?.revision),
      [0n, 1n, 2n],
    );
    await seen.leave();
  });

  it('loses and repeats nothing while the stream is being written', async () => {
    const stream = freshStream();
    let written = 0;
    const writing = (async () => {
      for (; written < 600; written += 20) await client.appendToStream(stream, numbered(20, written));
    })();
    const transcripts = Array.from({ length: 5 }, () => follow(client.subscribeToStream(stream)));
    await writing;
    for (const seen of transcripts) {
      await seen.until(({ events }) => events.length >= 600);
      assert.deepEqual(
        numbersOf(seen.events),
        Array.from({ length: 600 }, (_, n) => n),
      );
      await seen.leave();
    }
  });

  it('resolves links', async () => {
    const [target, index] = [freshStream(), freshStream()];
    await client.appendToStream(target, numbered(2));
    const seen = follow(client.subscribeToStream(index, { resolveLinkTos: true }));
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    const { binaryEvent } = await import('@eventstore/db-client');
    await client.appendToStream(index, binaryEvent({ type: '$>', data: Buffer.from(`1@${target}`) }));
    await seen.until(({ events }) => events.length === 1);
    assert.deepEqual([streamOf(seen.events[0] ?? {}), seen.events[0]?.link?.streamId], [target, index]);
    await seen.leave();
  });
});

describe('subscribe to $all', () => {
  it('sends everything from the start, then what comes', async () => {
    const stream = freshStream();
    await client.appendToStream(stream, numbered(3));
    const before = (await collect(client.readAll())).map((one) => one.event?.id);
    const seen = follow(client.subscribeToAll());
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    assert.deepEqual(
      seen.events.slice(0, before.length).map((one) => one.event?.id),
      before,
    );
    await client.appendToStream(stream, numbered(1, 3));
    await seen.until(
      ({ events }) => streamOf(events.at(-1) ?? {}) === stream && numbersOf(events).at(-1) === 3,
    );
    await seen.leave();
  });

  it('starts after a position, exclusive, and from the end', async () => {
    const stream = freshStream();
    const { position } = await client.appendToStream(stream, numbered(1));
    const fromPosition = follow(client.subscribeToAll({ fromPosition: position as Position }));
    const fromEnd = follow(client.subscribeToAll({ fromPosition: END }));
    await Promise.all(
      [fromPosition, fromEnd].map((seen) => seen.until(({ marks }) => marks.includes('caughtUp'))),
    );
    await client.appendToStream(stream, numbered(1, 1));
    for (const seen of [fromPosition, fromEnd]) {
      await seen.until(({ events }) => events.some((one) => streamOf(one) === stream));
      assert.deepEqual(numbersOf(seen.events.filter((one) => streamOf(one) === stream)), [1]);
      await seen.leave();
    }
  });

  const tag = randomUUID().slice(0, 8);
  const filters: [string, Parameters<EventStoreDBClient['subscribeToAll']>[0]][] = [
    ['stream name prefixes', { filter: streamNameFilter({ prefixes: [`wanted${tag}-`, `also${tag}-`] }) }],
    ['a stream name pattern', { filter: streamNameFilter({ regex: `^(wanted|also)${tag}-[0-9]$` }) }],
    ['event type prefixes', { filter: eventTypeFilter({ prefixes: [`Wanted${tag}`] }) }],
    ['an event type pattern', { filter: eventTypeFilter({ regex: `^Wanted${tag}$` }) }],
    ['a pattern with look-ahead', { filter: eventTypeFilter({ regex: `^(?!Other)Wanted${tag}` }) }],
    ['a case-insensitive pattern', { filter: eventTypeFilter({ regex: `(?i)^WANTED${tag}` }) }],
  ];
  for (const [name, options] of filters) {
    it(`filters by ${name}, in the past and live`, async () => {
      const write = async (first: number) => {
        await client.appendToStream(`wanted${tag}-${first % 10}`, numbered(1, first, `Wanted${tag}`));
        await client.appendToStream(`other${tag}-1`, numbered(1, 99, `Other${tag}`));
        await client.appendToStream(`also${tag}-1`, numbered(1, first + 1, `Wanted${tag}`));
      };
      const { position } = await client.appendToStream(freshStream(), numbered(1));
      await write(0);
      const seen = follow(client.subscribeToAll({ ...options, fromPosition: position as Position }));
      await seen.until(({ marks }) => marks.includes('caughtUp'));
      assert.deepEqual(numbersOf(seen.events), [0, 1]);
      await write(2);
      await seen.until(({ events }) => events.length === 4);
      assert.deepEqual(numbersOf(seen.events), [0, 1, 2, 3]);
      await seen.leave();
    });
  }

  it('excludeSystemEvents leaves out types that begin with $', async () => {
    const seen = follow(client.subscribeToAll({ fromPosition: START, filter: excludeSystemEvents() }));
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    assert.ok(seen.events.length > 0);
    assert.ok(seen.events.every((one) => !one.event?.type.startsWith('$')));
    await seen.leave();
  });

  it('checkpoints come in order with the events, at the interval, and before caught up', async () => {
    const stream = freshStream();
    const { position } = await client.appendToStream(freshStream(), numbered(1));
    await client.appendToStream(freshStream('noise'), numbered(25));
    await client.appendToStream(stream, numbered(3));
    const positions: bigint[] = [];
    const seen = follow(
      client.subscribeToAll({
        fromPosition: position as Position,
        filter: streamNameFilter({
          prefixes: [stream],
          maxSearchWindow: 5,
          checkpointInterval: 2,
          checkpointReached: async (_subscription, at) => {
            positions.push(at.commit);
            seen.mark('checkpoint');
          },
        }),
      }),
    );
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    assert.ok(positions.length >= 3, `${positions}`);
    assert.equal(seen.marks.at(-2), 'checkpoint');
    assert.equal(positions.at(-1), seen.events.at(-1)?.event?.position?.commit);
    const past = positions.length;
    await client.appendToStream(freshStream('noise'), numbered(20));
    await seen.until(() => positions.length >= past + 2);
    await client.appendToStream(stream, numbered(1, 3));
    await seen.until(({ events }) => events.length === 4);
    assert.ok(positions.every((at, index) => index === 0 || at > (positions[index - 1] as bigint)));
    await seen.leave();
  });

  it('a pattern that could run for ever is refused', async () => {
    const seen = follow(
      client.subscribeToAll({ filter: streamNameFilter({ regex: '^(?=(a+)+$)(b|a+)*c$' }) }),
    );
    const error = await seen.failed;
    assert.match(error.message, /filter was refused/);
    const broken = follow(client.subscribeToAll({ filter: streamNameFilter({ regex: '(' }) }));
    assert.match((await broken.failed).message, /filter was refused/);
  });

  it('a subscriber that reads nothing delays nobody and gets everything later', async () => {
    const stream = freshStream();
    const lazy = client.subscribeToAll({
      fromPosition: END,
      filter: streamNameFilter({ prefixes: [stream] }),
    });
    await new Promise((resolve) => lazy.once('confirmation', resolve));
    lazy.pause();
    const eager = follow(client.subscribeToStream(stream));
    const payload = 'x'.repeat(4_000);
    const { jsonEvent } = await import('@eventstore/db-client');
    const total = 10_000;
    for (let n = 0; n < total; n += 200) {
      await client.appendToStream(
        stream,
        Array.from({ length: 200 }, (_, k) => jsonEvent({ type: 'Big', data: { n: n + k, payload } })),
      );
    }
    await eager.until(({ events }) => events.length === total);
    await eager.leave();
    const late = follow(lazy);
    lazy.resume();
    await late.until(({ events }) => events.length === total);
    assert.deepEqual(
      numbersOf(late.events),
      Array.from({ length: total }, (_, n) => n),
    );
    await late.leave();
  });

  it('a subscriber whose connection vanishes harms nobody', async () => {
    const vanishing = contract.client();
    const seen = follow(vanishing.subscribeToAll());
    await seen.until(({ marks }) => marks.includes('caughtUp'));
    await vanishing.dispose();
    const stream = freshStream();
    await client.appendToStream(stream, numbered(1));
    assert.deepEqual(numbersOf(await collect(client.readStream(stream))), [0]);
    assert.ok(await rejection(vanishing.appendToStream(stream, numbered(1))).catch(() => true));
  });
});
