/** Enrolment over HTTP: one code, one device, one token; repeated, refused, cut short by a crash. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { partyOf } from '../../../api/device/throttle.ts';
import { enrolmentDecider } from '../../../domain/enrolment/decide.ts';
import type { DeviceId, TenantId } from '../../../domain/ids.ts';
import { tenantDecider } from '../../../domain/tenant/decide.ts';
import { hashSecret, newCode, newId, newUuid } from '../../../platform/new-id.ts';
import { type Stage, startStage } from './stage.ts';

let stage: Stage;
let acme: TenantId;
let other: TenantId;
before(async () => {
  stage = await startStage();
  acme = await stage.newTenant('Acme');
  other = await stage.newTenant('Other');
});
after(() => stage.stop());

const ask = (code: string, over: Record<string, unknown> = {}) => ({
  code,
  requestId: newUuid(),
  platform: 'android',
  name: 'Phone',
  ...over,
});
const refusal = (answer: { status: number; body: Record<string, unknown> }) => [
  answer.status,
  answer.body['type'],
  answer.body['field'],
];
const register = async (tenantId: TenantId, platform: 'android' | 'ios' = 'android'): Promise<DeviceId> => {
  const deviceId = newId('dev');
  await stage.onDevice(tenantId, deviceId, {
    type: 'RegisterDevice',
    name: 'Ada’s phone',
    platform,
    ownership: 'corporate',
    userEmail: 'ada@example.org',
    groupId: newId('grp'),
    serialNumber: 'S1',
  });
  return deviceId;
};

test('a code makes a device of its tenant; its token works at once and is stored as a digest alone', async () => {
  const { code } = await stage.newEnrolment(acme);
  const { status, body, headers } = await stage.enroll(
    ask(code, { inventory: { osVersion: '14' }, apps: { complete: true, installed: [] } }),
  );
  assert.equal(status, 201);
  assert.equal(headers['cache-control'], 'no-store');
  assert.equal(body['tenantName'], 'Acme');
  const token = body['deviceToken'] as string;
  const secret = token.split('.')[3] as string;
  const events = await stage.eventsOf(acme, body['deviceId'] as string);
  assert.deepEqual(
    events.map(({ type }) => type),
    [
      'DeviceRegistered',
      'DeviceEnrolled',
      'DeviceInventoryChanged',
      'DeviceAppsChanged',
      'ComplianceVerdictReached',
    ],
  );
  const stored = JSON.stringify(events, (_, value) => (typeof value === 'bigint' ? String(value) : value));
  assert.ok(stored.includes(hashSecret(secret)) && !stored.includes(secret));
  assert.ok(!stored.includes(code) && !stored.includes(code.replaceAll('-', '')));
  assert.equal((await stage.sync(token, { checkInId: 'c1' })).status, 200);
});

test('case, hyphens, spaces and look-alikes in a code do not matter', async () => {
  const { code } = await stage.newEnrolment(acme);
  const typed = ` ${code.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')} `;
  assert.equal((await stage.enroll(ask(typed))).status, 201);
});

test('a code works once: another request is refused, the same one gets a new token until the first check-in', async () => {
  const { code } = await stage.newEnrolment(acme);
  const request = ask(code);
  const first = await stage.enroll(request);
  const second = await stage.enroll(request);
  assert.equal(second.status, 201);
  assert.equal(second.body['deviceId'], first.body['deviceId']);
  assert.notEqual(second.body['deviceToken'], first.body['deviceToken']);
  assert.deepEqual(refusal(await stage.enroll(ask(code))), [409, '/errors#enrolment-used', 'code']);
  const sync = (answer: typeof first) =>
    stage.sync(answer.body['deviceToken'] as string, { checkInId: 'c1' });
  assert.equal((await sync(first)).status, 401);
  assert.equal((await sync(second)).status, 200);
  assert.deepEqual(refusal(await stage.enroll(request)), [409, '/errors#device-already-enrolled', undefined]);
  assert.equal((await sync(second)).status, 200);
});

test('many requests with one code at once make one device', async () => {
  const { code } = await stage.newEnrolment(acme);
  const answers = await Promise.all(Array.from({ length: 8 }, () => stage.enroll(ask(code))));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 409, 409, 409, 409, 409, 409, 409]);
});

test('a crash after the code was spent is mended by repeating the request, even when the code has expired', async () => {
  const { code, enrolmentId } = await stage.newEnrolment(acme, {
    expiresAt: new Date(stage.deps.clock() + 5000).toISOString(),
  });
  const deviceId = newId('dev');
  await stage.run(enrolmentDecider, acme, enrolmentId, (now: string) => ({
    type: 'UseEnrolment' as const,
    now,
    deviceId,
    platform: 'android' as const,
    requestId: 'r1',
  }));
  stage.advance(60_000);
  assert.deepEqual(refusal(await stage.enroll(ask(code, { requestId: 'r2' }))), [
    409,
    '/errors#enrolment-used',
    'code',
  ]);
  const mended = await stage.enroll(ask(code, { requestId: 'r1' }));
  assert.deepEqual([mended.status, mended.body['deviceId']], [201, deviceId]);
});

test('expired, revoked, unknown codes and other platforms are refused, naming the field', async () => {
  const expired = await stage.newEnrolment(acme, {
    expiresAt: new Date(stage.deps.clock() + 1000).toISOString(),
  });
  stage.advance(1001);
  assert.deepEqual(refusal(await stage.enroll(ask(expired.code))), [
    410,
    '/errors#enrolment-expired',
    'code',
  ]);
  const revoked = await stage.newEnrolment(acme);
  await stage.run(enrolmentDecider, acme, revoked.enrolmentId, { type: 'RevokeEnrolment' });
  assert.deepEqual(refusal(await stage.enroll(ask(revoked.code))), [
    410,
    '/errors#enrolment-revoked',
    'code',
  ]);
  const forIos = await stage.newEnrolment(acme, { platform: 'ios' });
  assert.deepEqual(refusal(await stage.enroll(ask(forIos.code))), [
    409,
    '/errors#platform-mismatch',
    'platform',
  ]);
  assert.equal((await stage.enroll(ask(forIos.code, { platform: 'ios' }))).status, 201);
  assert.deepEqual(refusal(await stage.enroll(ask(newCode()))), [404, '/errors#enrolment-missing', 'code']);
});

test('a code for a registered device enrols that one, which keeps its name and group', async () => {
  const deviceId = await register(acme);
  const { code } = await stage.newEnrolment(acme, { deviceId, userEmail: null });
  const answer = await stage.enroll(ask(code));
  assert.deepEqual([answer.status, answer.body['deviceId']], [201, deviceId]);
  const events = await stage.eventsOf(acme, deviceId);
  const [registered, enrolled] = events.map((event) => event.data as Record<string, unknown>);
  assert.equal(enrolled?.['groupId'], registered?.['groupId']);
  assert.equal(enrolled?.['userEmail'], 'ada@example.org');
});

test('what the registered device would refuse does not spend the code', async () => {
  const deviceId = await register(acme, 'ios');
  const { code } = await stage.newEnrolment(acme, { deviceId });
  assert.deepEqual(refusal(await stage.enroll(ask(code))), [409, '/errors#platform-mismatch', 'platform']);
  assert.equal((await stage.enroll(ask(code, { platform: 'ios' }))).status, 201);
  const second = await stage.newEnrolment(acme, { deviceId });
  assert.deepEqual(refusal(await stage.enroll(ask(second.code, { platform: 'ios' }))), [
    409,
    '/errors#device-already-enrolled',
    undefined,
  ]);
  await stage.onDevice(acme, deviceId, (now) => ({ type: 'UnenrolDevice', now, compliance: null }));
  assert.equal((await stage.enroll(ask(second.code, { platform: 'ios' }))).status, 201);
});

test('the code alone says which tenant is joined', async () => {
  const [mine, theirs] = [await stage.newEnrolment(acme), await stage.newEnrolment(other)];
  const answer = await stage.enroll(ask(theirs.code));
  assert.equal(answer.body['tenantName'], 'Other');
  assert.equal((await stage.eventsOf(acme, answer.body['deviceId'] as string)).length, 0);
  assert.equal((await stage.eventsOf(other, answer.body['deviceId'] as string)).length, 3);
  const tenantField = await stage.enroll({ ...ask(mine.code), tenantId: other });
  assert.deepEqual(refusal(tenantField), [422, '/errors#invalid-input', 'tenantId']);
});

test('a suspended tenant enrols nobody, and the code stays good', async () => {
  const tenantId = await stage.newTenant('Late payer');
  const { code } = await stage.newEnrolment(tenantId);
  await stage.run(tenantDecider, tenantId, tenantId, { type: 'SuspendTenant', reason: 'unpaid' });
  assert.deepEqual(refusal(await stage.enroll(ask(code))), [403, '/errors#tenant-suspended', undefined]);
  await stage.run(tenantDecider, tenantId, tenantId, { type: 'ReactivateTenant' });
  assert.equal((await stage.enroll(ask(code))).status, 201);
});

test('guessing codes is slowed down per address; good codes do not count', async () => {
  const server = await stage.serve();
  for (let tries = 0; tries < 10; tries += 1) {
    const { code } = await stage.newEnrolment(acme);
    assert.equal((await server.enroll(ask(code))).status, 201);
    assert.equal((await server.enroll(ask(newCode()))).status, 404);
    assert.equal((await server.enroll(ask(newCode()))).status, 404);
  }
  const { code } = await stage.newEnrolment(acme);
  const slowed = await server.enroll(ask(code));
  assert.deepEqual(refusal(slowed), [429, '/errors#too-many-attempts', undefined]);
  const seconds = Number(slowed.headers['retry-after']);
  assert.ok(seconds > 500 && seconds <= 600, String(seconds));
  stage.advance(seconds * 1000);
  assert.equal((await server.enroll(ask(code))).status, 201);
});

test('one party is an IPv4 address, or a /64 of IPv6', () => {
  assert.equal(partyOf('192.0.2.1'), '192.0.2.1');
  assert.equal(partyOf('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(partyOf('2001:db8:1:2:3:4:5:6'), partyOf('2001:DB8:1:2::9'));
  assert.notEqual(partyOf('2001:db8:1:2::1'), partyOf('2001:db8:1:3::1'));
  assert.equal(partyOf('::1'), '0:0:0:0');
  assert.equal(partyOf('fe80::1%eth0'), 'fe80:0:0:0');
});
