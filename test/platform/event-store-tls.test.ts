/** Muster's own client against an event store over TLS: as an administrator, and with no more rights than it needs. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MusterError } from '../../platform/errors.ts';
import { type NewEvent, openEventStore, streamName } from '../../platform/event-store.ts';
import { newId, newUuid } from '../../platform/new-id.ts';
import { type Login, openSecureStore, type SecureStore } from '../embedded/secure.ts';

let secure: SecureStore;
before(async () => {
  secure = await openSecureStore();
});
after(() => secure.stop());

const open = (user?: Login) => openEventStore(secure.urlFor(user));
const tenantId = newId('ten');
const created = (name: string): NewEvent => ({
  id: newUuid(),
  type: 'GroupCreated',
  data: { name },
  metadata: {
    tenantId,
    actor: { kind: 'system', id: 'test' },
    $causationId: 'c',
    $correlationId: 'k',
    schemaVersion: 1,
    at: new Date().toISOString(),
  },
});

/** Appends, reads back, and follows until the event comes. */
const goesRound = async (user: Login): Promise<void> => {
  const store = open(user);
  const stream = streamName('group', tenantId, newId('grp'));
  const appended = await store.append(stream, [created(user.username)], -1n);
  assert.ok(appended !== 'conflict');
  assert.equal(await store.append(stream, [created('again')], -1n), 'conflict');
  for await (const event of store.readStream(stream, 0n)) assert.equal(event.position, appended.position);
  assert.ok((await store.lastPosition()) >= appended.position);
  const stopping = new AbortController();
  const found: unknown[] = [];
  for await (const { events } of store.follow({ categories: ['group'], signal: stopping.signal })) {
    found.push(...events.filter((event) => event.stream === stream).map(({ data }) => data));
    if (found.length > 0) break;
  }
  stopping.abort();
  assert.deepEqual(found, [{ name: user.username }]);
  await store.close();
};

test('an administrator appends, reads and follows', () => goesRound(secure.admin));

test('so does a user who may read $all, and one who may not is told by a fault', async () => {
  const store = open(secure.alice);
  await assert.rejects(store.lastPosition(), MusterError);
  await store.close();
  const admin = secure.client(secure.admin);
  await admin.setStreamMetadata('$all', { acl: { readRoles: ['alice', '$admins'] } } as never);
  await goesRound(secure.alice);
});
