/**
 * The feeds of EAS proxies and integrators: snapshot, changes, resumption, and whose they are.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openReceiver } from '../../proxy/receive.ts';
import { type KnownVerdicts, openTable } from '../../proxy/table.ts';
import { openReading, type Reading } from './lines.ts';
import { type ApiStage, type Json, openStage, type TenantStage } from './stage.ts';
import { makeWorld, syncDevice, type World } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let world: World;
let otherWorld: World;

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  world = await makeWorld(stage, acme);
  otherWorld = await makeWorld(stage, other);
});
after(() => stage.stop());

const follow = (token: string, after?: string): Promise<Reading> =>
  openReading(`${stage.api.url}/proxy/v1/feed${after === undefined ? '' : `?after=${after}`}`, {
    headers: { authorization: `Bearer ${token}` },
  });

/** Lines up to and including the next position line. */
const batch = async (feed: Reading): Promise<Json[]> => {
  const lines: Json[] = [];
  for (;;) {
    const text = await feed.next();
    assert.ok(text !== undefined, 'the feed ended');
    const line = JSON.parse(text);
    lines.push(line);
    if (line.kind === 'position') return lines;
  }
};

const setMail = (tenant: TenantStage, deviceId: string, access: string) =>
  tenant.client.mutate('setMailAccess', { deviceId, access }, 'DevicePayload', 'position');

test('a proxy gets everything of its own tenant first, then every change', async () => {
  const feed = await follow(world.proxyToken);
  try {
    assert.equal(feed.status, 200);
    assert.equal(feed.headers['content-type'], 'application/x-ndjson');
    const [first, verdict, position, ...rest] = await batch(feed);
    assert.deepEqual(rest, []);
    assert.deepEqual(first, { kind: 'snapshot' });
    assert.deepEqual(
      { ...verdict, reason: '', position: '' },
      {
        kind: 'verdict',
        deviceId: world.deviceId,
        easDeviceId: 'EAS1',
        userEmail: 'ann@acme.example',
        access: 'allow',
        reason: '',
        position: '',
      },
    );
    assert.deepEqual(position, { kind: 'position', position: verdict.position });
    const { position: changedAt } = await setMail(acme, world.deviceId, 'DENY');
    const [changed, reached] = await batch(feed);
    assert.equal(changed.access, 'deny');
    assert.equal(changed.reason, 'An administrator denies mail to this device.');
    assert.deepEqual([changed.position, reached.position], [changedAt, changedAt]);
    await setMail(other, otherWorld.deviceId, 'DENY');
    await setMail(acme, world.deviceId, 'AUTO');
    const [next] = await batch(feed);
    assert.deepEqual([next.deviceId, next.access], [world.deviceId, 'allow'], 'nothing of another tenant');
  } finally {
    feed.close();
  }
});

test('the proxy’s own receiver takes what the feed sends', async () => {
  const known: KnownVerdicts = { table: openTable(), position: null, contactAt: null, connected: true };
  const receive = openReceiver({
    known,
    clock: () => 1,
    onVerdicts: () => {},
    onContact: () => {},
  });
  const feed = await follow(world.proxyToken);
  try {
    for (const line of await batch(feed)) receive(JSON.stringify(line));
    assert.match(known.position ?? '', /^\d+$/);
  } finally {
    feed.close();
  }
});

test('a proxy that resumes gets only what it missed', async () => {
  const feed = await follow(world.proxyToken);
  const before = (await batch(feed)).at(-1).position;
  feed.close();
  const { position: missed } = await setMail(acme, world.deviceId, 'ALLOW');
  const resumed = await follow(world.proxyToken, before);
  assert.deepEqual(await batch(resumed), [{ kind: 'position', position: before }]);
  const [line, ...rest] = await batch(resumed);
  assert.deepEqual([line.kind, line.access, line.position], ['verdict', 'allow', missed]);
  assert.deepEqual(rest, [{ kind: 'position', position: missed }]);
  resumed.close();
  const current = await follow(world.proxyToken, missed);
  assert.deepEqual(await batch(current), [{ kind: 'position', position: missed }]);
  current.close();
});

test('a position that this log never reached gets a snapshot', async () => {
  const feed = await follow(world.proxyToken, '9'.repeat(18));
  assert.deepEqual((await batch(feed))[0], { kind: 'snapshot' });
  feed.close();
});

