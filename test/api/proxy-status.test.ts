/**
 * What proxies report: their state as the tenant sees it, refusals as events, and explanations by the proxy's own rules.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { KeyPairPem } from '../../platform/pki.ts';
import { proxyTls } from './cast.ts';
import { openReading } from './lines.ts';
import { type ApiStage, type Json, openStage, type TenantStage } from './stage.ts';
import { enrolDevice, makeProxyIdentity, makeWorld, proxyReport, type World } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let world: World;

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  world = await makeWorld(stage, acme);
  await makeWorld(stage, other);
});
after(() => stage.stop());

const time = '2026-11-25T12:00:00.000Z';
const { state } = proxyReport();
const denial = {
  easDeviceId: 'EVIL',
  user: 'eve',
  rule: 'device',
  reason: 'the device is not known to Muster',
  address: '192.0.2.1',
  count: 1,
  since: time,
  until: time,
};

const sendAs = async (
  identity: KeyPairPem | undefined,
  body: object,
  path = '/proxy/v1/status',
): Promise<number> => {
  const { status, close } = await openReading(`${stage.api.proxyFeed?.url}${path}`, {
    method: 'POST',
    tls: proxyTls(stage, identity),
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  close();
  return status;
};
const send = (body: object): Promise<number> => sendAs(world.proxyIdentity, body);

const statesOf = async (tenant: TenantStage): Promise<Json[]> =>
  (
    await tenant.client.query(
      `{ proxies { nodes { name state { version position lagSeconds devices denials heldRequests connected stale
         contactLost certificateExpiresAt } } } }`,
    )
  ).proxies.nodes.map((proxy: Json) => proxy.state);

const deniedOf = async (tenant: TenantStage): Promise<Json[]> => {
  const found: Json[] = [];
  for await (const event of stage.deps.store.readStream(`access-${tenant.tenantId}_${world.proxyId}`, 0n))
    found.push([event.type, event.data]);
  return found;
};

test('a tenant sees how its own proxies are, and nobody else’s', async () => {
  assert.deepEqual(await statesOf(acme), [null]);
  // What other versions of the proxy say besides is left out.
  const more = { ...state, allowsAnyServerCertificate: true };
  assert.equal(await send({ reportId: randomUUID(), state: more, denials: [], others: 0 }), 204);
  const [{ lagSeconds, ...seen }] = await statesOf(acme);
  const { startedAt: _, lagSeconds: lag, ...told } = state;
  assert.deepEqual(seen, { ...told, contactLost: false });
  assert.ok(lagSeconds >= lag);
  assert.deepEqual(await statesOf(other), [null]);
});

test('a proxy inside the server is advised to leave it once it has more devices than that is meant for', async () => {
  const told = async (internal: boolean, devices: number) => {
    const report = { reportId: randomUUID(), state: { ...state, internal, devices }, denials: [], others: 0 };
    assert.equal(await send(report), 204);
    const { proxies } = await acme.client.query('{ proxies { nodes { state { internal advice } } } }');
    return proxies.nodes[0].state;
  };
  const asked: readonly (readonly [boolean, number])[] = [
    [false, 501],
    [true, 500],
  ];
  for (const [internal, devices] of asked)
    assert.deepEqual(await told(internal, devices), { internal, advice: null });
  assert.match((await told(true, 501)).advice, /^501 devices .* run muster proxy on a machine of its own/);
});

test('refusals become events once, however often the report comes; what the log cannot take is counted', async () => {
  const report = {
    reportId: randomUUID(),
    state,
    denials: [denial, { ...denial, user: 'line\nbreak' }],
    others: 4,
  };
  for (let round = 0; round < 2; round += 1) assert.equal(await send(report), 204);
  const events = await deniedOf(acme);
  assert.deepEqual(
    events.map(([type, data]) => [type, data.count, data.user]),
    [
      ['MailDenied', 1, 'eve'],
      ['MoreMailDenied', 5, undefined],
    ],
  );
});

const sighting = {
  easDeviceId: 'NEWPHONE',
  user: 'acme\\ann',
  deviceType: 'Android',
  userAgent: null,
  address: '192.0.2.1',
  at: time,
};

const quarantineOf = async (tenant: TenantStage): Promise<Json[]> =>
  (
    await tenant.client.query(
      `{ mailSightings(status: OPEN) { nodes { id easDeviceId user lastSeenAt device { id } candidates { id } } } }`,
    )
  ).mailSightings.nodes;

/** An enrolled device of Ann's without an EAS id. */
const enrolAnns = async (tenant: TenantStage, userEmail = 'ann@acme.example'): Promise<string> => {
  const { code } = await tenant.client.mutate(
    'createEnrolment',
    { userEmail },
    'CreateEnrolmentPayload',
    'code',
  );
  return (await enrolDevice(stage, code, { inventory: { osVersion: '15' } })).deviceId;
};

/** Sends, and waits until what was sent can be read: what a mutation answers is behind it in the log. */
const sendAndSee = async (body: object): Promise<number> => {
  const status = await send(body);
  await acme.client.mutate('createEnrolment', {}, 'CreateEnrolmentPayload', 'pending');
  return status;
};

const report = (sightings: unknown[]) => ({
  reportId: randomUUID(),
  state,
  denials: [],
  others: 0,
  sightings,
});

