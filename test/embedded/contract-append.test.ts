/** Contract: appends, expected versions and idempotent retry, on both gRPC paths of the official client. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  ANY,
  type AppendExpectedRevision,
  type AppendResult,
  binaryEvent,
  type EventStoreDBClient,
  jsonEvent,
  MaxAppendSizeExceededError,
  NO_STREAM,
  STREAM_EXISTS,
  StreamDeletedError,
  WrongExpectedVersionError,
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

type Events = ReturnType<typeof numbered>;

let contract: Contract;
let client: EventStoreDBClient;
before(async () => {
  contract = await openContract();
  client = contract.client();
});
after(() => contract.stop());

/** Credentials make the client take the Append path; without them it takes BatchAppend. */
const paths = [
  { name: 'BatchAppend', options: {} },
  { name: 'Append', options: { credentials: { username: 'admin', password: 'changeit' } } },
] as const;

for (const path of paths) {
  const append = (
    stream: string,
    events: Events,
    expectedRevision?: AppendExpectedRevision,
  ): Promise<AppendResult> =>
    client.appendToStream(stream, events, {
      ...path.options,
      ...(expectedRevision === undefined ? {} : { expectedRevision }),
    });
  const conflict = async (
    promise: Promise<unknown>,
    actual: bigint | 'no_stream',
    expected?: AppendExpectedRevision,
  ) => {
    const error = await rejection(promise);
    assert.ok(error instanceof WrongExpectedVersionError, `${error}`);
    assert.equal(error.actualVersion, actual);
    if (expected !== undefined) assert.equal(error.expectedVersion, expected);
  };
  const stored = async (stream: string) => numbersOf(await collect(client.readStream(stream)));

  describe(`append by ${path.name}`, () => {
    it('writes to a new stream and continues its numbering', async () => {
      const stream = freshStream();
      const first = await append(stream, numbered(2), NO_STREAM);
      assert.equal(first.success, true);
      assert.equal(first.nextExpectedRevision, 1n);
      const second = await append(stream, numbered(1, 2), 1n);
      assert.equal(second.nextExpectedRevision, 2n);
      assert.ok((second.position?.commit ?? 0n) > (first.position?.commit ?? 0n));
      assert.deepEqual(await stored(stream), [0, 1, 2]);
    });

    it('keeps json, binary, metadata, ids, types and empty payloads as they are', async () => {
      const stream = freshStream();
      const bytes = Uint8Array.from([0, 255, 0x7b, 128]);
      const events = [
        jsonEvent({
          type: 'Jsön ☃',
          data: { text: 'naïve \u0000 😀' },
          metadata: { $correlationId: 'c', deep: { a: [1, null] } },
        }),
        binaryEvent({ type: 'binary', data: bytes, metadata: bytes }),
        binaryEvent({ type: 'empty', data: new Uint8Array() }),
      ];
      await client.appendToStream(stream, events, path.options);
      const [json, binary, empty] = (await collect(client.readStream(stream))).map((one) => one.event);
      assert.deepEqual(json?.data, { text: 'naïve \u0000 😀' });
      assert.deepEqual(json?.metadata, { $correlationId: 'c', deep: { a: [1, null] } });
      assert.deepEqual([json?.type, json?.id, json?.isJson], ['Jsön ☃', events[0]?.id, true]);
      assert.deepEqual([...((binary?.data ?? []) as Uint8Array)], [...bytes]);
      assert.deepEqual([...((binary?.metadata ?? []) as Uint8Array)], [...bytes]);
      assert.deepEqual([binary?.isJson, ((empty?.data ?? [1]) as Uint8Array).length], [false, 0]);
      assert.ok(Math.abs((json?.created.getTime() ?? 0) - Date.now()) < 60_000);
    });

    it('takes names with any characters', async () => {
      const stream = freshStream('größe ☃ %20/../$?#');
      await append(stream, numbered(1));
      const [found] = await collect(client.readStream(stream));
      assert.equal(found?.event?.streamId, stream);
    });

    it('refuses a wrong expected version, naming the actual one', async () => {
      const stream = freshStream();
      await conflict(append(stream, numbered(1), 0n), 'no_stream', 0n);
      await conflict(append(stream, numbered(1), STREAM_EXISTS), 'no_stream', STREAM_EXISTS);
      await append(stream, numbered(3));
      await conflict(append(stream, numbered(1), 5n), 2n, 5n);
      await conflict(append(stream, numbered(1), 1n), 2n, 1n);
      await conflict(
        append(stream, numbered(1), NO_STREAM),
        2n,
        path.name === 'Append' ? NO_STREAM : undefined,
      );
      assert.deepEqual(await stored(stream), [0, 1, 2]);
    });

    it('any: repeats are answered with the original place, new ids are written', async () => {
      const stream = freshStream();
      const events = numbered(3);
      const original = await append(stream, events, ANY);
      await append(stream, numbered(2, 3), ANY);
      assert.deepEqual(await append(stream, events, ANY), original);
      assert.deepEqual(await append(stream, events.slice(0, 2), ANY), {
        ...original,
        nextExpectedRevision: 1n,
        position: (await collect(client.readStream(stream)))[1]?.event?.position,
      });
      assert.deepEqual(await append(stream, events, STREAM_EXISTS), original);
      await conflict(append(stream, [...events, ...numbered(1, 9)], ANY), 4n);
      assert.deepEqual(await stored(stream), [0, 1, 2, 3, 4]);
    });

    it('any: an unknown first id writes, and ids count per stream', async () => {
      const [one, other] = [freshStream(), freshStream()];
      const events = numbered(2);
      await append(one, events, ANY);
      await append(other, events, ANY);
      await append(one, [...numbered(1, 7), ...events], ANY);
      assert.deepEqual(await stored(one), [0, 1, 7, 0, 1]);
      assert.deepEqual(await stored(other), [0, 1]);
    });

    it('a revision behind the end: equal ids repeat, differing ones conflict', async () => {
      const stream = freshStream();
      const first = numbered(2);
      const second = numbered(2, 2);
      await append(stream, first, NO_STREAM);
      const original = await append(stream, second, 1n);
      assert.deepEqual(await append(stream, second, 1n), original);
      assert.equal((await append(stream, first, NO_STREAM)).nextExpectedRevision, 1n);
      assert.deepEqual(await append(stream, [...first, ...second], NO_STREAM), original);
      await conflict(append(stream, second, NO_STREAM), 3n);
      await conflict(append(stream, [...second, ...numbered(1, 9)], 1n), 3n);
      await conflict(append(stream, [second[0] as Events[number], ...numbered(1, 9)], 1n), 3n);
      assert.deepEqual(await stored(stream), [0, 1, 2, 3]);
    });

    it('an append without events succeeds where the version is right', async () => {
      const stream = freshStream();
      await append(stream, numbered(2));
      assert.equal((await append(stream, [], 1n)).nextExpectedRevision, 1n);
      assert.equal((await append(stream, [], ANY)).nextExpectedRevision, 1n);
      await conflict(append(stream, [], 0n), 1n);
    });

    it('a tombstoned stream refuses every version', async () => {
      const stream = freshStream();
      await append(stream, numbered(1));
      await client.tombstoneStream(stream);
      for (const version of [ANY, NO_STREAM, STREAM_EXISTS, 0n, 7n] as const) {
        const error = await rejection(append(stream, numbered(1), version));
        assert.ok(error instanceof StreamDeletedError, `${version}: ${error}`);
        assert.equal(error.streamName, stream);
      }
    });

    it('refuses more than 1 MiB of data at once and takes exactly that', async () => {
      const stream = freshStream();
      const block = (size: number) => binaryEvent({ type: 'Block', data: new Uint8Array(size) });
      const error = await rejection(
        client.appendToStream(stream, [block(1024 * 1024 - 10), block(11)], path.options),
      );
      assert.ok(error instanceof MaxAppendSizeExceededError, `${error}`);
      assert.equal(error.maxAppendSize, 1024 * 1024);
      const taken = await client.appendToStream(stream, [block(1024 * 1024 - 10), block(10)], path.options);
      assert.equal(taken.nextExpectedRevision, 1n);
    });

    it('takes an append in many chunks as one', async () => {
      const stream = freshStream();
      await client.appendToStream(stream, numbered(100), { ...path.options, batchAppendSize: 500 });
      assert.equal((await stored(stream)).length, 100);
    });

    it('one stream with many writers at the same expected version has one winner', async () => {
      const stream = freshStream();
      const results = await Promise.allSettled(
        Array.from({ length: 50 }, (_, n) => append(stream, numbered(1, n), NO_STREAM)),
      );
      assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1);
      assert.equal((await stored(stream)).length, 1);
    });
  });
}

