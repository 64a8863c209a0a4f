/**
 * Tenants as operators run them: fields, expiry, platforms, privacy, the last administrator, and support access. Two
 * tenants and an operator over HTTP.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiStage, clientOf, type Json, openStage, type TenantStage } from './stage.ts';
import { enrolDevice, makeWorld, syncDevice, type World } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let world: World;
let shiftMs = 0;
const hourMs = 3_600_000;

before(async () => {
  stage = await openStage({
    clock: () => Date.now() + shiftMs,
    settings: { sessionIdleMinutes: '10080' },
  });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  world = await makeWorld(stage, acme);
});
after(() => stage.stop());

const edit = async (changes: object, { tenantId } = acme): Promise<Json> => {
  const edited = await stage.operator.mutate(
    'editTenant',
    { tenantId, ...changes },
    'TenantPayload',
    'pending tenant { validUntil expired description platforms directory }',
  );
  assert.equal(edited.pending, false, JSON.stringify(edited));
  return edited.tenant;
};

const queue = () =>
  acme.client.mutate(
    'queueTask',
    { deviceId: world.deviceId, task: { type: 'REFRESH', parameters: {} } },
    'DevicePayload',
    'pending',
  );
const codeFor = (input: object = {}) =>
  acme.client.mutate('createEnrolment', input, 'CreateEnrolmentPayload', 'code');
const checkIn = (body: object = {}) =>
  syncDevice(stage, world.deviceToken, { checkInId: `check-in-${Math.random()}`, ...body });

test('an operator sees every tenant with its fields and counts, a tenant itself alone', async () => {
  assert.deepEqual(await edit({ description: 'Bakery', directory: 'INTERNAL' }), {
    validUntil: null,
    expired: false,
    description: 'Bakery',
    platforms: ['IOS', 'ANDROID', 'MACOS', 'WINDOWS'],
    directory: 'INTERNAL',
  });
  const { tenants } = await stage.operator.query(
    '{ tenants { nodes { slug status description devices { registered enrolled unenrolled } lastActivityAt } } }',
  );
  const found = tenants.nodes.find(({ slug }: Json) => slug === 'acme');
  assert.deepEqual(found.devices, { registered: 0, enrolled: 1, unenrolled: 0 });
  assert.match(found.lastActivityAt, /^\d{4}-\d\d-\d\dT\d\d:\d0:00\.000Z$/);
  const byId = 'query($id: ID) { tenant(id: $id) { slug } }';
  assert.deepEqual(await stage.operator.query(byId, { id: acme.tenantId }), { tenant: { slug: 'acme' } });
  assert.deepEqual(await other.client.query(byId, {}), { tenant: { slug: 'other' } });
  const foreign = await other.client.raw(byId, { id: acme.tenantId });
  assert.equal(foreign.errors[0]?.extensions.code, 'not-found');
});

test('expiry stops new tasks and enrolments, never check-ins, and can be taken back', async () => {
  const early = await codeFor({});
  assert.equal((await edit({ validUntil: '2020-01-01T00:00:00.000Z' })).expired, true);
  for (const refused of [
    await queue(),
    await codeFor(),
    await acme.client.mutate(
      'transferTaskBundle',
      { taskBundleId: world.taskBundleId, deviceId: world.deviceId },
      'TransferPayload',
      'pending',
    ),
  ])
    assert.equal(refused.code, 'tenant-expired', JSON.stringify(refused));
  // Every process notices the change within two seconds of its own clock.
  shiftMs += 3000;
  const enrolled = await fetch(`${stage.api.url}/device/v1/enroll`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code: early.code, requestId: 'r1', platform: 'android', name: 'Late' }),
  });
  assert.equal(enrolled.status, 403);
  assert.equal((await checkIn()).status, 200);
  const device = await acme.client.query(
    'query($id: ID!) { node(id: $id) { ... on Device { mailVerdict } } }',
    {
      id: world.deviceId,
    },
  );
  assert.equal(device.node.mailVerdict, 'ALLOW');
  await edit({ validUntil: null });
  assert.equal((await queue()).__typename, 'DevicePayload');
});

test('a platform that is off can neither enrol nor be sent tasks', async () => {
  await edit({ platforms: ['IOS'] });
  assert.equal((await codeFor({ platform: 'ANDROID' })).code, 'platform-disabled');
  assert.equal((await queue()).code, 'platform-disabled');
  await edit({ platforms: ['IOS', 'ANDROID', 'MACOS', 'WINDOWS'] });
  assert.equal((await queue()).__typename, 'DevicePayload');
});

test('apps of personal devices are neither shown nor kept where privacy says so; corporate ones are', async () => {
  const { code } = await codeFor({ ownership: 'PERSONAL' });
  const apps = { complete: true, installed: [{ id: 'com.secret', name: 'Secret', version: '1' }] };
  const personal = await enrolDevice(stage, code, { apps });
  let renames = 0;
  const seen = async () => {
    // A mutation waits until it can be read, and with it all that came before.
    renames += 1;
    const name = `Own ${renames}`;
    await acme.client.mutate(
      'renameDevice',
      { deviceId: personal.deviceId, name },
      'DevicePayload',
      'pending',
    );
    const { node, apps: listed } = await acme.client.query(
      `query($id: ID!) { node(id: $id) { ... on Device { appCount apps { nodes { appId } } } }
        apps { nodes { appId deviceCount } } }`,
      { id: personal.deviceId },
    );
    return [node.appCount, node.apps.nodes.length, listed.nodes.map(({ appId }: Json) => appId)];
  };
  assert.deepEqual(await seen(), [1, 1, ['com.mail', 'com.secret']]);
  const privacy = { userMayLocate: true, administratorMayLocate: false, showApps: false };
  const set = await acme.client.mutate('setPrivacy', { privacy }, 'TenantPayload', 'pending tenant { slug }');
  assert.equal(set.tenant?.slug, 'acme', JSON.stringify(set));
  shiftMs += 3000;
  assert.deepEqual(await seen(), [0, 0, ['com.mail']]);
  const { audit } = await acme.client.query(
    'query($type: String) { audit(type: $type) { nodes { data } } }',
    { type: 'DeviceAppsChanged' },
  );
  assert.ok(audit.nodes.length > 0 && !JSON.stringify(audit).includes('com.secret'));
  const body = { checkInId: 'apps', apps };
  assert.equal((await syncDevice(stage, personal.deviceToken, body)).status, 200);
  const shown = { ...privacy, showApps: true };
  await acme.client.mutate('setPrivacy', { privacy: shown }, 'TenantPayload', 'pending');
  shiftMs += 3000;
  assert.deepEqual(await seen(), [0, 0, ['com.mail']]);
});

test('the last one who can administer stays', async () => {
  const disable = (by: TenantStage['client'], accountId: string) =>
    by.mutate('disableAccount', { accountId }, 'AccountPayload', 'account { status }');
  // The world's second administrator goes first.
  assert.equal((await disable(acme.client, world.accountId)).account.status, 'DISABLED');
  assert.equal((await disable(acme.client, acme.accountId)).code, 'last-administrator');
  const { viewer } = await stage.operator.query('{ viewer { accountId } }');
  assert.equal((await disable(stage.operator, viewer.accountId)).code, 'last-administrator');
  const made = await stage.operator.mutate(
    'createAccount',
    { email: 'second@operator.example', name: 'Second', role: 'operator' },
    'AccountPasswordPayload',
    'account { id role { id } }',
  );
  assert.equal(made.account.role.id, 'operator');
  assert.equal((await disable(stage.operator, viewer.accountId)).code, 'invalid-input');
  assert.equal((await disable(stage.operator, made.account.id)).account.status, 'DISABLED');
});

const lists = `{
  groups { nodes { id } } policies { nodes { id } } compliancePolicies { nodes { id } }
  taskBundles { nodes { id } } transfers { nodes { id } } devices { nodes { id } } deviceCounts { total }
  enrolments { nodes { id } } proxies { nodes { id } } alerts { nodes { rule } } apps { nodes { appId } }
}`;
const node = 'query($id: ID!) { node(id: $id) { id } }';
const enter = (tenantId: string = acme.tenantId): Promise<Json> =>
  stage.operator.mutate('enterTenant', { tenantId }, 'EnterTenantPayload', 'token level until');
const grant = (input: object) =>
  acme.client.mutate('grantSupportAccess', input, 'TenantPayload', 'tenant { supportAccess { level } }');

test('without a grant an operator sees nothing of a tenant, under any list or id', async () => {
  const ids = Object.entries(world).filter(([name]) => name.endsWith('Id'));
  const seen = JSON.stringify(await stage.operator.query(lists));
  for (const [name, id] of ids) {
    assert.ok(!seen.includes(id), name);
    assert.deepEqual(await stage.operator.query(node, { id }), { node: null });
  }
  assert.equal((await enter()).code, 'support-access-missing');
  assert.equal((await grant({ hours: 73 })).code, 'invalid-input');
});

test('a read grant shows the tenant and changes nothing; revoked, it is over at once', async () => {
  assert.equal((await grant({ hours: 1 })).tenant.supportAccess.level, 'READ');
  const entered = await enter();
  const support = clientOf(stage.api.url, entered.token);
  const { viewer } = await support.query('{ viewer { tenantSlug role { id } support } }');
  assert.deepEqual(viewer, { tenantSlug: 'acme', role: { id: 'read-only' }, support: true });
  assert.ok(JSON.stringify(await support.query(lists)).includes(world.deviceId));
  const rename = () =>
    support.mutate('renameGroup', { groupId: world.groupId, name: 'X' }, 'Effect', 'pending');
  assert.equal((await rename()).code, 'forbidden');
  assert.deepEqual(await support.query(node, { id: other.tenantId }), { node: null });
  assert.equal((await enter(other.tenantId)).code, 'support-access-missing');
  await acme.client.raw('mutation { revokeSupportAccess { ... on TenantPayload { pending } } }');
  assert.equal((await support.raw(lists)).errors[0]?.extensions.code, 'unauthenticated');
});

test('a grant to change administers, but gives nobody rights that outlast it; both audits tell of it', async () => {
  await grant({ hours: 1, level: 'CHANGE' });
  const support = clientOf(stage.api.url, (await enter()).token);
  const renamed = await support.mutate(
    'renameGroup',
    { groupId: world.groupId, name: 'By support' },
    'DeviceGroupPayload',
    'pending group { name }',
  );
  assert.equal(renamed.group.name, 'By support');
  const withheld: readonly (readonly [string, object])[] = [
    ['createAccount', { email: 'x@acme.example', name: 'X', role: 'helpdesk' }],
    ['createRole', { name: 'X', description: 'X', permissions: ['DEVICE_READ'] }],
    ['createApiKey', { name: 'X', permissions: ['DEVICE_READ'] }],
    ['grantSupportAccess', { hours: 72 }],
    ['revokeProxy', { proxyId: `prx${'0'.repeat(26)}` }],
    ['createTenant', { name: 'X', slug: 'x', administratorEmail: 'x@x.example', administratorName: 'X' }],
  ];
  for (const [name, input] of withheld)
    assert.equal((await support.mutate(name, input, 'Effect', 'pending')).code, 'forbidden', name);
  const audit = `{ audit(first: 100) { nodes { type data actor { id support account { id } } } } }`;
  const own = (await acme.client.query(audit)).audit.nodes;
  const { viewer } = await stage.operator.query('{ viewer { accountId } }');
  const used = own.filter(({ actor, type }: Json) => actor.support && type !== 'AccessDenied');
  assert.deepEqual(
    used.slice(0, 2).map(({ type, actor }: Json) => [type, actor.id, actor.account]),
    [
      ['GroupRenamed', viewer.accountId, null],
      ['SupportAccessUsed', viewer.accountId, null],
    ],
  );
  const theirs = (await stage.operator.query(audit)).audit.nodes;
  const mirrored = theirs.find(({ type }: Json) => type === 'GroupRenamed');
  assert.deepEqual(mirrored.data, { tenantId: acme.tenantId });
  assert.ok(theirs.some(({ type }: Json) => type === 'AccountEnteredTenant'));
  await support.raw('mutation { signOut(input: {}) { __typename } }');
  assert.equal((await support.raw(lists)).errors[0]?.extensions.code, 'unauthenticated');
  const left = (await stage.operator.query(audit)).audit.nodes.map(({ type }: Json) => type);
  assert.ok(left.includes('AccountLeftTenant'));
});

test('a suspended tenant can be entered by its grant, which ends with its time', async () => {
  const { tenantId } = acme;
  await grant({ hours: 1 });
  await stage.operator.mutate('suspendTenant', { tenantId, reason: 'unpaid' }, 'TenantPayload', 'pending');
  const support = clientOf(stage.api.url, (await enter()).token);
  assert.ok(JSON.stringify(await support.query(lists)).includes(world.deviceId));
  shiftMs += hourMs;
  assert.equal((await support.raw(lists)).errors[0]?.extensions.code, 'unauthenticated');
  assert.equal((await enter()).code, 'support-access-missing');
});
