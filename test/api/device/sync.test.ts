/** Check-ins over HTTP: what is stored, what is answered, who is turned away. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { complianceSettings } from '../../../domain/compliance/settings.ts';
import { compliancePolicyDecider } from '../../../domain/compliance-policy/decide.ts';
import type { DeviceId, PolicyId, TenantId } from '../../../domain/ids.ts';
import { policyDecider } from '../../../domain/policy/decide.ts';
import { tenantDecider } from '../../../domain/tenant/decide.ts';
import { openHandler } from '../../../platform/handle.ts';
import { newId } from '../../../platform/new-id.ts';
import { noSnapshots } from '../../../platform/snapshots.ts';
import { type Enrolled, type Stage, startStage } from './stage.ts';

let stage: Stage;
let acme: TenantId;
let other: TenantId;
before(async () => {
  stage = await startStage();
  acme = await stage.newTenant('Acme');
  other = await stage.newTenant('Other');
});
after(() => stage.stop());

const typesOf = async (tenantId: TenantId, deviceId: string) =>
  (await stage.eventsOf(tenantId, deviceId)).map((event) => event.type);
const app = (id: string, version = '1') => ({ id, name: id.toUpperCase(), version });
const violationsOf = (body: Record<string, unknown>) =>
  (body['compliance'] as { violations: { rule: string; why: string; since: string }[] }).violations;
const queueLock = (tenantId: TenantId, deviceId: string) => {
  const taskId = newId('tsk');
  const command = { taskBundleId: null, policies: new Map(), transferId: newId('trf') };
  return stage
    .onDevice(tenantId, deviceId, (now) => ({
      type: 'QueueTasks',
      now,
      ...command,
      tasks: [{ taskId, type: 'lock', parameters: { message: 'Hello' } }],
    }))
    .then(() => taskId);
};

test('a check-in that changes nothing is one small event, by the device, at the server time', async () => {
  const { deviceId, deviceToken } = await stage.enrolled(acme);
  const answer = await stage.sync(deviceToken, { checkInId: 'c1' });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body['tasks'], []);
  assert.deepEqual(answer.body['compliance'], { status: 'unchecked', violations: [] });
  assert.equal(answer.headers['cache-control'], 'no-store');
  const last = (await stage.eventsOf(acme, deviceId)).at(-1);
  assert.equal(last?.type, 'DeviceCheckedIn');
  assert.deepEqual(last.metadata.actor, { kind: 'device', id: deviceId });
  assert.equal(last.tenantId, acme);
  const seconds = answer.body['nextSyncSeconds'] as number;
  assert.ok(seconds >= 810 && seconds <= 990, String(seconds));
});

test('deltas of inventory and apps fold into what is known', async () => {
  const { deviceId, deviceToken } = await stage.enrolled(acme, {
    inventory: { osVersion: '14', model: 'P9' },
    apps: { complete: true, installed: [app('a'), app('b')] },
    push: { provider: 'fcm', token: 'tok' },
  });
  const answer = await stage.sync(deviceToken, {
    checkInId: 'c1',
    inventory: { osVersion: '15', model: 'P9', encrypted: true },
    apps: { installed: [app('b', '2'), app('__proto__')], removed: ['a', 'never'] },
    push: null,
  });
  assert.equal(answer.status, 200);
  const events = (await stage.eventsOf(acme, deviceId)).slice(-4);
  assert.deepEqual(
    events.map(({ type, data }) => [type, data]),
    [
      ['DeviceCheckedIn', { checkInId: 'c1', dueAt: null }],
      ['DeviceInventoryChanged', { changes: { osVersion: '15', encrypted: true } }],
      ['DeviceAppsChanged', { installed: [app('b', '2'), app('__proto__')], removed: ['a'] }],
      ['DevicePushAddressChanged', { push: null }],
    ],
  );
});

test('a repeated check-in takes effect once and is answered alike', async () => {
  const { deviceId, deviceToken } = await stage.enrolled(acme);
  const taskId = await queueLock(acme, deviceId);
  const request = { checkInId: 'c1', inventory: { osVersion: '14' } };
  const [first, second] = await Promise.all([
    stage.sync(deviceToken, request),
    stage.sync(deviceToken, request),
  ]);
  const third = await stage.sync(deviceToken, request);
  for (const { status, body } of [first, second, third]) {
    assert.equal(status, 200);
    assert.deepEqual({ ...body, serverTime: '' }, { ...first.body, serverTime: '' });
    assert.equal((body['tasks'] as { taskId: string }[])[0]?.taskId, taskId);
  }
  const types = await typesOf(acme, deviceId);
  assert.deepEqual(types.slice(-3), ['DeviceCheckedIn', 'DeviceInventoryChanged', 'TaskSent']);
  assert.equal(types.filter((type) => type === 'DeviceCheckedIn').length, 1);
});

test('tasks go out, their results come in, unknown ones are named; work to do shortens the interval', async () => {
  const { deviceId, deviceToken } = await stage.enrolled(acme);
  const taskId = await queueLock(acme, deviceId);
  const first = await stage.sync(deviceToken, { checkInId: 'c1' });
  const [task] = first.body['tasks'] as Record<string, unknown>[];
  assert.deepEqual(
    { ...task, expiresAt: '' },
    { taskId, type: 'lock', parameters: { message: 'Hello' }, attempt: 1, expiresAt: '' },
  );
  const seconds = first.body['nextSyncSeconds'] as number;
  assert.ok(seconds >= 27 && seconds <= 33, String(seconds));
  const stranger = newId('tsk');
  const results = [taskId, stranger].map((id) => ({ taskId: id, status: 'completed' }));
  for (const checkInId of ['c2', 'c3']) {
    const { body } = await stage.sync(deviceToken, { checkInId, taskResults: results });
    assert.deepEqual(body['taskResults'], { accepted: [taskId], unknown: [stranger] });
    assert.deepEqual(body['tasks'], []);
  }
  assert.equal((await typesOf(acme, deviceId)).filter((type) => type === 'TaskCompleted').length, 1);
});

test('an assigned policy is sent until the device confirms its version, and again once it is revised', async () => {
  const { deviceId, deviceToken } = await stage.enrolled(acme);
  const policyId: PolicyId = newId('pol');
  const settings = { passcode: { required: true, minimumLength: 6 } };
  const made = await stage.run(policyDecider, acme, policyId, {
    type: 'CreatePolicy',
    name: 'Passcode',
    policyType: 'device',
    platforms: ['android'],
    settings,
  });
  await stage.onDevice(acme, deviceId, { type: 'AssignPolicy', policyId, policy: made.state });
  const sent = [{ policyId, policyType: 'device', version: 1, settings }];
  assert.deepEqual((await stage.sync(deviceToken, { checkInId: 'c1' })).body['policies'], sent);
  assert.deepEqual((await stage.sync(deviceToken, { checkInId: 'c2' })).body['policies'], sent);
  const applied = { appliedPolicies: [{ policyId, version: 1 }] };
  const confirmed = await stage.sync(deviceToken, { checkInId: 'c3', ...applied });
  assert.deepEqual([confirmed.body['policies'], confirmed.body['removedPolicies']], [[], undefined]);
  await stage.run(policyDecider, acme, policyId, {
    type: 'RevisePolicy',
    settings: { passcode: { required: true } },
  });
  const revised = await stage.sync(deviceToken, { checkInId: 'c4', ...applied });
  assert.deepEqual(
    (revised.body['policies'] as { version: number }[]).map(({ version }) => version),
    [2],
  );
  await stage.onDevice(acme, deviceId, { type: 'UnassignPolicy', policyId });
  const removed = await stage.sync(deviceToken, { checkInId: 'c5', ...applied });
  assert.deepEqual([removed.body['policies'], removed.body['removedPolicies']], [[], [policyId]]);
});

test('the verdict of a check-in is in its reply, with reason and beginning; a repair shows at once', async () => {
  const tenantId = await stage.newTenant('Strict');
  const { deviceToken } = await stage.enrolled(tenantId, { inventory: { encrypted: false } });
  const compliancePolicyId = newId('cmp');
  await stage.run(compliancePolicyDecider, tenantId, compliancePolicyId, {
    type: 'CreateCompliancePolicy',
    name: 'Base',
    settings: complianceSettings.parse({ android: [{ rule: 'encryption', parameters: {}, actions: [] }] }),
  });
  await stage.run(tenantDecider, tenantId, tenantId, {
    type: 'AssignTenantCompliancePolicy',
    compliancePolicyId,
  });
  const { body } = await stage.sync(deviceToken, { checkInId: 'c1' });
  const [violation] = violationsOf(body);
  assert.equal(violation?.why, 'The storage is not encrypted.');
  stage.advance(60_000);
  const later = await stage.sync(deviceToken, { checkInId: 'c2' });
  assert.deepEqual(violationsOf(later.body), [violation]);
  const repaired = await stage.sync(deviceToken, { checkInId: 'c3', inventory: { encrypted: true } });
  assert.deepEqual(repaired.body['compliance'], { status: 'compliant', violations: [] });
});

test('a server whose cache is behind decides on what the log says: policy, token, enrolment', async () => {
  const tenantId = await stage.newTenant('Two servers');
  const { store, clock } = stage.deps;
  const second = await stage.serve({ handler: openHandler({ store, clock, snapshots: noSnapshots }) });
  const { deviceId, deviceToken } = await stage.enrolled(tenantId);
  assert.equal((await second.sync(deviceToken, { checkInId: 'c1' })).status, 200);
  const settings = (rule: 'encryption' | 'screen-lock') =>
    complianceSettings.parse({ android: [{ rule, parameters: {}, actions: [] }] });
  const compliancePolicyId = newId('cmp');
  const create = { type: 'CreateCompliancePolicy', name: 'Base', settings: settings('encryption') } as const;
  await stage.run(compliancePolicyDecider, tenantId, compliancePolicyId, create);
  await stage.run(tenantDecider, tenantId, tenantId, {
    type: 'AssignTenantCompliancePolicy',
    compliancePolicyId,
  });
  await stage.sync(deviceToken, { checkInId: 'c2' });
  const behind = await second.sync(deviceToken, { checkInId: 'c3' });
  assert.equal(violationsOf(behind.body)[0]?.rule, 'encryption');
  await stage.run(compliancePolicyDecider, tenantId, compliancePolicyId, {
    type: 'ReviseCompliancePolicy',
    settings: settings('screen-lock'),
  });
  await stage.sync(deviceToken, { checkInId: 'c4' });
  const revised = await second.sync(deviceToken, { checkInId: 'c5' });
  assert.equal(violationsOf(revised.body)[0]?.rule, 'screen-lock');
  // The check-in of the other server is known here, too.
  assert.equal((await second.sync(deviceToken, { checkInId: 'c4' })).status, 200);
  const checkIns = (await typesOf(tenantId, deviceId)).filter((type) => type === 'DeviceCheckedIn');
  assert.equal(checkIns.length, 5);
  await stage.onDevice(tenantId, deviceId, (now) => ({ type: 'UnenrolDevice', now, compliance: null }));
  assert.equal((await second.sync(deviceToken, { checkInId: 'c6' })).status, 410);
  const { code } = await stage.newEnrolment(tenantId, { deviceId: deviceId as DeviceId });
  const again = await stage.enroll({ code, requestId: 'r2', platform: 'android' });
  assert.equal(again.status, 201);
  assert.equal(again.body['deviceId'], deviceId);
  assert.equal((await second.sync(deviceToken, { checkInId: 'c7' })).status, 401);
  assert.equal((await second.sync(again.body['deviceToken'] as string, { checkInId: 'c7' })).status, 200);
});

test('no credential but the device’s own is accepted, before the body is looked at', async () => {
  const mine = await stage.enrolled(acme);
  const theirs = await stage.enrolled(other);
  const [, , , secret] = mine.deviceToken.split('.') as [string, string, string, string];
  const flipped = `${secret.slice(0, -2)}${secret.at(-2) === 'A' ? 'B' : 'A'}${secret.slice(-1)}`;
  const tokens = [
    undefined,
    '',
    mine.deviceId,
    secret,
    mine.deviceToken.replace(secret, flipped),
    mine.deviceToken.replace(secret, secret.slice(1)),
    mine.deviceToken.replace(acme, other),
    mine.deviceToken.replace(mine.deviceId, theirs.deviceId),
    mine.deviceToken.replace(mine.deviceId, newId('dev')),
    mine.deviceToken.replace(acme, newId('ten')),
    theirs.deviceToken.replace(other, acme),
    `${mine.deviceToken}.x`,
    mine.deviceToken.replace('muster-device', 'muster-proxy'),
    mine.deviceToken.toUpperCase(),
    `${acme}/../${other}`,
  ];
  for (const token of tokens) {
    const { status, body, headers } = await stage.call('/device/v1/sync', { token, bytes: '{broken' });
    assert.equal(status, 401, String(token));
    assert.equal(body['type'], '/errors#unauthenticated');
    assert.equal(headers['www-authenticate'], 'Bearer');
  }
  const basic = await stage.call('/device/v1/sync', {
    headers: { authorization: `Basic ${mine.deviceToken}` },
    json: {},
  });
  assert.equal(basic.status, 401);
  const known = (await typesOf(acme, mine.deviceId)).length;
  assert.equal((await stage.sync(mine.deviceToken, { checkInId: 'c1' })).status, 200);
  assert.equal((await typesOf(acme, mine.deviceId)).length, known + 1);
});

test('another tenant’s tasks and policies are unknown ones, and its check-in ids are its own', async () => {
  const mine = await stage.enrolled(acme);
  const theirs = await stage.enrolled(other);
  const taskId = await queueLock(other, theirs.deviceId);
  await stage.sync(theirs.deviceToken, { checkInId: 'same' });
  const { status, body } = await stage.sync(mine.deviceToken, {
    checkInId: 'same',
    taskResults: [{ taskId, status: 'completed' }],
    appliedPolicies: [{ policyId: newId('pol'), version: 1 }],
  });
  assert.equal(status, 200);
  assert.deepEqual(body['taskResults'], { accepted: [], unknown: [taskId] });
  assert.deepEqual(await typesOf(acme, mine.deviceId), [
    'DeviceRegistered',
    'DeviceEnrolled',
    'ComplianceVerdictReached',
    'DeviceCheckedIn',
  ]);
  const sent = await stage.sync(theirs.deviceToken, { checkInId: 'next' });
  assert.equal((sent.body['tasks'] as unknown[]).length, 1);
});

test('a device that was unenrolled is told so; who guesses is not', async () => {
  const { deviceId, deviceToken }: Enrolled = await stage.enrolled(acme);
  await stage.onDevice(acme, deviceId, (now) => ({ type: 'UnenrolDevice', now, compliance: null }));
  for (const checkInId of ['c1', 'c2']) {
    const { status, body } = await stage.sync(deviceToken, { checkInId });
    assert.deepEqual([status, body['type']], [410, '/errors#device-retired']);
  }
  const guess = `${deviceToken.slice(0, -43)}${'A'.repeat(43)}`;
  assert.equal((await stage.sync(guess, { checkInId: 'c1' })).status, 401);
});

test('a device that reports its own wipe has left', async () => {
  const { deviceId, deviceToken } = await stage.enrolled(acme);
  const taskId = newId('tsk');
  await stage.onDevice(acme, deviceId, (now) => ({
    type: 'QueueTasks',
    now,
    transferId: newId('trf'),
    taskBundleId: null,
    policies: new Map(),
    tasks: [{ taskId, type: 'wipe', parameters: {} }],
  }));
  await stage.sync(deviceToken, { checkInId: 'c1' });
  const report = { checkInId: 'c2', taskResults: [{ taskId, status: 'completed' }] };
  assert.deepEqual((await stage.sync(deviceToken, report)).body['taskResults'], {
    accepted: [taskId],
    unknown: [],
  });
  assert.equal((await stage.sync(deviceToken, report)).status, 410);
});

test('the devices of a suspended tenant wait; nothing of theirs is stored', async () => {
  const tenantId = await stage.newTenant('Late payer');
  const { deviceId, deviceToken } = await stage.enrolled(tenantId);
  const before = (await typesOf(tenantId, deviceId)).length;
  await stage.run(tenantDecider, tenantId, tenantId, { type: 'SuspendTenant', reason: 'unpaid' });
  const refused = await stage.sync(deviceToken, { checkInId: 'c1' });
  assert.deepEqual([refused.status, refused.body['type']], [403, '/errors#tenant-suspended']);
  assert.equal((await typesOf(tenantId, deviceId)).length, before);
  await stage.run(tenantDecider, tenantId, tenantId, { type: 'ReactivateTenant' });
  assert.equal((await stage.sync(deviceToken, { checkInId: 'c1' })).status, 200);
});

test('a list of apps cannot grow without bound', async () => {
  const { deviceToken } = await stage.enrolled(acme);
  const batch = (number: number, count: number) =>
    Array.from({ length: count }, (_, index) => app(`n${number}.${index}`));
  for (const number of [1, 2])
    assert.equal(
      (await stage.sync(deviceToken, { checkInId: `c${number}`, apps: { installed: batch(number, 2000) } }))
        .status,
      200,
    );
  const over = await stage.sync(deviceToken, { checkInId: 'c3', apps: { installed: batch(3, 1001) } });
  assert.deepEqual([over.status, over.body['field']], [422, 'apps.installed']);
  const whole = { complete: true, installed: batch(3, 1001) };
  assert.equal((await stage.sync(deviceToken, { checkInId: 'c3', apps: whole })).status, 200);
});
