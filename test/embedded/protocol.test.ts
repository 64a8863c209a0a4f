/** The wire itself, spoken through the generated stubs: what the official client never does but others may. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import streamsGrpc from '@eventstore/db-client/generated/streams_grpc_pb.js';
import grpc from '@grpc/grpc-js';
import timestamp from 'google-protobuf/google/protobuf/timestamp_pb.js';
import { empty, shared, streams } from '../../embedded/event-store/grpc/protocol.ts';
import {
  encodeCaughtUp,
  encodeCheckpoint,
  encodeConfirmation,
  encodeEvent,
  encodeStreamNotFound,
} from '../../embedded/event-store/grpc/wire.ts';
import { type Contract, collect, freshStream, numbered, openContract } from './support.ts';

let contract: Contract;
let stub: streamsGrpc.StreamsClient;
before(async () => {
  contract = await openContract();
  const { host } = new URL(contract.url.replace(/^esdb/, 'http'));
  stub = new streamsGrpc.StreamsClient(host, grpc.credentials.createInsecure());
});
after(async () => {
  stub.close();
  await contract.stop();
});

const identifier = (name: string) => new shared.StreamIdentifier().setStreamName(Buffer.from(name));
const uuid = (id: string) => new shared.UUID().setString(id);
const structured = (id: string) => {
  const raw = Buffer.from(id.replaceAll('-', ''), 'hex');
  const halves = new shared.UUID.Structured()
    .setMostSignificantBits(raw.readBigInt64BE(0).toString())
    .setLeastSignificantBits(raw.readBigInt64BE(8).toString());
  return new shared.UUID().setStructured(halves);
};

const proposed = (
  id = randomUUID() as string,
  properties: Record<string, string> = { type: 'T', 'content-type': 'application/json' },
) => {
  const message = new streams.BatchAppendReq.ProposedMessage()
    .setId(uuid(id))
    .setData(Buffer.from('{"n":1}'));
  for (const [key, value] of Object.entries(properties)) message.getMetadataMap().set(key, value);
  return message;
};
const chunk = (
  correlationId: string,
  options: streams.BatchAppendReq.Options | undefined,
  messages: streams.BatchAppendReq.ProposedMessage[],
  isFinal: boolean,
) =>
  new streams.BatchAppendReq()
    .setCorrelationId(uuid(correlationId))
    .setOptions(options)
    .setProposedMessagesList(messages)
    .setIsFinal(isFinal);
const optionsFor = (stream: string, deadlineMs?: number) => {
  const options = new streams.BatchAppendReq.Options()
    .setStreamIdentifier(identifier(stream))
    .setAny(new empty.Empty());
  return deadlineMs === undefined
    ? options
    : options.setDeadline(timestamp.Timestamp.fromDate(new Date(Date.now() + deadlineMs)));
};

/** Sends `requests`, half-closes, and returns every reply. */
const exchange = async (requests: readonly streams.BatchAppendReq[]): Promise<streams.BatchAppendResp[]> => {
  const call = stub.batchAppend();
  const replies: streams.BatchAppendResp[] = [];
  call.on('data', (reply: streams.BatchAppendResp) => replies.push(reply));
  for (const request of requests) call.write(request);
  call.end();
  await new Promise<void>((resolve, reject) => call.on('end', resolve).on('error', reject));
  return replies;
};
const faultOf = (reply: streams.BatchAppendResp | undefined) =>
  reply?.getError()?.getDetails()?.getTypeName();

