/** Users of the event store over TLS: who gets in, who no longer does, and what guessing costs. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { AccessDeniedError, EventStoreDBClient } from '@eventstore/db-client';
import streamsGrpc from '@eventstore/db-client/generated/streams_grpc_pb.js';
import grpc from '@grpc/grpc-js';
import { shared, streams } from '../../embedded/event-store/grpc/protocol.ts';
import type { MusterError } from '../../platform/errors.ts';
import { eventually } from './persistent.ts';
import { openSecureStore, type SecureStore } from './secure.ts';
import { collect, freshStream, numbered, numbersOf, rejection } from './support.ts';

let store: SecureStore;
before(async () => {
  store = await openSecureStore();
});
after(() => store.stop());

const denied = (work: Promise<unknown>) => assert.rejects(work, AccessDeniedError);

/** The gRPC status of a read with these headers. */
const statusWith = async (authorization?: string): Promise<grpc.status> => {
  const credentials = grpc.credentials.createSsl(readFileSync(store.caFile));
  const stub = new streamsGrpc.StreamsClient(`127.0.0.1:${store.port}`, credentials);
  const metadata = new grpc.Metadata();
  if (authorization !== undefined) metadata.set('authorization', authorization);
  const stream = new streams.ReadReq.Options.StreamOptions()
    .setStreamIdentifier(new shared.StreamIdentifier().setStreamName(Buffer.from('status')))
    .setStart(new shared.Empty());
  const options = new streams.ReadReq.Options()
    .setStream(stream)
    .setCount('1')
    .setNoFilter(new shared.Empty())
    .setUuidOption(new streams.ReadReq.Options.UUIDOption().setString(new shared.Empty()));
  const call = stub.read(new streams.ReadReq().setOptions(options), metadata);
  call.on('error', () => {});
  call.resume();
  const { code } = await new Promise<grpc.StatusObject>((resolve) => call.once('status', resolve));
  stub.close();
  return code;
};
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

describe('credentials', () => {
  it('of a user get in; wrong or unreadable ones are UNAUTHENTICATED; none at all are PERMISSION_DENIED', async () => {
    const { username, password } = store.alice;
    assert.equal(await statusWith(basic(`${username}:${password}`)), grpc.status.OK);
    for (const wrong of [
      basic(`${username}:not-it`),
      basic(`no-such-user:${password}`),
      basic('no-colon'),
      'Basic ***',
      `Bearer ${password}`,
    ])
      assert.equal(await statusWith(wrong), grpc.status.UNAUTHENTICATED, wrong);
    assert.equal(await statusWith(), grpc.status.PERMISSION_DENIED);
  });

  it('are checked on every path: append, batch append, delete, read, persistent subscriptions', async () => {
    const wrong = { username: 'bob', password: 'wrong-password' };
    const client = store.client(wrong);
    const stream = freshStream();
    await denied(client.appendToStream(stream, numbered(1)));
    await denied(client.appendToStream(stream, numbered(1), { credentials: wrong }));
    await denied(client.deleteStream(stream));
    await denied(collect(client.readAll()));
  });

  it('of each call win over those of the client', async () => {
    const client = store.client(store.alice);
    const stream = `$by-call-${freshStream()}`;
    await denied(client.appendToStream(stream, numbered(1)));
    await client.appendToStream(stream, numbered(1), { credentials: store.admin });
    assert.equal((await collect(client.readStream(stream, { credentials: store.admin }))).length, 1);
  });

  it('of a thousand calls at once are one check', async () => {
    const carol = { username: 'carol', password: await store.users.add('carol', []) };
    const stream = freshStream();
    const client = store.client();
    const work = Array.from({ length: 300 }, (_, n) =>
      client.appendToStream(stream, numbered(1, n), { credentials: carol }),
    );
    await Promise.all(work);
    assert.equal(numbersOf(await collect(store.client(carol).readStream(stream))).length, 300);
  });
});

