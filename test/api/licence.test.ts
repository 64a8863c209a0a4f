/** Licences over HTTP: keys, allotments, seats exact under concurrency, what expiry stops and what it does not, editions. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { licenceDecider } from '../../domain/licence/decide.ts';
import type { Edition } from '../../domain/licence/licence.ts';
import { issueLicenceKey, newIssuer, theLicence } from '../../platform/licence.ts';
import { newUuid } from '../../platform/new-id.ts';
import { type ApiStage, type Client, type Json, openStage, type TenantStage } from './stage.ts';
import { enrolDevice, syncDevice } from './world.ts';

const container = 'com.example.container';
const folder = mkdtempSync(join(tmpdir(), 'muster-licence-'));
const issuer = newIssuer();
const dayMs = 24 * 3_600_000;
let aheadMs = 0;
const clock = () => Date.now() + aheadMs;
let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let installationId: string;

before(async () => {
  const licencePublicKeyFile = join(folder, 'issuer.pub');
  writeFileSync(licencePublicKeyFile, issuer.publicKey);
  const settings = { licencePublicKeyFile, containerApps: container };
  stage = await openStage({ settings, clock });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  ({
    licence: { installationId },
  } = await stage.operator.query('{ licence { installationId } }'));
});
after(async () => {
  await stage.stop();
  rmSync(folder, { recursive: true, force: true });
});

const keyFor = (over: Partial<Parameters<typeof issueLicenceKey>[0]> = {}, by = issuer): Promise<string> =>
  issueLicenceKey(
    {
      keyId: newUuid(),
      installationId,
      licensee: 'Acme Ltd',
      edition: 'advanced',
      seats: 10_000,
      issuedAt: new Date(clock()).toISOString(),
      expiresAt: new Date(clock() + 365 * dayMs).toISOString(),
      ...over,
    },
    by.privateKey,
  );
const activate = async (key: string): Promise<Json> =>
  stage.operator.mutate(
    'activateLicence',
    { key },
    'LicencePayload',
    'licence { kind state seats licensee edition daysLeft }',
  );
const allot = async (tenant: TenantStage, seats: number, edition: Edition = 'standard'): Promise<Json> =>
  stage.operator.mutate(
    'allotSeats',
    { tenantId: tenant.tenantId, seats, edition: edition.toUpperCase() },
    'SeatUsePayload',
    'pending seatUse { allotted taken edition tenant { id } }',
  );
const codeFor = async ({ client }: TenantStage, userEmail: string | null): Promise<string> => {
  const made = await client.mutate(
    'createEnrolment',
    { userEmail },
    'CreateEnrolmentPayload',
    'code pending',
  );
  assert.equal(made.pending, false, JSON.stringify(made));
  return made.code;
};
/** The seats of a tenant once everything before can be read: a mutation waits for it, an enrolment does not. */
const seatUse = async (tenant: TenantStage): Promise<Json> => {
  await codeFor(tenant, null);
  return (await tenant.client.query('{ seatUse { allotted taken edition } }')).seatUse;
};
const tryToEnrol = async (code: string): Promise<{ status: number; type?: string }> => {
  const response = await fetch(`${stage.api.url}/device/v1/enroll`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code, requestId: 'the same for all', platform: 'android', name: 'Phone' }),
  });
  const { type } = (await response.json()) as Json;
  return { status: response.status, type };
};
const seatsExhausted = { status: 409, type: '/errors#seats-exhausted' };
const task = (type: string, parameters: object = {}) => ({ type, parameters });

