/**
 * The feeds of EAS proxies and integrators: snapshot, changes, resumption, and whose they are.
 */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Agent } from 'undici';
import { credentialMaxAgeMs, streamCheckMs } from '../../api/credentials.ts';
import { type FeedInfo, type RunningFeed, startFeed } from '../../api/proxy/main.ts';
import type { KeyPairPem } from '../../platform/pki.ts';
import { openSeal } from '../../platform/seal.ts';
import { openSealedSecrets } from '../../platform/sealed-secrets.ts';
import { openProjectionWaiter } from '../../projections/await.ts';
import { openAsk } from '../../proxy/ask.ts';
import { followFeed } from '../../proxy/feed.ts';
import { openServerKey } from '../../proxy/server-key.ts';
import { type KnownVerdicts, nothingKnown, openTable } from '../../proxy/table.ts';
import { openConnector } from '../../proxy/trust.ts';
import { recordingLog } from '../proxy/stage.ts';
import { openReading, type Reading } from './lines.ts';
import { type ApiStage, type Json, openStage, type TenantStage } from './stage.ts';
import { enrolDevice, makeProxyIdentity, makeWorld, syncDevice, type World } from './world.ts';

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

const feedOf = () => stage.api.proxyFeed as FeedInfo;

/** An instance of the real proxy's feed: its table, and how to end it; `known` is what an earlier one left. */
const follow = async (
  identity: KeyPairPem,
  {
    known = nothingKnown(),
    server = feedOf(),
    verifiesServer = true,
  }: { known?: KnownVerdicts; server?: FeedInfo; verifiesServer?: boolean } = {},
) => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-feed-'));
  const events = new EventEmitter();
  const recorded = recordingLog();
  const agent = new Agent({ bodyTimeout: 0, connect: openConnector({ pin: server.pin }, identity) });
  const serverKey = openServerKey(folder);
  let snapshots = 0;
  const feed = followFeed({
    known,
    serverKey,
    agent,
    clock: Date.now,
    log: recorded.log,
    serverUrl: new URL(server.url),
    verifiesServer,
    wantsSnapshot: () => false,
    journal: {
      begin: () => {
        snapshots += 1;
      },
      part: () => {},
      follow: () => events.emit('news'),
      completed: () => events.emit('news'),
    },
    onVerdicts: () => events.emit('news'),
    timing: { firstRetryMs: 10, lastRetryMs: 20, revokedRetryMs: 20 },
  });
  const until = async (matches: () => boolean): Promise<void> => {
    while (!matches()) await once(events, 'news');
  };
  const close = async () => {
    await feed.stop();
    await agent.destroy();
    rmSync(folder, { recursive: true, force: true });
  };
  return { known, until, close, recorded, serverKey, agent, snapshots: () => snapshots };
};

const setMail = (tenant: TenantStage, deviceId: string, access: string) =>
  tenant.client.mutate('setMailAccess', { deviceId, access }, 'DevicePayload', 'position');

test('a proxy gets everything of its own tenant first, then every change, at every proxy', async () => {
  const second = makeProxyIdentity();
  await acme.client.mutate(
    'registerProxy',
    { name: 'Two', certificatePem: second.certificate },
    'ProxyPayload',
    'pending',
  );
  const feeds = await Promise.all([
    follow(world.proxyIdentity),
    follow(second),
    follow(otherWorld.proxyIdentity),
  ]);
  const [one, two, theirs] = feeds as [Followed, Followed, Followed];
  type Followed = Awaited<ReturnType<typeof follow>>;
  const access = ({ known }: Followed) =>
    known.table.find(['EAS1']).map((found) => [found.deviceId, found.access]);
  try {
    await Promise.all(feeds.map((feed) => feed.until(() => feed.known.position !== null)));
    assert.deepEqual([access(one), access(two)], [[[world.deviceId, 'allow']], [[world.deviceId, 'allow']]]);
    assert.deepEqual(access(theirs), [[otherWorld.deviceId, 'allow']]);
    const { position } = await setMail(acme, world.deviceId, 'DENY');
    await Promise.all([one, two].map((feed) => feed.until(() => feed.known.position === position)));
    assert.deepEqual([access(one), access(two)], [[[world.deviceId, 'deny']], [[world.deviceId, 'deny']]]);
    assert.deepEqual(access(theirs), [[otherWorld.deviceId, 'allow']]);
    await setMail(acme, world.deviceId, 'AUTO');
  } finally {
    await Promise.all(feeds.map((feed) => feed.close()));
  }
});

