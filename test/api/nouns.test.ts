/**
 * Every noun through GraphQL: each mutation's own effect can be read when it answers; refusals are typed.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiStage, type Json, openStage, signIn, type TenantStage } from './stage.ts';
import { makeWorld, passcode, rules, syncDevice, type World } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let world: World;

before(async () => {
  stage = await openStage({ settings: { mutationWaitMs: '2000' } });
  acme = await stage.tenant('acme');
  world = await makeWorld(stage, acme);
});
after(() => stage.stop());

const call = async (name: string, input: object, fields = 'pending'): Promise<Json> => {
  const field = /^(\w+) \{/.exec(fields)?.[1];
  const payload: Record<string, string> = {
    group: 'DeviceGroupPayload',
    policy: 'PolicyPayload',
    compliancePolicy: 'CompliancePolicyPayload',
    taskBundle: 'TaskBundlePayload',
    transfer: 'TransferPayload',
    device: 'DevicePayload',
    tenant: 'TenantPayload',
    enrolment: 'EnrolmentPayload',
    proxy: 'ProxyPayload',
  };
  const answer = await acme.client.mutate(name, input, payload[field ?? ''] ?? 'Effect', fields);
  return field && answer[field] !== undefined ? answer[field] : answer;
};
const refusal = ({ __typename, code, field }: Json) => [__typename, code, field];

test('a new tenant starts with a default compliance policy that covers every platform', async () => {
  const { tenant } = await acme.client.query(
    '{ tenant { name slug kind status compliancePolicy { name settings } } }',
  );
  assert.deepEqual(
    { ...tenant, compliancePolicy: tenant.compliancePolicy.name },
    { name: 'Tenant acme', slug: 'acme', kind: 'CUSTOMER', status: 'ACTIVE', compliancePolicy: 'Default' },
  );
  const { settings } = tenant.compliancePolicy;
  const names = (platform: string) => settings[platform].map(({ rule }: Json) => rule);
  const common = ['managed', 'screen-lock', 'encryption', 'maximum-sync-gap'];
  for (const platform of ['ios', 'android', 'macos', 'windows'])
    assert.deepEqual(
      names(platform).filter((rule: string) => rule !== 'not-rooted'),
      common,
      platform,
    );
  assert.ok(names('android').includes('not-rooted') && !names('macos').includes('not-rooted'));
  const gap = settings.ios.find(({ rule }: Json) => rule === 'maximum-sync-gap');
  assert.deepEqual(gap.parameters, { minutes: 7 * 24 * 60 });
  assert.ok(gap.actions.some(({ action }: Json) => action === 'deny-mail'));
});

test('tenants: named, listed, unique, renamed, and given another administrator', async () => {
  const tenants = await stage.operator.query('{ tenants { nodes { slug kind } } }');
  assert.deepEqual(tenants.tenants.nodes.map(({ slug }: Json) => slug).sort(), ['acme', 'operator']);
  const again = await stage.operator.mutate(
    'createTenant',
    { name: 'X', slug: 'acme', administratorEmail: 'x@x.example', administratorName: 'X' },
    'Effect',
    'pending',
  );
  assert.deepEqual(refusal(again), ['Refusal', 'name-taken', 'slug']);
  for (const [slug, field] of [
    ['Not A Slug', 'slug'],
    ['-x', 'slug'],
    ['', 'slug'],
  ] as const) {
    const input = { name: 'X', slug, administratorEmail: 'x@x.example', administratorName: 'X' };
    assert.deepEqual(refusal(await stage.operator.mutate('createTenant', input, 'Effect', 'pending')), [
      'Fault',
      'invalid-input',
      field,
    ]);
  }
  const renamed = await stage.operator.mutate(
    'renameTenant',
    { tenantId: acme.tenantId, name: 'Acme Inc.' },
    'TenantPayload',
    'pending tenant { name }',
  );
  assert.deepEqual([renamed.pending, renamed.tenant.name], [false, 'Acme Inc.']);
  const { tenantId: own } = (await stage.operator.query('{ viewer { tenantId } }')).viewer;
  const itself = await stage.operator.mutate(
    'suspendTenant',
    { tenantId: own, reason: 'x' },
    'Effect',
    'pending',
  );
  assert.deepEqual(refusal(itself), ['Fault', 'invalid-input', 'tenantId']);
  const issue = (email: string) =>
    stage.operator.mutate(
      'issueTenantAdministrator',
      { tenantId: acme.tenantId, email, name: 'Rescue' },
      'TenantAdministratorPayload',
      'administratorId oneTimePassword',
    );
  const first = await issue('rescue@acme.example');
  const second = await issue('rescue@acme.example');
  assert.equal(first.administratorId, second.administratorId);
  const entered = (password: string) => signIn(stage.nobody, 'acme', 'rescue@acme.example', password);
  assert.equal((await entered(first.oneTimePassword)).code, 'unauthenticated');
  assert.equal((await entered(second.oneTimePassword)).mustChangePassword, true);
});

test('groups: renamed, put under a compliance policy and out again', async () => {
  const { groupId, compliancePolicyId, deviceId } = world;
  const fields = 'group { name compliancePolicy { id } devices { nodes { id } } }';
  const renamed = await call('renameGroup', { groupId, name: 'Field' }, fields);
  assert.deepEqual(renamed, {
    name: 'Field',
    compliancePolicy: null,
    devices: { nodes: [{ id: deviceId }] },
  });
  const assigned = await call('assignGroupCompliancePolicy', { groupId, compliancePolicyId }, fields);
  assert.deepEqual(assigned.compliancePolicy, { id: compliancePolicyId });
  const inUse = await call('retireCompliancePolicy', { compliancePolicyId });
  assert.deepEqual(refusal(inUse), ['Refusal', 'compliance-policy-in-use', null]);
  assert.equal((await call('assignGroupCompliancePolicy', { groupId }, fields)).compliancePolicy, null);
});

test('policies: revised with versions kept, never over somebody else’s change, retired', async () => {
  const { policyId } = world;
  const fields =
    'policy { name status version settings versions { nodes { version settings actor { kind id account { email } } } } }';
  const settings = { passcode: { required: true, minimumLength: 8 } };
  const revised = await call('revisePolicy', { policyId, settings, expectedVersion: 1 }, fields);
  assert.deepEqual([revised.version, revised.settings], [2, settings]);
  assert.deepEqual(
    revised.versions.nodes.map(({ version, settings }: Json) => [version, settings]),
    [
      [2, settings],
      [1, passcode],
    ],
  );
  assert.deepEqual(revised.versions.nodes[0].actor, {
    kind: 'ACCOUNT',
    id: acme.accountId,
    account: { email: acme.email },
  });
  const late = await call('revisePolicy', { policyId, settings: passcode, expectedVersion: 1 });
  assert.deepEqual(refusal(late), ['Refusal', 'version-conflict', 'expectedVersion']);
  const same = await call('revisePolicy', { policyId, settings }, 'pending position');
  assert.deepEqual([same.pending, same.position], [false, null], 'nothing had to change');
  const wrong = await call('revisePolicy', { policyId, settings: { passcode: { required: 'yes' } } });
  assert.deepEqual(refusal(wrong), ['Fault', 'invalid-input', 'settings.passcode.required']);
  const unknown = await call('revisePolicy', { policyId, settings: { ...settings, colour: 'red' } });
  assert.deepEqual(refusal(unknown), ['Fault', 'invalid-input', 'settings']);
  assert.equal((await call('renamePolicy', { policyId, name: 'All phones' }, fields)).name, 'All phones');
});

test('policies: assigned to a device, confirmed by it, taken off, and refused where they do not fit', async () => {
  const { policyId, deviceId, deviceToken } = world;
  const fields = 'device { policies { policyType policyId appliedVersion policy { name } } }';
  const assigned = await call('assignPolicy', { deviceId, policyId }, fields);
  assert.deepEqual(assigned.policies, [
    { policyType: 'DEVICE', policyId, appliedVersion: null, policy: { name: 'All phones' } },
  ]);
  const { body } = await syncDevice(stage, deviceToken, { checkInId: 'p1' });
  assert.deepEqual(
    body.policies.map(({ version }: Json) => version),
    [2],
  );
  const off = await call('unassignPolicy', { deviceId, policyId }, fields);
  assert.deepEqual(off.policies, []);
  const mac = await call('registerDevice', { name: 'Mac', platform: 'MACOS' }, 'device { id status }');
  assert.equal(mac.status, 'REGISTERED');
  const mismatch = await call('assignPolicy', { deviceId: mac.id, policyId });
  assert.deepEqual(refusal(mismatch), ['Refusal', 'platform-mismatch', 'policyId']);
  assert.equal((await call('retirePolicy', { policyId }, 'policy { status }')).status, 'RETIRED');
  assert.deepEqual(refusal(await call('assignPolicy', { deviceId, policyId })), [
    'Refusal',
    'policy-retired',
    'policyId',
  ]);
});

test('compliance policies: rules are described, validated, revised and assigned', async () => {
  const { complianceRules } = await acme.client.query(
    '{ complianceRules { name title severity platforms parametersSchema } }',
  );
  assert.equal(complianceRules.length, 9);
  const gap = complianceRules.find(({ name }: Json) => name === 'MAXIMUM_SYNC_GAP');
  assert.equal(gap.parametersSchema.properties.minutes.type, 'integer');
  const { compliancePolicyId } = world;
  const revise = (settings: object) => call('reviseCompliancePolicy', { compliancePolicyId, settings });
  for (const [settings, field] of [
    [
      { android: [{ rule: 'minimum-os-version', parameters: { version: 14 }, actions: [] }] },
      'settings.android.0.parameters.version',
    ],
    [{ android: [{ rule: 'no-such-rule', parameters: {}, actions: [] }] }, 'settings.android.0.rule'],
    [{ beos: [] }, 'settings'],
    [{ macos: [{ rule: 'not-rooted', parameters: {}, actions: [] }] }, 'settings.macos'],
    [[], 'settings'],
    ['rules', 'settings'],
  ] as const)
    assert.deepEqual(refusal(await revise(settings as object)), ['Fault', 'invalid-input', field]);
  const stricter = { android: [{ ...rules.android[0], parameters: { version: '16' } }] };
  const revised = await call(
    'reviseCompliancePolicy',
    { compliancePolicyId, settings: stricter },
    'compliancePolicy { version settings versions { nodes { version } } }',
  );
  assert.deepEqual(revised, {
    version: 2,
    settings: stricter,
    versions: { nodes: [{ version: 2 }, { version: 1 }] },
  });
  const renamed = await call(
    'renameCompliancePolicy',
    { compliancePolicyId, name: 'Stricter' },
    'compliancePolicy { name }',
  );
  assert.equal(renamed.name, 'Stricter');
  const tenant = await call(
    'assignTenantCompliancePolicy',
    { compliancePolicyId },
    'tenant { compliancePolicy { name } }',
  );
  assert.deepEqual(tenant, { compliancePolicy: { name: 'Stricter' } });
});

test('devices: what one reports is read back, with verdict, mail, alert and audit', async () => {
  const { deviceId, deviceToken } = world;
  assert.equal((await syncDevice(stage, deviceToken, { checkInId: 'd1' })).status, 200);
  // Waits for everything that came before it.
  await call('renameDevice', { deviceId, name: 'Ann’s phone' });
  const { devices } = await acme.client.query(`{ devices(filter: { search: "ann" }) { nodes {
    id name platform ownership userEmail status inventory { osVersion easDeviceId rooted model } group { name }
    complianceStatus violations { rule severity why actions } mailAccess mailVerdict mailReason appCount
    apps { nodes { appId name version } } alerts { nodes { rule closedAt device { id } } }
    audit(first: 100) { nodes { type actor { kind } data } } pushProvider openTaskCount
  } } }`);
  const [device, ...rest] = devices.nodes;
  assert.deepEqual(rest, []);
  assert.equal(device.userEmail, 'ann@acme.example');
  assert.deepEqual(device.inventory, { osVersion: '15', easDeviceId: 'EAS1', rooted: false, model: null });
  assert.equal(device.complianceStatus, 'NON_COMPLIANT');
  assert.deepEqual(device.violations[0].rule, 'MINIMUM_OS_VERSION');
  assert.equal(device.mailVerdict, 'DENY');
  assert.equal(device.mailReason, device.violations[0].why);
  assert.deepEqual(device.apps.nodes, [{ appId: 'com.mail', name: 'Mail', version: '1.0' }]);
  assert.deepEqual(device.alerts.nodes, [
    { rule: 'MINIMUM_OS_VERSION', closedAt: null, device: { id: deviceId } },
  ]);
  const types = device.audit.nodes.map(({ type }: Json) => type);
  for (const type of ['DeviceEnrolled', 'DeviceCheckedIn', 'ComplianceVerdictReached', 'DeviceRenamed'])
    assert.ok(types.includes(type), type);
  assert.ok(!JSON.stringify(device.audit).includes('tokenHash'));
  const { alerts, openAlertCount, deviceCounts } = await acme.client.query(
    '{ alerts(open: true) { nodes { deviceId } } openAlertCount deviceCounts { total enrolled registered nonCompliant mailDenied android macos } }',
  );
  assert.deepEqual([alerts.nodes, openAlertCount], [[{ deviceId }], 1]);
  assert.deepEqual(deviceCounts, {
    total: 2,
    enrolled: 1,
    registered: 1,
    nonCompliant: 1,
    mailDenied: 1,
    android: 1,
    macos: 1,
  });
  const allowed = await call(
    'setMailAccess',
    { deviceId, access: 'ALLOW' },
    'device { mailAccess mailVerdict }',
  );
  assert.deepEqual(allowed, { mailAccess: 'ALLOW', mailVerdict: 'ALLOW' });
  const back = await call('setMailAccess', { deviceId, access: 'AUTO' }, 'device { mailVerdict }');
  assert.deepEqual(back, { mailVerdict: 'DENY' });
});

test('devices: joining a group evaluates the device under the group’s policy', async () => {
  const { deviceId, groupId } = world;
  const created = await call(
    'createCompliancePolicy',
    { name: 'Lenient', settings: { android: [{ rule: 'managed', parameters: {}, actions: [] }] } },
    'compliancePolicy { id }',
  );
  await call('assignGroupCompliancePolicy', { groupId, compliancePolicyId: created.id });
  const out = await call('joinGroup', { deviceId }, 'device { group { id } complianceStatus }');
  assert.deepEqual(out, { group: null, complianceStatus: 'NON_COMPLIANT' });
  const joined = await call(
    'joinGroup',
    { deviceId, groupId },
    'device { group { id } complianceStatus mailVerdict }',
  );
  assert.deepEqual(joined, { group: { id: groupId }, complianceStatus: 'COMPLIANT', mailVerdict: 'ALLOW' });
  const { devices } = await acme.client.query(
    'query($g: ID!) { devices(filter: { groupId: $g, status: ENROLLED, platform: ANDROID, complianceStatus: COMPLIANT }) { nodes { id } } }',
    { g: groupId },
  );
  assert.deepEqual(devices.nodes, [{ id: deviceId }]);
  const { devices: loose } = await acme.client.query(
    '{ devices(filter: { ungrouped: true }) { nodes { name } } }',
  );
  assert.deepEqual(loose.nodes, [{ name: 'Mac' }]);
});

test('tasks: queued, seen, cancelled once; refused where they do not fit', async () => {
  const { deviceId, taskId } = world;
  const { taskTypes } = await acme.client.query(
    '{ taskTypes { type title platforms excludes endsEnrolment parametersSchema } }',
  );
  assert.equal(taskTypes.length, 9);
  const cancelled = await call(
    'cancelTask',
    { deviceId, taskId },
    'device { tasks { nodes { id state message } } }',
  );
  assert.deepEqual(cancelled.tasks.nodes, [
    { id: taskId, state: 'CANCELLED', message: 'cancelled by an administrator' },
  ]);
  const again = await call('cancelTask', { deviceId, taskId }, 'position');
  assert.equal(again.position, null, 'a repetition changes nothing');
  const queue = (task: object) => call('queueTask', { deviceId, task });
  assert.deepEqual(refusal(await queue({ type: 'MESSAGE', parameters: {} })), [
    'Fault',
    'invalid-input',
    'task.parameters.text',
  ]);
  assert.deepEqual(refusal(await queue({ type: 'MESSAGE', parameters: { text: 'a\u0007b' } })), [
    'Fault',
    'invalid-input',
    'task.parameters.text',
  ]);
});

test('task bundles: revised, transferred, retired, and never with tasks that exclude each other', async () => {
  const { taskBundleId, deviceId, transferId } = world;
  const refresh = [{ type: 'REFRESH', parameters: {} }];
  const fields =
    'taskBundle { name status version tasks { type parameters } transfers { nodes { id version } } }';
  const revised = await call('reviseTaskBundle', { taskBundleId, tasks: refresh }, fields);
  assert.deepEqual(revised, {
    name: 'Lost',
    status: 'ACTIVE',
    version: 2,
    tasks: [{ type: 'REFRESH', parameters: {} }],
    transfers: { nodes: [{ id: transferId, version: 1 }] },
  });
  const clash = await call('reviseTaskBundle', {
    taskBundleId,
    tasks: [
      { type: 'WIPE', parameters: {} },
      { type: 'UNENROL', parameters: {} },
    ],
  });
  assert.deepEqual(refusal(clash), ['Refusal', 'bundle-conflict', 'tasks']);
  const sent = await call(
    'transferTaskBundle',
    { taskBundleId, deviceId },
    'transfer { version deviceId groupId actor { id } counts { devices queued } tasks { nodes { id } } }',
  );
  assert.deepEqual(
    { ...sent, counts: null, tasks: null },
    { version: 2, deviceId, groupId: null, actor: { id: acme.accountId }, counts: null, tasks: null },
  );
  for (const [target, field] of [
    [{}, 'deviceId'],
    [{ deviceId, groupId: world.groupId }, 'groupId'],
  ] as const)
    assert.deepEqual(refusal(await call('transferTaskBundle', { taskBundleId, ...target })), [
      'Fault',
      'invalid-input',
      field,
    ]);
  assert.equal((await call('renameTaskBundle', { taskBundleId, name: 'Refresh' }, fields)).name, 'Refresh');
  assert.equal((await call('retireTaskBundle', { taskBundleId }, fields)).status, 'RETIRED');
  assert.deepEqual(refusal(await call('transferTaskBundle', { taskBundleId, deviceId })), [
    'Refusal',
    'bundle-retired',
    'taskBundleId',
  ]);
});

test('enrolments: used ones stay used, open ones can be revoked', async () => {
  const { enrolmentId, deviceId } = world;
  const used = await acme.client.query(
    'query($id: ID!) { node(id: $id) { ... on Enrolment { status userEmail device { id } } } }',
    { id: enrolmentId },
  );
  assert.deepEqual(used.node, { status: 'USED', userEmail: 'ann@acme.example', device: { id: deviceId } });
  assert.deepEqual(refusal(await call('revokeEnrolment', { enrolmentId })), [
    'Refusal',
    'enrolment-used',
    null,
  ]);
  const { enrolments } = await acme.client.query('{ enrolments { nodes { id } } }');
  assert.equal(enrolments.nodes.length, 1);
  const created = await acme.client.mutate(
    'createEnrolment',
    {},
    'CreateEnrolmentPayload',
    'code expiresAt enrolment { id status }',
  );
  assert.match(created.code, /^[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/);
  const revoked = await call(
    'revokeEnrolment',
    { enrolmentId: created.enrolment.id },
    'enrolment { status }',
  );
  assert.equal(revoked.status, 'REVOKED');
  assert.deepEqual(refusal(await call('createEnrolment', { deviceId })), [
    'Refusal',
    'device-already-enrolled',
    'deviceId',
  ]);
  const stored = await acme.client.query('{ audit(first: 100) { nodes { data } } }');
  assert.ok(!JSON.stringify(stored).includes(created.code));
});

test('unenrolling ends a device at once', async () => {
  const { deviceId, deviceToken } = world;
  const ended = await call('unenrolDevice', { deviceId }, 'device { status mailVerdict openTaskCount }');
  assert.deepEqual(ended, { status: 'UNENROLLED', mailVerdict: 'DENY', openTaskCount: 0 });
  assert.ok((await syncDevice(stage, deviceToken, { checkInId: 'late' })).status >= 400);
});

test('the audit trail is filtered and paged', async () => {
  const all: Json[] = [];
  for (let after: string | null = null, more = true; more; ) {
    const { audit }: Json = await acme.client.query(
      'query($after: String) { audit(first: 7, after: $after) { nodes { position at type actor { kind } } pageInfo { hasNextPage endCursor } } }',
      { after },
    );
    all.push(...audit.nodes);
    after = audit.pageInfo.endCursor;
    more = audit.pageInfo.hasNextPage;
  }
  assert.ok(all.length > 30);
  assert.equal(new Set(all.map(({ position }) => position)).size, all.length);
  const { audit } = await acme.client.query(
    'query($id: String!) { audit(first: 100, type: "DeviceEnrolled", entityId: $id) { nodes { type entityId actor { kind } } } }',
    { id: world.deviceId },
  );
  assert.deepEqual(audit.nodes, [
    { type: 'DeviceEnrolled', entityId: world.deviceId, actor: { kind: 'DEVICE' } },
  ]);
  const foreign = await acme.client.raw('{ devices(after: "nonsense") { nodes { id } } }');
  assert.deepEqual(
    [foreign.errors[0]?.extensions.code, foreign.errors[0]?.extensions.field],
    ['invalid-input', 'after'],
  );
});

test('dead jobs are shown to operators, run again and forgotten', async () => {
  const queue = stage.deps.queues.queue('wake-device');
  const worker = stage.deps.queues.worker('wake-device', async () => {
    throw new Error('no push today');
  });
  const events = stage.deps.queues.events('wake-device');
  await events.waitUntilReady();
  const failed = new Promise<void>((resolve) => events.once('failed', () => resolve()));
  await queue.add('wake-device', { secret: 'inside' }, { jobId: 'job-1', attempts: 1 });
  await failed;
  await worker.close();
  const read = '{ deadJobCount deadJobs { queue jobId name attempts reason failedAt } }';
  const { deadJobs, deadJobCount } = await stage.operator.query(read);
  assert.deepEqual([deadJobCount, deadJobs.length], [1, 1]);
  assert.deepEqual(
    [deadJobs[0].queue, deadJobs[0].jobId, deadJobs[0].reason],
    ['WAKE_DEVICE', 'job-1', 'no push today'],
  );
  const act = (name: string) =>
    stage.operator.mutate(name, { queue: 'WAKE_DEVICE', jobId: 'job-1' }, 'DeadJobPayload', 'jobId');
  assert.equal((await act('retryDeadJob')).jobId, 'job-1');
  assert.equal((await stage.operator.query(read)).deadJobCount, 0);
  assert.deepEqual(refusal(await act('discardDeadJob')), ['Fault', 'not-found', 'jobId']);
});

test('a mutation whose effect cannot be read in time says so, and is stored for good', async () => {
  await stage.stopProjecting();
  const made = await acme.client.mutate(
    'createGroup',
    { name: 'Later' },
    'DeviceGroupPayload',
    'pending position group { id }',
  );
  assert.equal(made.pending, true);
  assert.equal(made.group, null);
  const last = await stage.deps.store.lastPosition();
  assert.equal(made.position, last.toString());
});