test('a key for this installation, by a trusted issuer, in time and not older than the present one', async () => {
  const taken = await activate(await keyFor({ seats: 5000 }));
  assert.deepEqual(taken.licence, {
    kind: 'KEY',
    state: 'VALID',
    seats: 5000,
    licensee: 'Acme Ltd',
    edition: 'ADVANCED',
    daysLeft: 364,
  });
  const refused = async (key: Promise<string>) => (await activate(await key)).code;
  assert.equal(await refused(keyFor({}, newIssuer())), 'licence-key-untrusted');
  assert.equal(await refused(keyFor({ installationId: newUuid() })), 'licence-key-foreign');
  assert.equal(
    await refused(keyFor({ issuedAt: '2026-01-01T00:00:00.000Z', expiresAt: '2026-01-02T00:00:00.000Z' })),
    'licence-key-expired',
  );
  assert.equal(await refused(keyFor({ issuedAt: '2026-01-01T00:00:00.000Z' })), 'licence-key-superseded');
  assert.equal(await refused(keyFor({ seats: 5 })), 'seats-exceed-licence');
  const key = await keyFor();
  assert.equal(await refused(Promise.resolve(`${key.slice(0, -9)}AAAAAAAAA`)), 'licence-key-invalid');
});

test('an operator splits seats; a tenant sees its own and nobody else’s', async () => {
  const given = await allot(acme, 7, 'advanced');
  assert.deepEqual(given.seatUse, {
    allotted: 7,
    taken: 0,
    edition: 'ADVANCED',
    tenant: { id: acme.tenantId },
  });
  await allot(other, 3);
  assert.deepEqual(await seatUse(acme), { allotted: 7, taken: 0, edition: 'ADVANCED' });
  assert.deepEqual(await seatUse(other), { allotted: 3, taken: 0, edition: 'STANDARD' });
  const { seatUses } = await stage.operator.query('{ seatUses { nodes { allotted tenant { slug } } } }');
  assert.deepEqual(seatUses.nodes, [
    { allotted: 7, tenant: { slug: 'acme' } },
    { allotted: 3, tenant: { slug: 'other' } },
  ]);
  assert.equal((await allot(acme, 1_000_000)).code, 'seats-exceed-licence');
  const forbidden = await acme.client.raw('{ seatUses { nodes { taken } } }');
  assert.equal(forbidden.errors[0]?.extensions.code, 'forbidden');
});

test('a new tenant can be given seats at once; one that cannot have them is not made', async () => {
  const create = (slug: string, seats?: number): Promise<Json> =>
    stage.operator.mutate(
      'createTenant',
      {
        name: slug,
        slug,
        administratorEmail: 'a@x.example',
        administratorName: 'A',
        seats,
        edition: 'ADVANCED',
      },
      'TenantAdministratorPayload',
      'tenant { id slug }',
    );
  assert.equal((await create('greedy', 1_000_000)).code, 'seats-exceed-licence');
  const { tenants } = await stage.operator.query('{ tenants(first: 50) { nodes { slug } } }');
  assert.ok(!tenants.nodes.some(({ slug }: Json) => slug === 'greedy'));
  const made = await create('modest', 2);
  const { seatUses } = await stage.operator.query(
    '{ seatUses { nodes { allotted edition tenant { id } } } }',
  );
  assert.deepEqual(
    seatUses.nodes.filter(({ tenant }: Json) => tenant.id === made.tenant.id),
    [{ allotted: 2, edition: 'ADVANCED', tenant: { id: made.tenant.id } }],
  );
});

test('50 devices for the last seat: one wins, over real HTTP, with the same request id', async () => {
  await allot(acme, 2, 'advanced');
  await enrolDevice(stage, await codeFor(acme, 'first@acme.example'));
  const codes: string[] = [];
  for (let index = 0; index < 50; index += 1) codes.push(await codeFor(acme, `user${index}@acme.example`));
  const answers = await Promise.all(codes.map(tryToEnrol));
  assert.equal(answers.filter(({ status }) => status === 201).length, 1);
  assert.deepEqual(
    answers.filter(({ status }) => status !== 201),
    Array(49).fill(seatsExhausted),
  );
  // A refused code is not spent: with one more seat one more of them enrols.
  await allot(acme, 3, 'advanced');
  const again = await Promise.all(codes.map(tryToEnrol));
  // The winner's code answers again, as to a repeated request.
  assert.equal(again.filter(({ status }) => status === 201).length, 2);
  assert.equal((await seatUse(acme)).taken, 3);
  assert.equal((await seatUse(other)).taken, 0);
});