test('what is no position is refused, and what is no proxy token', async () => {
  const refused = async (token: string | undefined, query = '') => {
    const response = await fetch(`${stage.api.url}/proxy/v1/feed${query}`, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
    const body = (await response.json()) as Json;
    return [response.status, body.type, body.field];
  };
  for (const after of ['x', '-1', '1.5', '1&after=2', '9'.repeat(30), '%00'])
    assert.deepEqual(await refused(world.proxyToken, `?after=${after}`), [
      422,
      '/errors#invalid-input',
      'after',
    ]);
  const [kind, , proxyId, secret] = world.proxyToken.split('.');
  const forged = [
    undefined,
    'x',
    acme.client.token,
    world.deviceToken,
    `${kind}.${other.tenantId}.${proxyId}.${secret}`,
    `${kind}.${acme.tenantId}.${otherWorld.proxyId}.${secret}`,
    `${world.proxyToken}x`,
    `${kind}.${acme.tenantId}.${proxyId}.`,
  ];
  for (const token of forged)
    assert.deepEqual(await refused(token), [401, '/errors#unauthenticated', undefined], token);
});

test('a revoked or replaced token ends its feed', { timeout: 60_000 }, async () => {
  const made = await acme.client.mutate(
    'registerProxy',
    { name: 'Second' },
    'ProxyTokenPayload',
    'token proxy { id }',
  );
  const feed = await follow(made.token);
  await batch(feed);
  await acme.client.mutate('revokeProxy', { proxyId: made.proxy.id }, 'ProxyPayload', 'proxy { status }');
  while ((await feed.next()) !== undefined);
  assert.equal((await follow(made.token)).status, 401);
  const replaced = await acme.client.mutate(
    'replaceProxyToken',
    { proxyId: made.proxy.id },
    'ProxyTokenPayload',
    'token proxy { status }',
  );
  assert.equal(replaced.proxy.status, 'ACTIVE');
  assert.equal((await follow(made.token)).status, 401);
  const again = await follow(replaced.token);
  assert.equal(again.status, 200);
  again.close();
});

/** Server-sent events, parsed. */
const nextEvent = (feed: Reading): Promise<{ id: string; event: string; data: Json }> =>
  feed.until((piece) => {
    if (piece.startsWith(':')) return undefined;
    const fields = Object.fromEntries(piece.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
    return { id: fields['id'], event: fields['event'], data: JSON.parse(fields['data']) };
  });
const events = (token: string | undefined, headers: Record<string, string> = {}) =>
  openReading(`${stage.api.url}/events/v1/feed`, {
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
    separator: '\n\n',
  });

test('integrators get the events of their own tenant, without secrets, and resume', async () => {
  const feed = await events(acme.client.token);
  assert.equal(feed.headers['content-type'], 'text/event-stream');
  await feed.next();
  await other.client.mutate('createGroup', { name: 'Theirs' }, 'DeviceGroupPayload', 'pending');
  const made = await acme.client.mutate(
    'createGroup',
    { name: 'Ours' },
    'DeviceGroupPayload',
    'position group { id }',
  );
  const first = await nextEvent(feed);
  assert.deepEqual([first.id, first.event], [made.position, 'GroupCreated']);
  assert.deepEqual(first.data.data, { name: 'Ours' });
  assert.deepEqual(first.data.actor, { kind: 'account', id: acme.accountId });
  assert.equal(first.data.entityId, made.group.id);
  feed.close();
  await syncDevice(stage, world.deviceToken, { checkInId: 'feed-1' });
  const enrolment = await acme.client.mutate('createEnrolment', {}, 'CreateEnrolmentPayload', 'position');
  const resumed = await events(acme.client.token, { 'last-event-id': first.id });
  const seen = [];
  for (let last = ''; last !== enrolment.position; ) {
    const event = await nextEvent(resumed);
    seen.push(event);
    last = event.id;
  }
  resumed.close();
  assert.deepEqual(
    seen.map(({ event }) => event).filter((type) => type !== 'TaskSent'),
    ['DeviceCheckedIn', 'EnrolmentCreated'],
  );
  assert.ok(!/tokenHash|codeHash/.test(JSON.stringify(seen)));
});

test('from the beginning, an integrator sees its whole history and nothing else', async () => {
  const feed = await events(acme.client.token, { 'last-event-id': '0' });
  const seen: Json[] = [];
  const last = (await acme.client.query('{ audit(first: 1) { nodes { position } } }')).audit.nodes[0]
    .position;
  for (let id = ''; id !== last; ) {
    const event = await nextEvent(feed);
    id = event.id;
    seen.push(event);
  }
  feed.close();
  const types = seen.map(({ event }) => event);
  for (const type of ['TenantCreated', 'DeviceEnrolled', 'ProxyRegistered'])
    assert.ok(types.includes(type), type);
  const all = JSON.stringify(seen);
  assert.ok(!all.includes(otherWorld.deviceId) && !all.includes('tokenHash'));
});

test('a position that the log has not reached is refused: the reader must start over', async () => {
  const feed = await events(acme.client.token, { 'last-event-id': '9000000000000000000' });
  assert.equal(feed.status, 410);
  assert.match((await feed.next()) ?? '', /position-beyond-log/);
  feed.close();
});

test('the feed of events is for administrators, four at once', async () => {
  for (const token of [undefined, 'x', world.proxyToken]) {
    const refused = await events(token);
    assert.equal(refused.status, 401);
    refused.close();
  }
  const bad = await events(acme.client.token, { 'last-event-id': 'x' });
  assert.equal(bad.status, 422);
  bad.close();
  const open = await Promise.all(Array.from({ length: 4 }, () => events(other.client.token)));
  assert.deepEqual(
    open.map(({ status }) => status),
    [200, 200, 200, 200],
  );
  const fifth = await events(other.client.token);
  assert.equal(fifth.status, 503);
  for (const feed of [...open, fifth]) feed.close();
});