describe('changes', () => {
  const login = async (username: string) => ({ username, password: await store.users.add(username, []) });
  const isRefused = (work: Promise<unknown>): Promise<boolean> =>
    work.then(
      () => false,
      (error) => error instanceof AccessDeniedError,
    );

  it('of a password are noticed by reads and by the append call that is open', async () => {
    const dora = await login('dora');
    const client = store.client(dora);
    const stream = freshStream();
    await client.appendToStream(stream, numbered(1));
    const password = await store.users.setPassword('dora');
    await eventually(
      () => isRefused(client.appendToStream(stream, numbered(1))),
      (refused) => refused,
    );
    await denied(collect(client.readStream(stream)));
    await store.client({ ...dora, password }).appendToStream(stream, numbered(1));
  });

  it('a removed user is out, a user of that name added again has another password', async () => {
    const emil = await login('emil');
    const client = store.client(emil);
    const stream = freshStream();
    await client.appendToStream(stream, numbered(1));
    await store.users.remove('emil');
    await eventually(
      () => isRefused(collect(client.readStream(stream))),
      (refused) => refused,
    );
    await login('emil');
    await denied(collect(client.readStream(stream)));
  });
});

describe('guessing', () => {
  it('is stopped before the password is looked at, for that user only', async () => {
    const password = await store.users.add('frieda', []);
    for (let n = 0; n < 5; n += 1) await statusWith(basic(`frieda:guess-${n}`));
    assert.equal(await statusWith(basic(`frieda:${password}`)), grpc.status.UNAUTHENTICATED);
    assert.equal(await statusWith(basic(`bob:${store.bob.password}`)), grpc.status.OK);
  });

  it('by others does not lock out who is in already', async () => {
    const grit = basic(`grit:${await store.users.add('grit', [])}`);
    assert.equal(await statusWith(grit), grpc.status.OK);
    for (let n = 0; n < 8; n += 1) await statusWith(basic(`grit:guess-${n}`));
    assert.equal(await statusWith(grit), grpc.status.OK);
  });
});

describe('the table of users', () => {
  const refused = async (work: Promise<unknown>) => {
    const { code, field } = await rejection<MusterError>(work);
    return [code, field];
  };

  it('refuses names, groups and passwords that cannot be', async () => {
    const { users } = store;
    for (const name of ['', 'a:b', '$admins', 'two words', 'x'.repeat(65)])
      assert.deepEqual(await refused(users.add(name, [])), ['invalid-input', 'name'], name);
    assert.deepEqual(await refused(users.add('hans', ['$all'])), ['invalid-input', 'group']);
    assert.deepEqual(await refused(users.add('hans', [], 'short')), ['invalid-input', 'password']);
    assert.deepEqual(await refused(users.add('alice', [])), ['invalid-input', 'name']);
    assert.deepEqual(await refused(users.setPassword('hans')), ['invalid-input', 'name']);
    assert.deepEqual(await refused(users.remove('hans')), ['invalid-input', 'name']);
    assert.ok(!(await users.list()).some(({ name }) => name === 'hans'));
  });

  it('keeps the last administrator', async () => {
    const { users } = store;
    assert.deepEqual(await refused(users.remove('admin')), ['invalid-input', 'name']);
    await users.add('second', ['$admins']);
    await users.remove('second');
    assert.equal(await users.ensureAdministrator(), undefined);
    assert.deepEqual(
      (await users.list()).filter(({ groups }) => groups.includes('$admins')).map(({ name }) => name),
      ['admin'],
    );
  });

  it('holds no password, and the log holds none either', async () => {
    const hashes = await store.sql<{ hash: string }[]>`select hash from event_store.users`;
    assert.ok(hashes.length >= 4);
    for (const { hash } of hashes) assert.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    const [found] = await store.sql`
      select count(*)::int as n from event_store.events where position(${Buffer.from(store.alice.password)} in data) > 0`;
    assert.equal(found?.['n'], 0);
  });
});

it('an address without TLS gets nothing', async () => {
  const client = EventStoreDBClient.connectionString(
    `esdb://127.0.0.1:${store.port}?tls=false&defaultDeadline=2000`,
  );
  await assert.rejects(client.deleteStream(freshStream()));
  await client.dispose();
});