test('a second device of a user is free, a device without a user is not', async () => {
  await allot(other, 2);
  await enrolDevice(stage, await codeFor(other, 'Ann@Other.example'));
  await enrolDevice(stage, await codeFor(other, 'ann@other.example'));
  assert.equal((await seatUse(other)).taken, 1);
  await enrolDevice(stage, await codeFor(other, null));
  assert.equal((await seatUse(other)).taken, 2);
  assert.deepEqual(await tryToEnrol(await codeFor(other, null)), seatsExhausted);
  // Fewer seats than are in use: nothing is taken away, and a user's further device goes on.
  assert.deepEqual((await allot(other, 1)).seatUse.taken, 2);
  await enrolDevice(stage, await codeFor(other, 'ann@other.example'));
  assert.deepEqual(await tryToEnrol(await codeFor(other, null)), seatsExhausted);
});

/** What a tenant of an edition may do with container apps, as codes of refusals. */
const managing = async (
  client: Client,
  mine: { policyId: string; taskBundleId: string; deviceId: string },
) => {
  const install = task('INSTALL_APP', { appId: container, name: 'Container' });
  const calls: readonly (readonly [string, object, string])[] = [
    ['createTaskBundle', { name: 'X', platforms: ['ANDROID'], tasks: [install] }, 'TaskBundlePayload'],
    [
      'reviseTaskBundle',
      { taskBundleId: mine.taskBundleId, tasks: [task('UNINSTALL_APP', { appId: container })] },
      'TaskBundlePayload',
    ],
    ['transferTaskBundle', { taskBundleId: mine.taskBundleId, deviceId: mine.deviceId }, 'TransferPayload'],
    ['queueTask', { deviceId: mine.deviceId, task: install }, 'DevicePayload'],
    [
      'queueTask',
      { deviceId: mine.deviceId, task: task('ASSIGN_POLICY', { policyId: mine.policyId }) },
      'DevicePayload',
    ],
    ['assignPolicy', { deviceId: mine.deviceId, policyId: mine.policyId }, 'DevicePayload'],
    [
      'createPolicy',
      {
        name: 'X',
        policyType: 'CONTAINER',
        platforms: ['ANDROID'],
        settings: { passcode: { required: true } },
      },
      'PolicyPayload',
    ],
    [
      'revisePolicy',
      { policyId: mine.policyId, settings: { passcode: { required: false } } },
      'PolicyPayload',
    ],
    [
      'createCompliancePolicy',
      {
        name: 'X',
        settings: { android: [{ rule: 'mandatory-apps', parameters: { appIds: [container] }, actions: [] }] },
      },
      'CompliancePolicyPayload',
    ],
    [
      'createCompliancePolicy',
      {
        name: 'X',
        settings: {
          android: [
            {
              rule: 'managed',
              parameters: {},
              actions: [{ action: 'transfer-task-bundle', taskBundleId: mine.taskBundleId }],
            },
          ],
        },
      },
      'CompliancePolicyPayload',
    ],
  ];
  const codes: Json[] = [];
  for (const [name, input, type] of calls) {
    const answer = await client.mutate(name, input, type, 'pending');
    codes.push(answer.code ?? 'done');
  }
  return codes;
};