test('unknown devices wait in the quarantine of their tenant, and are bound by an administrator', async () => {
  const deviceId = await enrolAnns(acme);
  const bens = await enrolAnns(acme, 'ben@acme.example');
  const foreign = await enrolAnns(other);
  const idsOf = async (tenant: TenantStage) => (await quarantineOf(tenant)).map(({ id }) => id);
  const before = await idsOf(other);
  assert.equal(await sendAndSee(report([sighting, sighting, { ...sighting, easDeviceId: 'no/id' }])), 204);
  assert.equal(await sendAndSee(report([sighting])), 204);
  const found = (await quarantineOf(acme)).filter(({ easDeviceId }) => easDeviceId === 'NEWPHONE');
  assert.deepEqual(
    found.map(({ user, lastSeenAt, device, candidates }) => [user, lastSeenAt, device, candidates]),
    [['acme\\ann', time, null, [{ id: deviceId }]]],
  );
  assert.deepEqual(await idsOf(other), before);
  const bind = (client: TenantStage['client'], input: object) =>
    client.mutate('bindMailDevice', input, 'MailSightingPayload', 'mailSighting { status device { id } }');
  const sightingId = found[0]?.['id'];
  assert.equal((await bind(other.client, { sightingId, deviceId: foreign })).code, 'mail-sighting-missing');
  assert.equal((await bind(acme.client, { sightingId, deviceId: foreign })).code, 'device-missing');
  assert.equal((await bind(acme.client, { sightingId, deviceId: bens })).code, 'mail-device-mismatch');
  const { mailSighting } = await bind(acme.client, { sightingId, deviceId });
  assert.deepEqual(mailSighting, { status: 'BOUND', device: { id: deviceId } });
  const explained = await acme.client.query(
    '{ explainMailAccess(easDeviceId: "newphone", user: "ann@acme.example") { rule } }',
  );
  assert.equal(explained.explainMailAccess.rule, 'verdict');
  // The id has its device now.
  const again = { ...sighting, user: 'ann@acme.example' };
  assert.equal(await sendAndSee(report([again])), 204);
  const more = await enrolAnns(acme);
  const next = (await quarantineOf(acme)).find(({ user }) => user === again.user);
  assert.equal(
    (await bind(acme.client, { sightingId: next?.['id'], deviceId: more })).code,
    'mail-device-taken',
  );
  const dismissed = await acme.client.mutate(
    'dismissMailSighting',
    { sightingId: next?.['id'] },
    'MailSightingPayload',
    'mailSighting { status }',
  );
  assert.equal(dismissed.mailSighting.status, 'DISMISSED');
});

test('a tenant that refuses unknown devices keeps no quarantine', async () => {
  const choose = (unknownMailDevices: string) =>
    acme.client.mutate('chooseUnknownMailDevices', { unknownMailDevices }, 'TenantPayload', 'pending');
  assert.deepEqual(await acme.client.query('{ unknownMailDevices }'), { unknownMailDevices: 'CONFIRM' });
  await choose('REFUSE');
  assert.deepEqual(await acme.client.query('{ unknownMailDevices }'), { unknownMailDevices: 'REFUSE' });
  assert.deepEqual(await other.client.query('{ unknownMailDevices }'), { unknownMailDevices: 'CONFIRM' });
  const length = (await quarantineOf(acme)).length;
  assert.equal(await sendAndSee(report([{ ...sighting, easDeviceId: 'ANOTHER' }])), 204);
  await choose('CONFIRM');
  assert.equal((await quarantineOf(acme)).length, length);
  // Reports of proxies that know nothing of sightings are as good as ever.
  assert.equal(await send({ reportId: randomUUID(), state, denials: [], others: 0 }), 204);
});

test('a proxy that was revoked reports and asks no more', async () => {
  const identity = makeProxyIdentity();
  const input = { name: 'Past', certificatePem: identity.certificate };
  const { proxy } = await acme.client.mutate('registerProxy', input, 'ProxyPayload', 'proxy { id }');
  const report = { reportId: randomUUID(), state, denials: [], others: 0 };
  const question = { easDeviceIds: ['EAS1'], nonce: 'a-nonce-of-one-question' };
  const statuses = async () => [
    await sendAs(identity, report),
    await sendAs(identity, question, '/proxy/v1/ask'),
  ];
  assert.deepEqual(await statuses(), [204, 200]);
  await acme.client.mutate('revokeProxy', { proxyId: proxy.id }, 'ProxyPayload', 'pending');
  assert.deepEqual(await statuses(), [401, 401]);
});

test('strangers, and reports that are none, are refused', async () => {
  const report = { reportId: randomUUID(), state, denials: [], others: 0 };
  assert.equal(await sendAs(makeProxyIdentity(), report), 401);
  assert.equal(await sendAs(undefined, report), 401);
  assert.equal(await send({ ...report, reportId: 'x' }), 422);
  assert.equal(await send({ ...report, denials: Array(101).fill(denial) }), 422);
  assert.equal(await send({ ...report, state: { ...state, devices: -1 } }), 422);
});

test('explainMailAccess says which rule decides, from the tenant’s own verdicts', async () => {
  const explain = async (tenant: TenantStage, easDeviceId: string, user: string) =>
    (
      await tenant.client.query(
        `query($d: String!, $u: String!) { explainMailAccess(easDeviceId: $d, user: $u) {
           allow rule reason opinions { rule allow reason } } }`,
        { d: easDeviceId, u: user },
      )
    ).explainMailAccess;
  const known = await explain(acme, 'EAS1', 'mallory');
  assert.deepEqual([known.allow, known.rule], [false, 'user']);
  assert.deepEqual(
    known.opinions.map((opinion: Json) => opinion.allow),
    [...Array(known.opinions.length - 1).fill(null), false],
  );
  assert.equal((await explain(acme, 'NOBODY', 'ann')).rule, 'device');
  assert.equal((await explain(acme, 'a&DeviceId=b', 'ann')).rule, 'request');
});
