/** Who may do what with a stream over TLS: its own $acl, every action both ways, percent-encoded names. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  AccessDeniedError,
  type EventStoreDBClient,
  StreamDeletedError,
  StreamNotFoundError,
} from '@eventstore/db-client';
import { type Login, openSecureStore, type SecureStore } from './secure.ts';
import { collect, freshStream, numbered, numbersOf, rejection } from './support.ts';

let store: SecureStore;
let admin: EventStoreDBClient;
let alice: EventStoreDBClient;
let bob: EventStoreDBClient;
let nobody: EventStoreDBClient;
before(async () => {
  store = await openSecureStore();
  admin = store.client(store.admin);
  alice = store.client(store.alice);
  bob = store.client(store.bob);
  nobody = store.client();
});
after(() => store.stop());

const read = async (client: EventStoreDBClient, stream: string) =>
  numbersOf(await collect(client.readStream(stream)));
const denied = (work: Promise<unknown>) => assert.rejects(work, AccessDeniedError);

/** A stream of two events with this ACL, made by the administrator. */
const withAcl = async (acl: Record<string, unknown>): Promise<string> => {
  const stream = freshStream();
  await admin.appendToStream(stream, numbered(2));
  await admin.setStreamMetadata(stream, { acl } as never);
  return stream;
};

describe('without an ACL', () => {
  it('a stream is open to every user and to nobody else', async () => {
    const stream = freshStream();
    await alice.appendToStream(stream, numbered(1));
    await bob.appendToStream(stream, numbered(1, 1));
    assert.deepEqual(await read(alice, stream), [0, 1]);
    await alice.setStreamMetadata(stream, { maxCount: 10 });
    assert.equal((await bob.getStreamMetadata(stream)).metadata?.maxCount, 10);
    await denied(read(nobody, stream));
    await denied(nobody.appendToStream(stream, numbered(1)));
    await denied(nobody.getStreamMetadata(stream));
    await denied(nobody.deleteStream(stream));
    await bob.deleteStream(stream);
    await assert.rejects(read(alice, stream), StreamNotFoundError);
  });

  it('nobody learns whether a stream exists', async () => {
    await denied(read(nobody, freshStream()));
  });
});

describe('$acl', () => {
  it('$r admits readers by name, and the metadata by $mr', async () => {
    const stream = await withAcl({ readRoles: ['alice'], metaReadRoles: ['bob'] });
    assert.deepEqual(await read(alice, stream), [0, 1]);
    await denied(read(bob, stream));
    await denied(collect(alice.readStream(`$$${stream}`)));
    assert.equal((await collect(bob.readStream(`$$${stream}`))).length, 1);
  });

  it('$w admits writers by group on both append paths, $mw those of the metadata', async () => {
    const stream = await withAcl({ writeRoles: ['staff'], metaWriteRoles: ['alice'] });
    const as = (credentials: Login) => ({ credentials });
    await bob.appendToStream(stream, numbered(1, 2));
    await nobody.appendToStream(stream, numbered(1, 3), as(store.bob));
    await denied(alice.appendToStream(stream, numbered(1)));
    await denied(nobody.appendToStream(stream, numbered(1), as(store.alice)));
    assert.deepEqual(await read(alice, stream), [0, 1, 2, 3]);
    await denied(bob.setStreamMetadata(stream, { maxCount: 1 }));
    await alice.setStreamMetadata(stream, { maxCount: 1 });
    assert.deepEqual(await read(alice, stream), [3]);
  });

  it('$d admits who may delete and tombstone', async () => {
    for (const how of ['deleteStream', 'tombstoneStream'] as const) {
      const stream = await withAcl({ deleteRoles: ['alice'] });
      await denied(bob[how](stream));
      assert.deepEqual(await read(bob, stream), [0, 1]);
      await alice[how](stream);
      await assert.rejects(
        read(alice, stream),
        how === 'deleteStream' ? StreamNotFoundError : StreamDeletedError,
      );
    }
  });

  it('$all stands for every user, $admins may whatever it says, an empty list admits nobody else', async () => {
    const open = await withAcl({ readRoles: ['$all'] });
    assert.deepEqual(await read(alice, open), [0, 1]);
    await denied(read(nobody, open));
    const closed = await withAcl({ readRoles: [], writeRoles: [], deleteRoles: [], metaReadRoles: [] });
    await denied(read(alice, closed));
    await admin.appendToStream(closed, numbered(1, 2));
    assert.deepEqual(await read(admin, closed), [0, 1, 2]);
    assert.ok((await admin.getStreamMetadata(closed)).metadata?.acl);
    await admin.deleteStream(closed);
  });

  it('what cannot be understood admits nobody but administrators', async () => {
    const stream = freshStream();
    await admin.setStreamMetadata(stream, { $acl: { $r: 5 } } as never);
    await denied(read(alice, stream));
    await assert.rejects(read(admin, stream), StreamNotFoundError);
  });

  it('a change counts from the very next call on', async () => {
    const stream = await withAcl({ readRoles: ['alice'] });
    await admin.setStreamMetadata(stream, { acl: { readRoles: ['bob'] } } as never);
    await denied(read(alice, stream));
    assert.deepEqual(await read(bob, stream), [0, 1]);
  });

  it('a denied append leaves the others of the same call alone, in order', async () => {
    const closed = await withAcl({ writeRoles: ['alice'] });
    const open = freshStream();
    const results = await Promise.allSettled(
      Array.from({ length: 30 }, (_, n) => bob.appendToStream(n % 3 === 0 ? closed : open, numbered(1, n))),
    );
    assert.deepEqual(
      results.map(({ status }) => status),
      Array.from({ length: 30 }, (_, n) => (n % 3 === 0 ? 'rejected' : 'fulfilled')),
    );
    assert.deepEqual(
      await read(bob, open),
      Array.from({ length: 30 }, (_, n) => n).filter((n) => n % 3 !== 0),
    );
  });

  it('a live subscription goes on after its reader lost access, as on the real server; a new one is denied', async () => {
    const stream = await withAcl({ readRoles: ['alice'] });
    const subscription = alice.subscribeToStream(stream);
    const seen: number[] = [];
    const third = new Promise<void>((resolve, reject) => {
      subscription.on('error', reject);
      subscription.on('data', ({ event }) => {
        seen.push((event?.data as { n: number } | undefined)?.n ?? Number.NaN);
        if (seen.length === 2)
          admin
            .setStreamMetadata(stream, { acl: { readRoles: [] } } as never)
            .then(() => admin.appendToStream(stream, numbered(1, 2)))
            .catch(reject);
        if (seen.length === 3) resolve();
      });
    });
    await third;
    await subscription.unsubscribe();
    const again = alice.subscribeToStream(stream);
    const error = await new Promise((resolve) => again.once('error', resolve));
    assert.ok(error instanceof AccessDeniedError, String(error));
  });

  it('names beyond ASCII are denied and named like any other', async () => {
    const stream = `Bücher-日本-${freshStream()}`;
    await admin.appendToStream(stream, numbered(1));
    await admin.setStreamMetadata(stream, { acl: { readRoles: [], writeRoles: [] } } as never);
    await denied(read(alice, stream));
    await denied(alice.appendToStream(stream, numbered(1)));
    await admin.tombstoneStream(stream);
    const error = await rejection<StreamDeletedError>(read(admin, stream));
    assert.equal(decodeURIComponent(error.streamName), stream);
  });
});