test('the Standard edition manages no container apps; what a tenant had before goes on', async () => {
  await allot(acme, 10, 'advanced');
  const { client } = acme;
  const install = task('INSTALL_APP', { appId: container, name: 'Container' });
  const { deviceId, deviceToken } = await enrolDevice(stage, await codeFor(acme, 'first@acme.example'));
  const { policy } = await client.mutate(
    'createPolicy',
    {
      name: 'Container',
      policyType: 'CONTAINER',
      platforms: ['ANDROID'],
      settings: { passcode: { required: true } },
    },
    'PolicyPayload',
    'policy { id }',
  );
  const { taskBundle } = await client.mutate(
    'createTaskBundle',
    { name: 'Container', platforms: ['ANDROID'], tasks: [install] },
    'TaskBundlePayload',
    'taskBundle { id }',
  );
  const mine = { policyId: policy.id, taskBundleId: taskBundle.id, deviceId };
  const queued = await client.mutate('queueTask', { deviceId, task: install }, 'DevicePayload', 'pending');
  assert.equal(queued.pending, false);
  await allot(acme, 10, 'standard');
  assert.deepEqual(new Set(await managing(client, mine)), new Set(['edition-required']));
  const plain = await client.mutate(
    'queueTask',
    { deviceId, task: task('REFRESH') },
    'DevicePayload',
    'pending',
  );
  assert.equal(plain.pending, false);
  const { body } = await syncDevice(stage, deviceToken, { checkInId: 'c1' });
  assert.ok(body.tasks.some(({ type }: Json) => type === 'install-app'));
  await allot(acme, 10, 'advanced');
  assert.deepEqual(new Set(await managing(client, mine)), new Set(['done']));
});

test('expiry stops new enrolments and tasks; check-ins, what is queued, mail and history go on', async () => {
  const { client } = acme;
  const { deviceId, deviceToken } = await enrolDevice(stage, await codeFor(acme, 'first@acme.example'));
  const queue = (type: string, parameters = {}): Promise<Json> =>
    client.mutate('queueTask', { deviceId, task: task(type, parameters) }, 'DevicePayload', 'pending');
  assert.equal((await queue('MESSAGE', { text: 'before' })).pending, false);
  const { taskBundle } = await client.mutate(
    'createTaskBundle',
    { name: 'Lock', platforms: ['ANDROID'], tasks: [task('LOCK')] },
    'TaskBundlePayload',
    'taskBundle { id }',
  );
  const code = await codeFor(acme, 'late@acme.example');
  const { state } = await stage.deps.handler.load(licenceDecider, theLicence);
  assert.ok(state.status !== 'none' && state.grant);
  // Sessions end as time passes; the keys' issuer makes the licence end instead.
  const endMs = 1500;
  await activate(
    await keyFor({ expiresAt: new Date(Math.ceil((clock() + endMs) / 1000) * 1000).toISOString() }),
  );
  aheadMs += 2 * endMs;
  const { licence } = await stage.operator.query('{ licence { state daysLeft } }');
  assert.deepEqual(licence, { state: 'EXPIRED', daysLeft: 0 });
  assert.deepEqual(await tryToEnrol(code), { status: 403, type: '/errors#licence-expired' });
  assert.equal((await queue('LOCK')).code, 'licence-expired');
  const transfer = { taskBundleId: taskBundle.id, deviceId };
  assert.equal(
    (await client.mutate('transferTaskBundle', transfer, 'TransferPayload', 'pending')).code,
    'licence-expired',
  );
  const { status, body } = await syncDevice(stage, deviceToken, { checkInId: 'after' });
  assert.equal(status, 200);
  assert.ok(body.tasks.some(({ type }: Json) => type === 'message'));
  assert.equal((await queue('WIPE')).pending, false);
  const denied = await client.mutate(
    'setMailAccess',
    { deviceId, access: 'DENY' },
    'DevicePayload',
    'device { mailVerdict }',
  );
  assert.equal(denied.device.mailVerdict, 'DENY');
  const { audit } = await client.query(`{ audit(entityId: "${deviceId}") { nodes { type } } }`);
  assert.ok(audit.nodes.some(({ type }: Json) => type === 'DeviceCheckedIn'));
  const gone = await client.mutate('unenrolDevice', { deviceId }, 'DevicePayload', 'pending');
  assert.equal(gone.pending, false);
  assert.equal((await activate(await keyFor())).licence.state, 'VALID');
  assert.equal((await tryToEnrol(code)).status, 201);
});