test('after a gap a proxy gets what it missed and no snapshot', async () => {
  const first = await follow(world.proxyIdentity);
  await first.until(() => first.known.position !== null);
  await first.close();
  assert.equal(first.snapshots(), 1);
  const { position } = await setMail(acme, world.deviceId, 'DENY');
  const second = await follow(world.proxyIdentity, { known: first.known });
  try {
    await second.until(() => second.known.position === position);
    assert.equal(second.known.table.find(['EAS1'])[0]?.access, 'deny');
    assert.equal(second.snapshots(), 0);
  } finally {
    await second.close();
    await setMail(acme, world.deviceId, 'AUTO');
  }
});

/** How the proxy asks, over what follow() opened. */
const askerOf = (feed: Awaited<ReturnType<typeof follow>>) =>
  openAsk({
    ...feed,
    serverUrl: new URL(feedOf().url),
    clock: Date.now,
    log: feed.recorded.log,
    onVerdicts: () => {},
  });
const who = { user: 'ann', address: '::1' };

test('a phone that enrolled a moment ago is known to whoever asks, though no feed has told', async () => {
  const feed = await follow(world.proxyIdentity);
  try {
    await feed.until(() => feed.known.position !== null);
    // What was known before is all that the feed ever tells.
    const asker = askerOf({ ...feed, known: { ...feed.known, table: openTable() } });
    const { code } = await acme.client.mutate(
      'createEnrolment',
      { userEmail: 'ann@acme.example', platform: 'ANDROID' },
      'CreateEnrolmentPayload',
      'code',
    );
    const inventory = { osVersion: '15', easDeviceId: 'JUSTNOW', rooted: false };
    await enrolDevice(stage, code, { inventory });
    assert.equal(await asker(['JUSTNOW'], who), true);
  } finally {
    await feed.close();
  }
});

test('a device that the table lacks is told when asked for, to its own tenant alone', async () => {
  const [mine, theirs] = await Promise.all([follow(world.proxyIdentity), follow(otherWorld.proxyIdentity)]);
  try {
    for (const [feed, deviceId] of [
      [mine, world.deviceId],
      [theirs, otherWorld.deviceId],
    ] as const) {
      await feed.until(() => feed.known.position !== null);
      feed.known.table.remove(deviceId);
      const ask = askerOf(feed);
      assert.equal(await ask(['EAS1'], who), true);
      assert.deepEqual(
        feed.known.table.find(['EAS1']).map((found) => found.deviceId),
        [deviceId],
      );
      assert.equal(await ask(['NONE'], who), false);
    }
  } finally {
    await Promise.all([mine.close(), theirs.close()]);
  }
});

test('who is not registered is refused; revoking cuts the feed; one certificate is one registration', {
  timeout: 60_000,
}, async () => {
  const identity = makeProxyIdentity();
  const feed = await follow(identity);
  try {
    await feed.recorded.until(({ reason }) => /register it/.test(String(reason)));
    const input = { name: 'Third', certificatePem: identity.certificate };
    const made = await acme.client.mutate(
      'registerProxy',
      input,
      'ProxyPayload',
      'proxy { id verifiesServer }',
    );
    await feed.until(() => feed.known.position !== null);
    const again = await other.client.mutate('registerProxy', input, 'ProxyPayload', 'pending');
    assert.deepEqual([again.code, again.field], ['name-taken', 'certificatePem']);
    // What bounds the time that a revoked proxy follows on: five seconds are promised.
    assert.ok(streamCheckMs + credentialMaxAgeMs <= 5_000);
    const from = feed.recorded.lines.length;
    await acme.client.mutate('revokeProxy', { proxyId: made.proxy.id }, 'ProxyPayload', 'proxy { status }');
    await feed.recorded.until(({ reason }) => /ended the feed|end of file/.test(String(reason)), from);
    await feed.recorded.until(({ reason }) => /register it/.test(String(reason)), from);
    await other.client.mutate('registerProxy', input, 'ProxyPayload', 'pending');
    await feed.until(() => feed.known.tenantId === other.tenantId);
    assert.deepEqual(
      feed.known.table.find(['EAS1']).map(({ deviceId }) => deviceId),
      [otherWorld.deviceId],
    );
  } finally {
    await feed.close();
  }
});