describe('BatchAppend', () => {
  it('interleaved chunks of several appends are told apart and answered once each', async () => {
    const [a, b] = [freshStream(), freshStream()];
    const [idA, idB] = [randomUUID(), randomUUID()];
    const replies = await exchange([
      chunk(idA, optionsFor(a), [proposed()], false),
      chunk(idB, optionsFor(b), [proposed()], false),
      chunk(idA, undefined, [proposed(), proposed()], false),
      chunk(idB, undefined, [], true),
      chunk(idA, undefined, [proposed()], true),
    ]);
    const revisions = Object.fromEntries(
      replies.map((reply) => [
        reply.getCorrelationId()?.getString(),
        reply.getSuccess()?.getCurrentRevision(),
      ]),
    );
    assert.equal(replies.length, 2);
    assert.deepEqual(revisions, { [idA]: '3', [idB]: '0' });
  });

  it('a deadline in the past is a timeout and writes nothing', async () => {
    const stream = freshStream();
    const [reply] = await exchange([chunk(randomUUID(), optionsFor(stream, -1_000), [proposed()], true)]);
    assert.equal(faultOf(reply), 'event_store.client.Timeout');
    await assert.rejects(collect(contract.client().readStream(stream)));
  });

  it('every fault has details and a stream identifier, and does not end the call', async () => {
    const stream = freshStream();
    const replies = await exchange([
      chunk(randomUUID(), undefined, [proposed()], true),
      chunk(randomUUID(), optionsFor(''), [proposed()], true),
      chunk(randomUUID(), optionsFor('nul\0'), [proposed()], true),
      chunk(randomUUID(), optionsFor('x'.repeat(2_000)), [proposed()], true),
      chunk(randomUUID(), optionsFor(stream), [proposed('no-uuid')], true),
      chunk(randomUUID(), optionsFor(stream), [proposed(randomUUID(), { type: 'T' })], true),
      chunk(
        randomUUID(),
        optionsFor(stream),
        [proposed(randomUUID(), { type: 'N\0', 'content-type': 'application/json' })],
        true,
      ),
      chunk(
        randomUUID(),
        new streams.BatchAppendReq.Options().setStreamIdentifier(identifier(stream)),
        [proposed()],
        true,
      ),
      chunk(randomUUID(), optionsFor(stream).setStreamPosition('41'), [proposed()], true),
      chunk(randomUUID(), optionsFor(stream), [proposed()], true),
    ]);
    assert.equal(replies.length, 10);
    for (const reply of replies) assert.ok(reply.hasStreamIdentifier());
    const kinds = replies
      .map((reply) => faultOf(reply)?.replace('event_store.client.', '') ?? 'success')
      .sort();
    assert.deepEqual(kinds, [
      ...Array.from({ length: 8 }, () => 'BadRequest'),
      'WrongExpectedVersion',
      'success',
    ]);
    const conflict = replies.find((reply) => faultOf(reply)?.endsWith('WrongExpectedVersion'));
    assert.equal(conflict?.getStreamPosition(), '41');
  });

  it('takes ids in structured form', async () => {
    const stream = freshStream();
    const id = 'ffffffff-0000-4000-8000-00000000000f';
    const message = proposed().setId(structured(id));
    await exchange([chunk(randomUUID(), optionsFor(stream), [message], true)]);
    assert.equal((await collect(contract.client().readStream(stream)))[0]?.event?.id, id);
  });

  it('a bad event fails its own append alone', async () => {
    const stream = freshStream();
    const requests = Array.from({ length: 100 }, (_, n) =>
      chunk(randomUUID(), optionsFor(stream), [n % 10 === 5 ? proposed('bad') : proposed()], true),
    );
    const replies = await exchange(requests);
    assert.equal(replies.filter((reply) => reply.hasSuccess()).length, 90);
    assert.equal((await collect(contract.client().readStream(stream))).length, 90);
  });
});

describe('Append', () => {
  const append = (requests: readonly streams.AppendReq[]) =>
    new Promise<grpc.ServiceError>((resolve, reject) => {
      const call = stub.append((error) => (error ? resolve(error) : reject(new Error('expected an error'))));
      for (const request of requests) call.write(request);
      call.end();
    });
  const header = () =>
    new streams.AppendReq().setOptions(
      new streams.AppendReq.Options()
        .setStreamIdentifier(identifier(freshStream()))
        .setAny(new shared.Empty()),
    );

  it('names the required metadata properties', async () => {
    const message = new streams.AppendReq.ProposedMessage().setId(uuid(randomUUID()));
    message.getMetadataMap().set('type', 'T');
    const error = await append([header(), new streams.AppendReq().setProposedMessage(message)]);
    assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
    assert.deepEqual(error.metadata.get('exception'), ['missing-required-metadata-property']);
    assert.deepEqual(error.metadata.get('required-metadata-properties'), ['type,content-type']);
  });

  it('refuses a call without options, without a version, or to $all', async () => {
    const versionless = new streams.AppendReq().setOptions(
      new streams.AppendReq.Options().setStreamIdentifier(identifier('x')),
    );
    const toAll = new streams.AppendReq().setOptions(
      new streams.AppendReq.Options().setStreamIdentifier(identifier('$all')).setAny(new shared.Empty()),
    );
    for (const requests of [[], [versionless], [toAll]])
      assert.equal((await append(requests)).code, grpc.status.INVALID_ARGUMENT);
  });
});