describe('append', () => {
  it('pipelined appends to one stream keep their order', async () => {
    const stream = freshStream();
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        client.appendToStream(stream, numbered(1, n), {
          expectedRevision: n === 0 ? NO_STREAM : BigInt(n - 1),
        }),
      ),
    );
    assert.equal(results.at(-1)?.nextExpectedRevision, 199n);
    assert.deepEqual(
      numbersOf(await collect(client.readStream(stream))),
      Array.from({ length: 200 }, (_, n) => n),
    );
  });

  it('positions are strictly increasing and the answer names the last event’s', async () => {
    const stream = freshStream();
    const result = await client.appendToStream(stream, numbered(5));
    const positions = (await collect(client.readStream(stream))).map(
      (one) => one.event?.position?.commit ?? 0n,
    );
    assert.deepEqual(
      positions,
      [...positions].sort((a, b) => Number(a - b)),
    );
    assert.equal(new Set(positions).size, 5);
    assert.equal(result.position?.commit, positions.at(-1));
  });

  it('an event id may be used in upper case', async () => {
    const stream = freshStream();
    const id = randomUUID();
    await client.appendToStream(stream, jsonEvent({ id: id.toUpperCase(), type: 'T', data: {} }));
    assert.equal((await collect(client.readStream(stream)))[0]?.event?.id, id);
  });
});