test('the revocation itself cuts the feed: on a server that looks at registrations for no other reason', {
  timeout: 60_000,
}, async () => {
  const identity = makeProxyIdentity();
  const input = { name: 'Fourth', certificatePem: identity.certificate };
  const { proxy } = await acme.client.mutate('registerProxy', input, 'ProxyPayload', 'proxy { id }');
  const { deps } = stage;
  const stopping = new AbortController();
  const waiter = await openProjectionWaiter(deps);
  const secrets = openSealedSecrets(deps.sql, openSeal(stage.config));
  const never = 2 ** 30;
  const config = { ...stage.config, proxyFeedPort: 0 };
  const parts = { deps, waiter, secrets, config, stopping: stopping.signal };
  const server = (await startFeed({ ...parts, checkMs: never, heartbeatMs: never })) as RunningFeed;
  const [revoked, lasting] = await Promise.all(
    [identity, world.proxyIdentity].map((one) => follow(one, { server })),
  );
  try {
    for (const feed of [revoked, lasting]) await feed?.until(() => feed.known.position !== null);
    await acme.client.mutate('revokeProxy', { proxyId: proxy.id }, 'ProxyPayload', 'pending');
    await revoked?.recorded.until(({ reason }) => /ended the feed|end of file/.test(String(reason)));
    assert.equal(lasting?.known.connected, true);
  } finally {
    await Promise.all([revoked?.close(), lasting?.close()]);
    stopping.abort();
    await server.stop();
    await waiter.close();
  }
});

test('a tenant sees which of its proxies take anybody for the server, as each last came', async () => {
  const identity = makeProxyIdentity();
  const input = { name: 'Trusting', certificatePem: identity.certificate };
  const asked = 'proxy { id verifiesServer }';
  const { proxy } = await acme.client.mutate('registerProxy', input, 'ProxyPayload', asked);
  assert.equal(proxy.verifiesServer, null);
  const seen = [];
  for (const verifiesServer of [false, true]) {
    const feed = await follow(identity, { verifiesServer });
    try {
      await feed.until(() => feed.known.position !== null);
      // What a mutation answers is behind what the proxy said in the log.
      const name = `Trusting ${verifiesServer}`;
      const renamed = await acme.client.mutate(
        'renameProxy',
        { proxyId: proxy.id, name },
        'ProxyPayload',
        asked,
      );
      seen.push(renamed.proxy.verifiesServer);
    } finally {
      await feed.close();
    }
  }
  assert.deepEqual(seen, [false, true]);
});

test('what is no certificate is no registration', async () => {
  for (const certificatePem of [
    '',
    'x',
    feedOf().authorityPem,
    `${world.proxyIdentity.certificate}${world.proxyIdentity.certificate}`,
    world.proxyIdentity.key,
    makeProxyIdentity(new Date('1990-01-01')).certificate,
  ]) {
    const refused = await acme.client.mutate(
      'registerProxy',
      { name: 'X', certificatePem },
      'ProxyPayload',
      'pending',
    );
    assert.deepEqual([refused.code, refused.field], ['invalid-input', 'certificatePem']);
  }
});

test('the tenant’s rule for stale verdicts reaches its proxies', async () => {
  await acme.client.mutate(
    'chooseStaleMailRule',
    { staleMailRule: 'ALLOW_KNOWN' },
    'TenantPayload',
    'pending',
  );
  assert.deepEqual(await acme.client.query('{ staleMailRule }'), { staleMailRule: 'ALLOW_KNOWN' });
  assert.deepEqual(await other.client.query('{ staleMailRule }'), { staleMailRule: 'DENY' });
  const [mine, theirs] = await Promise.all([follow(world.proxyIdentity), follow(otherWorld.proxyIdentity)]);
  await mine.until(() => mine.known.staleRule === 'allow-known');
  await theirs.until(() => theirs.known.position !== null);
  assert.equal(theirs.known.staleRule, 'deny');
  await Promise.all([mine.close(), theirs.close()]);
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
  for (const token of [undefined, 'x', world.deviceToken]) {
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