describe('Read', () => {
  const read = (change: (options: streams.ReadReq.Options) => void): Promise<streams.ReadResp[]> => {
    const options = new streams.ReadReq.Options()
      .setUuidOption(new streams.ReadReq.Options.UUIDOption().setString(new shared.Empty()))
      .setAll(new streams.ReadReq.Options.AllOptions().setStart(new shared.Empty()))
      .setNoFilter(new shared.Empty())
      .setCount('10');
    change(options);
    return new Promise((resolve, reject) => {
      const replies: streams.ReadResp[] = [];
      stub
        .read(new streams.ReadReq().setOptions(options))
        .on('data', (reply) => replies.push(reply))
        .on('error', reject)
        .on('end', () => resolve(replies));
    });
  };

  it('refuses what is incomplete or contradictory', async () => {
    const faults: ((options: streams.ReadReq.Options) => void)[] = [
      (options) => options.clearUuidOption(),
      (options) => options.clearAll(),
      (options) => options.clearNoFilter(),
      (options) => options.clearCount(),
      (options) => options.setFilter(new streams.ReadReq.Options.FilterOptions()),
      (options) =>
        options.setSubscription(new streams.ReadReq.Options.SubscriptionOptions()).setReadDirection(1),
      (options) =>
        options.setStream(new streams.ReadReq.Options.StreamOptions().setStreamIdentifier(identifier('x'))),
    ];
    for (const fault of faults) await assert.rejects(read(fault), { code: grpc.status.INVALID_ARGUMENT });
  });

  it('writes ids in structured form when asked to', async () => {
    const stream = freshStream();
    const [event] = numbered(1);
    await contract.client().appendToStream(stream, event as never);
    const replies = await read((options) => {
      options.setUuidOption(new streams.ReadReq.Options.UUIDOption().setStructured(new shared.Empty()));
      options.setStream(
        new streams.ReadReq.Options.StreamOptions()
          .setStreamIdentifier(identifier(stream))
          .setStart(new shared.Empty()),
      );
    });
    const id = replies[0]?.getEvent()?.getEvent()?.getId()?.getStructured();
    const raw = Buffer.from(event?.id.replaceAll('-', '') ?? '', 'hex');
    assert.deepEqual(
      [id?.getMostSignificantBits(), id?.getLeastSignificantBits()],
      [raw.readBigInt64BE(0).toString(), raw.readBigInt64BE(8).toString()],
    );
  });

  it('$all can be read with a filter, both ways', async () => {
    const stream = freshStream('filtered');
    await contract.client().appendToStream(stream, numbered(3));
    const filter = new streams.ReadReq.Options.FilterOptions().setStreamIdentifier(
      new streams.ReadReq.Options.FilterOptions.Expression().setPrefixList([stream]),
    );
    const revisions = (replies: streams.ReadResp[]) =>
      replies.map((reply) => reply.getEvent()?.getEvent()?.getStreamRevision());
    assert.deepEqual(revisions(await read((options) => options.setFilter(filter).setCount('2'))), ['0', '1']);
    const backwards = await read((options) =>
      options
        .setFilter(filter)
        .setReadDirection(1)
        .setAll(new streams.ReadReq.Options.AllOptions().setEnd(new shared.Empty())),
    );
    assert.deepEqual(revisions(backwards), ['2', '1', '0']);
  });
});

describe('encoding', () => {
  const event = {
    id: randomUUID(),
    type: 'Typ ☃',
    json: true,
    data: Buffer.from('{}'),
    metadata: Buffer.from([1, 2]),
    position: 2n ** 40n + 5n,
    stream: 'größe-1',
    revision: 2n ** 63n - 1n,
    created: 17_000_000_000_000_000n,
  };

  it('agrees with the generated code', () => {
    const read = streams.ReadResp.deserializeBinary(
      encodeEvent({ event, link: { ...event, revision: 0n, position: 9n } }, 'string'),
    ).getEvent();
    const recorded = read?.getEvent();
    assert.equal(recorded?.getId()?.getString(), event.id);
    assert.equal(
      Buffer.from(recorded?.getStreamIdentifier()?.getStreamName_asU8() ?? []).toString(),
      event.stream,
    );
    assert.deepEqual(
      [recorded?.getStreamRevision(), recorded?.getCommitPosition(), recorded?.getPreparePosition()],
      [String(event.revision), String(event.position), String(event.position)],
    );
    assert.deepEqual(recorded?.getMetadataMap().toArray(), [
      ['content-type', 'application/json'],
      ['created', String(event.created)],
      ['type', event.type],
    ]);
    assert.deepEqual([...(recorded?.getCustomMetadata_asU8() ?? [])], [1, 2]);
    assert.equal(Buffer.from(recorded?.getData_asU8() ?? []).toString(), '{}');
    assert.deepEqual([read?.getCommitPosition(), read?.getLink()?.getStreamRevision()], ['9', '0']);
  });

  it('has the same bytes as the generated code', () => {
    const same = (encoded: Buffer, generated: { serializeBinary(): Uint8Array }) =>
      assert.deepEqual([...encoded], [...generated.serializeBinary()]);
    same(encodeCaughtUp(), new streams.ReadResp().setCaughtUp(new streams.ReadResp.CaughtUp()));
    same(
      encodeCheckpoint(300n),
      new streams.ReadResp().setCheckpoint(
        new streams.ReadResp.Checkpoint().setCommitPosition('300').setPreparePosition('300'),
      ),
    );
    same(
      encodeConfirmation('abc'),
      new streams.ReadResp().setConfirmation(
        new streams.ReadResp.SubscriptionConfirmation().setSubscriptionId('abc'),
      ),
    );
    same(
      encodeStreamNotFound('ß'),
      new streams.ReadResp().setStreamNotFound(
        new streams.ReadResp.StreamNotFound().setStreamIdentifier(identifier('ß')),
      ),
    );
    for (const form of ['string', 'structured'] as const) {
      const encoded = encodeEvent({ event, link: undefined }, form);
      same(encoded, streams.ReadResp.deserializeBinary(encoded));
    }
  });
});
