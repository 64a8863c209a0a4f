/**
 * The subscription of device changes over server-sent events: of the own tenant. How it ends with the session is in
 * revocation.test.ts.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openReading, type Reading } from './lines.ts';
import { type ApiStage, type Json, openStage, type TenantStage } from './stage.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());

const subscribe = (token: string | undefined, query: string): Promise<Reading> =>
  openReading(`${stage.api.url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query }),
    separator: '\n\n',
  });

const nextResult = (feed: Reading): Promise<Json> =>
  feed.until((piece) => {
    const data = /^data: (.+)$/m.exec(piece)?.[1];
    return data === undefined ? undefined : JSON.parse(data);
  });

const register = async ({ client }: TenantStage, name: string): Promise<string> =>
  (await client.mutate('registerDevice', { name, platform: 'IOS' }, 'DevicePayload', 'device { id }')).device
    .id;

/** Yoga begins an event stream with a line that means nothing. */
const begun = (feed: Reading) => feed.next();

test('changes of the own tenant’s devices arrive, nobody else’s', async () => {
  const feed = await subscribe(
    acme.client.token,
    'subscription { deviceChanged { id name group { name } } }',
  );
  assert.match(feed.headers['content-type'] ?? '', /text\/event-stream/);
  await begun(feed);
  await register(other, 'Theirs');
  const deviceId = await register(acme, 'Ours');
  assert.deepEqual((await nextResult(feed)).data.deviceChanged, { id: deviceId, name: 'Ours', group: null });
  await acme.client.mutate('renameDevice', { deviceId, name: 'Still ours' }, 'DevicePayload', 'pending');
  assert.equal((await nextResult(feed)).data.deviceChanged.name, 'Still ours');
  feed.close();
});

test('only the device that is named', async () => {
  const deviceId = await register(acme, 'One');
  const feed = await subscribe(
    acme.client.token,
    `subscription { deviceChanged(deviceId: "${deviceId}") { name } }`,
  );
  await begun(feed);
  await register(acme, 'Two');
  await acme.client.mutate('renameDevice', { deviceId, name: 'One renamed' }, 'DevicePayload', 'pending');
  assert.equal((await nextResult(feed)).data.deviceChanged.name, 'One renamed');
  feed.close();
});

test('another tenant’s device never changes', async () => {
  const theirs = await register(other, 'Theirs');
  const feed = await subscribe(
    acme.client.token,
    `subscription { deviceChanged(deviceId: "${theirs}") { id } }`,
  );
  const all = await subscribe(acme.client.token, 'subscription { deviceChanged { id } }');
  await Promise.all([begun(feed), begun(all)]);
  await other.client.mutate('renameDevice', { deviceId: theirs, name: 'X' }, 'DevicePayload', 'pending');
  const own = await register(acme, 'Own');
  assert.equal((await nextResult(all)).data.deviceChanged.id, own);
  feed.close();
  all.close();
});

test('a subscription needs a session', async () => {
  const refused = await subscribe(undefined, 'subscription { deviceChanged { id } }');
  const [error] = (await nextResult(refused)).errors;
  assert.equal(error.extensions.code, 'unauthenticated');
  refused.close();
});

test('a server that stops ends what is open', { timeout: 60_000 }, async () => {
  const feeds = await Promise.all(
    Array.from({ length: 3 }, () => subscribe(acme.client.token, 'subscription { deviceChanged { id } }')),
  );
  await Promise.all(feeds.map(begun));
  feeds[0]?.close();
  await stage.api.stop();
  for (const feed of feeds.slice(1)) while ((await feed.next()) !== undefined);
});
