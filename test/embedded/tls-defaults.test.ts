/** Default ACLs over TLS: system streams, $all, $settings; links to what may not be read; persistent subscriptions. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  AccessDeniedError,
  type EventStoreDBClient,
  jsonEvent,
  persistentSubscriptionToAllSettingsFromDefaults,
} from '@eventstore/db-client';
import { eventually, group, joinStream, settingsFrom } from './persistent.ts';
import { openSecureStore, type SecureStore } from './secure.ts';
import { collect, freshStream, numbered, numbersOf } from './support.ts';

let store: SecureStore;
let admin: EventStoreDBClient;
let alice: EventStoreDBClient;
let bob: EventStoreDBClient;
let olga: EventStoreDBClient;
let nobody: EventStoreDBClient;
before(async () => {
  store = await openSecureStore();
  admin = store.client(store.admin);
  alice = store.client(store.alice);
  bob = store.client(store.bob);
  olga = store.client(store.olga);
  nobody = store.client();
});
after(() => store.stop());

const read = async (client: EventStoreDBClient, stream: string) =>
  numbersOf(await collect(client.readStream(stream)));
const readAll = (client: EventStoreDBClient) => collect(client.readAll({ maxCount: 10 }));
const denied = (work: Promise<unknown>) => assert.rejects(work, AccessDeniedError);
const isDenied = (work: Promise<unknown>): Promise<boolean> =>
  work.then(
    () => false,
    (error) => {
      if (error instanceof AccessDeniedError) return true;
      throw error;
    },
  );

describe('system streams and $all', () => {
  it('are for administrators', async () => {
    const stream = `$system-${freshStream()}`;
    await denied(alice.appendToStream(stream, numbered(1)));
    await denied(olga.appendToStream(stream, numbered(1)));
    await admin.appendToStream(stream, numbered(1));
    assert.deepEqual(await read(admin, stream), [0]);
    for (const client of [alice, olga, nobody]) {
      await denied(read(client, stream));
      await denied(readAll(client));
    }
    assert.ok((await readAll(admin)).length > 0);
  });

  it('open by their own metadata', async () => {
    await admin.setStreamMetadata('$all', { acl: { readRoles: ['alice', '$admins'] } } as never);
    assert.ok((await readAll(alice)).length > 0);
    await denied(readAll(bob));
    const subscription = bob.subscribeToAll();
    const error = await new Promise((resolve) => subscription.once('error', resolve));
    assert.ok(error instanceof AccessDeniedError);
  });
});

describe('$settings', () => {
  const setDefaults = (defaults: Record<string, unknown>) =>
    admin.appendToStream('$settings', [jsonEvent({ type: '$settings', data: defaults })]);

  it('changes the defaults of user and system streams, action by action, and a stream’s own ACL still wins', async () => {
    const stream = freshStream();
    const system = `$system-${freshStream()}`;
    const own = freshStream();
    await alice.appendToStream(stream, numbered(1));
    await admin.appendToStream(system, numbered(1));
    await alice.appendToStream(own, numbered(1));
    await admin.setStreamMetadata(own, { acl: { writeRoles: ['alice'] } } as never);

    await setDefaults({ $userStreamAcl: { $w: 'staff' }, $systemStreamAcl: { $r: ['alice', '$admins'] } });
    await eventually(
      () => isDenied(alice.appendToStream(stream, numbered(1, 1))),
      (is) => is,
    );
    await bob.appendToStream(stream, numbered(1, 7));
    assert.equal((await read(alice, stream)).at(-1), 7);
    await alice.appendToStream(own, numbered(1, 1));
    await denied(bob.appendToStream(own, numbered(1, 2)));
    assert.deepEqual(await read(alice, system), [0]);
    await denied(read(bob, system));
    await denied(alice.appendToStream(system, numbered(1)));

    await admin.deleteStream('$settings');
    await eventually(
      () => isDenied(alice.appendToStream(stream, numbered(1, 8))),
      (is) => !is,
    );
    await denied(read(alice, system));
  });
});

describe('links', () => {
  it('to what the caller may not read come without their event', async () => {
    const [open, closed, links] = [freshStream(), freshStream(), freshStream('links')];
    await admin.appendToStream(open, numbered(1));
    await admin.appendToStream(closed, numbered(1, 1));
    await admin.setStreamMetadata(closed, { acl: { readRoles: ['bob'] } } as never);
    const link = (target: string) => ({
      ...jsonEvent({ type: '$>', data: {} }),
      contentType: 'application/octet-stream' as const,
      data: Buffer.from(`0@${target}`),
    });
    await admin.appendToStream(links, [link(open), link(closed)] as never);
    const resolved = async (client: EventStoreDBClient) =>
      (await collect(client.readStream(links, { resolveLinkTos: true }))).map(({ event, link: by }) => [
        event?.streamId,
        by?.streamId,
      ]);
    assert.deepEqual(await resolved(alice), [
      [open, links],
      [undefined, links],
    ]);
    assert.deepEqual(await resolved(bob), [
      [open, links],
      [closed, links],
    ]);
  });
});

describe('persistent subscriptions', () => {
  it('are managed by $admins and $ops, looked at by users, consumed by readers of the stream', async () => {
    const stream = freshStream();
    await admin.appendToStream(stream, numbered(2));
    await admin.setStreamMetadata(stream, { acl: { readRoles: ['alice'] } } as never);
    for (const client of [alice, nobody])
      await denied(client.createPersistentSubscriptionToStream(stream, group, settingsFrom()));
    await olga.createPersistentSubscriptionToStream(stream, group, settingsFrom());
    await denied(alice.updatePersistentSubscriptionToStream(stream, group, settingsFrom()));
    await admin.updatePersistentSubscriptionToStream(stream, group, settingsFrom());

    const consumer = await joinStream(alice, stream, (delivery, { subscription }) => {
      void subscription.ack(delivery);
    });
    await consumer.until(2);
    assert.deepEqual(consumer.numbers(), [0, 1]);
    const info = await bob.getPersistentSubscriptionToStreamInfo(stream, group);
    assert.deepEqual(
      info.connections.map(({ username }) => username),
      ['alice'],
    );
    await denied(nobody.getPersistentSubscriptionToStreamInfo(stream, group));
    await denied(nobody.listAllPersistentSubscriptions());
    assert.equal((await bob.listAllPersistentSubscriptions()).length, 1);
    for (const client of [bob, olga, nobody]) await denied(joinStream(client, stream));
    await consumer.leave();

    await denied(alice.replayParkedMessagesToStream(stream, group));
    await olga.replayParkedMessagesToStream(stream, group);
    await denied(alice.restartPersistentSubscriptionSubsystem());
    await olga.restartPersistentSubscriptionSubsystem();
    await denied(bob.deletePersistentSubscriptionToStream(stream, group));
    await olga.deletePersistentSubscriptionToStream(stream, group);
  });

  it('to $all need $r of $all to be consumed', async () => {
    await admin.setStreamMetadata('$all', { acl: { readRoles: ['bob', '$admins'] } } as never);
    await olga.createPersistentSubscriptionToAll(group, persistentSubscriptionToAllSettingsFromDefaults());
    const join = (client: EventStoreDBClient) =>
      new Promise<string>((resolve) => {
        const subscription = client.subscribeToPersistentSubscriptionToAll(group);
        subscription.once('confirmation', () => subscription.unsubscribe().then(() => resolve('in')));
        subscription.once('error', (error) =>
          resolve(error instanceof AccessDeniedError ? 'denied' : String(error)),
        );
      });
    assert.equal(await join(alice), 'denied');
    assert.equal(await join(bob), 'in');
  });
});
