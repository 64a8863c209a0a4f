/** Contract: soft delete, tombstone and stream metadata. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  ANY,
  BACKWARDS,
  END,
  type EventStoreDBClient,
  NO_STREAM,
  STREAM_EXISTS,
  StreamDeletedError,
  StreamNotFoundError,
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

let contract: Contract;
let client: EventStoreDBClient;
before(async () => {
  contract = await openContract();
  client = contract.client();
});
after(() => contract.stop());

const withEvents = async (count: number): Promise<string> => {
  const stream = freshStream();
  await client.appendToStream(stream, numbered(count));
  return stream;
};
const read = async (stream: string) => numbersOf(await collect(client.readStream(stream)));
const revisions = async (stream: string) =>
  (await collect(client.readStream(stream))).map((one) => one.event?.revision);

describe('soft delete', () => {
  it('hides the stream and answers with a position', async () => {
    const stream = await withEvents(2);
    const result = await client.deleteStream(stream, { expectedRevision: 1n });
    assert.ok((result.position?.commit ?? 0n) > 0n);
    await assert.rejects(read(stream), StreamNotFoundError);
    await assert.rejects(
      collect(client.readStream(stream, { direction: BACKWARDS, fromRevision: END })),
      StreamNotFoundError,
    );
  });

  it('checks the expected version', async () => {
    const stream = await withEvents(2);
    for (const expectedRevision of [0n, 5n, NO_STREAM] as const) {
      const error = await rejection(client.deleteStream(stream, { expectedRevision }));
      assert.ok(error instanceof WrongExpectedVersionError, `${expectedRevision}: ${error}`);
      assert.deepEqual([error.streamName, error.actualVersion], [stream, 1n]);
    }
    assert.deepEqual(await read(stream), [0, 1]);
  });

  it('of a stream that never was is a version conflict', async () => {
    const error = await rejection(client.deleteStream(freshStream()));
    assert.ok(error instanceof WrongExpectedVersionError);
    assert.equal(error.actualVersion, 'no_stream');
  });

  for (const [name, expectedRevision] of [
    ['any', ANY],
    ['no_stream', NO_STREAM],
    ['the last revision', 2n],
  ] as const) {
    it(`an append with ${name} afterwards continues the numbering and shows the new events alone`, async () => {
      const stream = await withEvents(3);
      await client.deleteStream(stream);
      const result = await client.appendToStream(stream, numbered(2, 50), { expectedRevision });
      assert.equal(result.nextExpectedRevision, 4n);
      assert.deepEqual(await read(stream), [50, 51]);
      assert.deepEqual(await revisions(stream), [3n, 4n]);
      const { metadata } = await client.getStreamMetadata(stream);
      assert.equal(metadata?.truncateBefore, 3);
      assert.equal(
        (await client.appendToStream(stream, numbered(1, 52), { expectedRevision: 4n })).nextExpectedRevision,
        5n,
      );
    });
  }

  it('refuses stream_exists, and an old revision', async () => {
    const stream = await withEvents(3);
    await client.deleteStream(stream);
    assert.ok(
      (await rejection(
        client.appendToStream(stream, numbered(1), { expectedRevision: STREAM_EXISTS }),
      )) instanceof StreamDeletedError,
    );
    assert.ok(
      (await rejection(client.appendToStream(stream, numbered(1), { expectedRevision: 0n }))) instanceof
        WrongExpectedVersionError,
    );
  });

  it('may be repeated, and undone more than once', async () => {
    const stream = await withEvents(1);
    await client.deleteStream(stream);
    await client.deleteStream(stream);
    await client.appendToStream(stream, numbered(1, 1));
    await client.deleteStream(stream);
    await client.appendToStream(stream, numbered(1, 2));
    assert.deepEqual(await read(stream), [2]);
    assert.deepEqual(await revisions(stream), [2n]);
  });

  it('keeps the events in $all', async () => {
    const stream = await withEvents(2);
    await client.deleteStream(stream);
    const all = await collect(client.readAll());
    assert.equal(all.filter((one) => one.event?.streamId === stream).length, 2);
  });

  it('new metadata brings the stream back empty', async () => {
    const stream = await withEvents(2);
    await client.deleteStream(stream);
    await client.setStreamMetadata(stream, { maxCount: 10 });
    assert.deepEqual((await client.getStreamMetadata(stream)).metadata, { maxCount: 10, truncateBefore: 2 });
    assert.deepEqual(await read(stream), []);
    await client.appendToStream(stream, numbered(1, 9));
    assert.deepEqual(await read(stream), [9]);
  });
});

describe('tombstone', () => {
  it('is permanent, for reads, appends, deletes and tombstones', async () => {
    const stream = await withEvents(2);
    const result = await client.tombstoneStream(stream, { expectedRevision: 1n });
    assert.ok((result.position?.commit ?? 0n) > 0n);
    for (const attempt of [
      () => read(stream),
      () => client.appendToStream(stream, numbered(1)),
      () => client.deleteStream(stream),
      () => client.tombstoneStream(stream),
      () => client.setStreamMetadata(stream, { maxCount: 1 }),
    ]) {
      assert.ok((await rejection(attempt())) instanceof StreamDeletedError);
    }
  });

  it('is allowed on a stream that never was', async () => {
    const stream = freshStream();
    await client.tombstoneStream(stream, { expectedRevision: NO_STREAM });
    assert.ok((await rejection(client.appendToStream(stream, numbered(1)))) instanceof StreamDeletedError);
  });

  it('checks the expected version', async () => {
    const stream = await withEvents(1);
    const error = await rejection(client.tombstoneStream(stream, { expectedRevision: 3n }));
    assert.ok(error instanceof WrongExpectedVersionError);
    assert.deepEqual([error.expectedVersion, error.actualVersion], [3n, 0n]);
  });

  it('leaves its mark in $all, with the highest revision', async () => {
    const stream = await withEvents(1);
    await client.tombstoneStream(stream);
    const marks = (await collect(client.readAll())).filter((one) => one.event?.streamId === stream);
    assert.deepEqual(
      marks.map((one) => [one.event?.type, one.event?.revision]),
      [
        ['Numbered', 0n],
        ['$streamDeleted', 2n ** 63n - 1n],
      ],
    );
  });

  it('names with other characters come back in errors', async () => {
    const stream = freshStream('naïve ☃');
    await client.tombstoneStream(stream);
    const error = await rejection(read(stream));
    assert.ok(error instanceof StreamDeletedError);
    assert.equal(decodeURIComponent(error.streamName), stream);
  });
});

describe('stream metadata', () => {
  it('is kept whole and read back', async () => {
    const stream = await withEvents(1);
    const metadata = {
      maxCount: 5,
      maxAge: 3600,
      truncateBefore: 0,
      cacheControl: 60,
      acl: { readRoles: '$all', writeRoles: ['ops'] },
      team: { name: 'ß' },
    };
    await client.setStreamMetadata(stream, metadata as never);
    assert.deepEqual((await client.getStreamMetadata(stream)).metadata, metadata);
  });

  it('of a stream without any is empty', async () => {
    const stream = freshStream();
    assert.deepEqual(await client.getStreamMetadata(stream), { streamName: stream });
  });

  it('has versions of its own', async () => {
    const stream = await withEvents(1);
    await client.setStreamMetadata(stream, { maxCount: 5 }, { expectedRevision: NO_STREAM });
    assert.ok(
      (await rejection(
        client.setStreamMetadata(stream, { maxCount: 6 }, { expectedRevision: NO_STREAM }),
      )) instanceof WrongExpectedVersionError,
    );
    await client.setStreamMetadata(stream, { maxCount: 7 }, { expectedRevision: 0n });
    assert.equal((await client.getStreamMetadata(stream)).metadata?.maxCount, 7);
  });

  it('makes a stream exist for stream_exists', async () => {
    const stream = freshStream();
    await client.setStreamMetadata(stream, { maxCount: 5 });
    assert.equal(
      (await client.appendToStream(stream, numbered(1), { expectedRevision: STREAM_EXISTS })).success,
      true,
    );
  });

  it('$maxCount shows the newest events, both ways and from any revision', async () => {
    const stream = await withEvents(10);
    await client.setStreamMetadata(stream, { maxCount: 3 });
    assert.deepEqual(await read(stream), [7, 8, 9]);
    assert.deepEqual(
      numbersOf(await collect(client.readStream(stream, { fromRevision: 2n, maxCount: 2 }))),
      [7, 8],
    );
    assert.deepEqual(
      numbersOf(await collect(client.readStream(stream, { direction: BACKWARDS, fromRevision: END }))),
      [9, 8, 7],
    );
    await client.appendToStream(stream, numbered(1, 10));
    assert.deepEqual(await read(stream), [8, 9, 10]);
    await client.setStreamMetadata(stream, {});
    assert.equal((await read(stream)).length, 11);
  });

  it('$tb hides what is before', async () => {
    const stream = await withEvents(5);
    await client.setStreamMetadata(stream, { truncateBefore: 3 });
    assert.deepEqual(await read(stream), [3, 4]);
    await client.setStreamMetadata(stream, { truncateBefore: 50 });
    assert.deepEqual(await read(stream), []);
  });

  it('$maxAge hides what is older', async () => {
    const stream = await withEvents(2);
    await client.setStreamMetadata(stream, { maxAge: 3600 });
    assert.deepEqual(await read(stream), [0, 1]);
    // An event is older than its own age limit of one second as soon as that second is over.
    await client.setStreamMetadata(stream, { maxAge: 1 });
    for (const until = Date.now() + 10_000; (await read(stream)).length > 0; ) assert.ok(Date.now() < until);
    assert.deepEqual(await read(stream), []);
  });
});
