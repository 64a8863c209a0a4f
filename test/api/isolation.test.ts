/**
 * Two tenants side by side: another tenant's ids are missing in exactly the way of ids that never were.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { getNamedType, isInputObjectType } from 'graphql';
import { schema } from '../../api/graphql/schema.ts';
import { newId, newUuid } from '../../platform/new-id.ts';
import { type ApiStage, openStage, type TenantStage } from './stage.ts';
import { makeWorld, passcode, rules, type World } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let world: World;
let own: World;

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  world = await makeWorld(stage, acme);
  own = await makeWorld(stage, other);
});
after(() => stage.stop());

/** Ids of every kind that were never given to anything. */
const unknown = (): World => ({
  groupId: newId('grp'),
  policyId: newId('pol'),
  compliancePolicyId: newId('cmp'),
  taskBundleId: newId('bdl'),
  transferId: newId('trf'),
  deviceId: newId('dev'),
  deviceToken: '',
  taskId: newId('tsk'),
  enrolmentId: newId('enr'),
  proxyId: newId('prx'),
  proxyIdentity: { certificate: '', key: '' },
  accountId: newId('acc'),
  sessionId: newUuid(),
  roleId: newId('rol'),
  apiKeyId: newId('key'),
  apiKeyToken: '',
  approvalId: newId('apr'),
  userId: newId('usr'),
  userGroupId: newId('ugr'),
  importId: newId('imp'),
  handoutId: newId('hnd'),
  sightingId: newId('sgt'),
});

const node = 'query($id: ID!) { node(id: $id) { __typename id } }';
const ids = (all: World) => [
  all.groupId,
  all.policyId,
  all.compliancePolicyId,
  all.taskBundleId,
  all.transferId,
  all.deviceId,
  all.taskId,
  all.enrolmentId,
  all.proxyId,
  all.accountId,
  all.roleId,
  all.apiKeyId,
  all.approvalId,
  all.userId,
  all.userGroupId,
  all.importId,
  all.handoutId,
  all.sightingId,
];

test('a node is found by its own tenant alone', async () => {
  for (const id of [...ids(world), acme.tenantId]) {
    const { node: found } = await acme.client.query(node, { id });
    assert.equal(found?.id, id);
    assert.deepEqual(await other.client.query(node, { id }), { node: null });
  }
  const nodes = 'query($ids: [ID!]!) { nodes(ids: $ids) { id } }';
  const mixed = [world.deviceId, own.deviceId, newId('dev'), 'nonsense', ''];
  assert.deepEqual(await other.client.query(nodes, { ids: mixed }), {
    nodes: [null, { id: own.deviceId }, null, null, null],
  });
});

const nobodysPasskey = `pky${'0'.repeat(26)}`;

/** Every mutation that names something, with ids from `of` and, where it names two things, one of `mine`. */
const calls = (
  of: World,
  mine: World,
): readonly (readonly [name: string, input: object, field: string])[] => [
  ['renameGroup', { groupId: of.groupId, name: 'X' }, 'groupId'],
  [
    'assignGroupCompliancePolicy',
    { groupId: of.groupId, compliancePolicyId: mine.compliancePolicyId },
    'groupId',
  ],
  [
    'assignGroupCompliancePolicy',
    { groupId: mine.groupId, compliancePolicyId: of.compliancePolicyId },
    'compliancePolicyId',
  ],
  ['renamePolicy', { policyId: of.policyId, name: 'X' }, 'policyId'],
  ['revisePolicy', { policyId: of.policyId, settings: passcode }, 'policyId'],
  ['retirePolicy', { policyId: of.policyId }, 'policyId'],
  ['renameCompliancePolicy', { compliancePolicyId: of.compliancePolicyId, name: 'X' }, 'compliancePolicyId'],
  [
    'reviseCompliancePolicy',
    { compliancePolicyId: of.compliancePolicyId, settings: rules },
    'compliancePolicyId',
  ],
  ['retireCompliancePolicy', { compliancePolicyId: of.compliancePolicyId }, 'compliancePolicyId'],
  ['assignTenantCompliancePolicy', { compliancePolicyId: of.compliancePolicyId }, 'compliancePolicyId'],
  [
    'createCompliancePolicy',
    {
      name: 'X',
      settings: {
        ios: [
          {
            rule: 'managed',
            parameters: {},
            actions: [{ action: 'transfer-task-bundle', taskBundleId: of.taskBundleId }],
          },
        ],
      },
    },
    'settings.ios.0.actions',
  ],
  ['renameTaskBundle', { taskBundleId: of.taskBundleId, name: 'X' }, 'taskBundleId'],
  [
    'reviseTaskBundle',
    { taskBundleId: of.taskBundleId, tasks: [{ type: 'REFRESH', parameters: {} }] },
    'taskBundleId',
  ],
  ['retireTaskBundle', { taskBundleId: of.taskBundleId }, 'taskBundleId'],
  ['transferTaskBundle', { taskBundleId: of.taskBundleId, deviceId: mine.deviceId }, 'taskBundleId'],
  ['transferTaskBundle', { taskBundleId: mine.taskBundleId, deviceId: of.deviceId }, 'deviceId'],
  ['transferTaskBundle', { taskBundleId: mine.taskBundleId, groupId: of.groupId }, 'groupId'],
  [
    'createTaskBundle',
    {
      name: 'X',
      platforms: ['IOS'],
      tasks: [{ type: 'ASSIGN_POLICY', parameters: { policyId: of.policyId } }],
    },
    'tasks',
  ],
  ['registerDevice', { name: 'X', platform: 'IOS', groupId: of.groupId }, 'groupId'],
  ['renameDevice', { deviceId: of.deviceId, name: 'X' }, 'deviceId'],
  ['assignPolicy', { deviceId: of.deviceId, policyId: mine.policyId }, 'deviceId'],
  ['assignPolicy', { deviceId: mine.deviceId, policyId: of.policyId }, 'policyId'],
  ['unassignPolicy', { deviceId: of.deviceId, policyId: mine.policyId }, 'deviceId'],
  ['setMailAccess', { deviceId: of.deviceId, access: 'DENY' }, 'deviceId'],
  ['joinGroup', { deviceId: of.deviceId, groupId: mine.groupId }, 'deviceId'],
  ['joinGroup', { deviceId: mine.deviceId, groupId: of.groupId }, 'groupId'],
  ['queueTask', { deviceId: of.deviceId, task: { type: 'REFRESH', parameters: {} } }, 'deviceId'],
  [
    'queueTask',
    {
      deviceId: mine.deviceId,
      task: { type: 'ASSIGN_POLICY', parameters: { policyId: of.policyId } },
    },
    'tasks',
  ],
  ['cancelTask', { deviceId: of.deviceId, taskId: of.taskId }, 'deviceId'],
  ['cancelTask', { deviceId: mine.deviceId, taskId: of.taskId }, 'taskId'],
  ['unenrolDevice', { deviceId: of.deviceId }, 'deviceId'],
  ['createEnrolment', { deviceId: of.deviceId }, 'deviceId'],
  ['createEnrolment', { groupId: of.groupId }, 'groupId'],
  ['revokeEnrolment', { enrolmentId: of.enrolmentId }, 'enrolmentId'],
  ['renameProxy', { proxyId: of.proxyId, name: 'Theirs' }, 'proxyId'],
  ['revokeProxy', { proxyId: of.proxyId }, 'proxyId'],
  ['bindMailDevice', { sightingId: of.sightingId, deviceId: of.deviceId }, 'sightingId'],
  ['dismissMailSighting', { sightingId: of.sightingId }, 'sightingId'],
  // An account's own: another's is tried in sign-in/passkey.test.ts.
  ['renamePasskey', { passkeyId: nobodysPasskey, name: 'X' }, 'passkeyId'],
  ['removePasskey', { passkeyId: nobodysPasskey, currentPassword: 'x' }, 'passkeyId'],
  ['disableAccount', { accountId: of.accountId }, 'accountId'],
  ['enableAccount', { accountId: of.accountId }, 'accountId'],
  ['resetAccountPassword', { accountId: of.accountId }, 'accountId'],
  ['resetSecondFactor', { accountId: of.accountId }, 'accountId'],
  ['bindAccountIdentity', { accountId: of.accountId, subject: 'x' }, 'accountId'],
  ['unbindAccountIdentity', { accountId: of.accountId }, 'accountId'],
  ['sendPasswordLink', { accountId: of.accountId }, 'accountId'],
  ['endAccountSessions', { accountId: of.accountId }, 'accountId'],
  ['endAccountSessions', { accountId: mine.accountId, sessionId: of.sessionId }, 'sessionId'],
  ['endSession', { sessionId: of.sessionId }, 'sessionId'],
  ['changeAccountRole', { accountId: of.accountId, role: 'helpdesk' }, 'accountId'],
  ['changeAccountRole', { accountId: mine.accountId, role: of.roleId }, 'role'],
  ['createAccount', { email: 'x@x.example', name: 'X', role: of.roleId }, 'role'],
  ['renameRole', { roleId: of.roleId, name: 'X', description: 'X' }, 'roleId'],
  ['changeRolePermissions', { roleId: of.roleId, permissions: ['DEVICE_READ'] }, 'roleId'],
  ['retireRole', { roleId: of.roleId }, 'roleId'],
  ['revokeApiKey', { apiKeyId: of.apiKeyId }, 'apiKeyId'],
  ['approve', { approvalId: of.approvalId }, 'approvalId'],
  ['refuseApproval', { approvalId: of.approvalId, reason: 'No' }, 'approvalId'],
  ['describeGroup', { groupId: of.groupId, description: 'X' }, 'groupId'],
  ['deleteGroup', { groupId: of.groupId }, 'groupId'],
  ['moveDevicesToGroup', { groupId: of.groupId, deviceIds: [mine.deviceId] }, 'groupId'],
  ['moveDevicesToGroup', { groupId: mine.groupId, deviceIds: [of.deviceId] }, 'deviceIds'],
  ['changeUser', { userId: of.userId, name: 'X' }, 'userId'],
  ['disableUser', { userId: of.userId }, 'userId'],
  ['enableUser', { userId: of.userId }, 'userId'],
  ['bindUserIdentity', { userId: of.userId, subject: 'x' }, 'userId'],
  ['unbindUserIdentity', { userId: of.userId }, 'userId'],
  ['removeUser', { userId: of.userId, force: true }, 'userId'],
  ['assignDeviceUser', { deviceId: of.deviceId, userId: mine.userId }, 'deviceId'],
  ['assignDeviceUser', { deviceId: mine.deviceId, userId: of.userId }, 'userId'],
  ['changeUserGroup', { userGroupId: of.userGroupId, name: 'X' }, 'userGroupId'],
  ['addUsersToGroup', { userGroupId: of.userGroupId, userIds: [mine.userId] }, 'userGroupId'],
  ['addUsersToGroup', { userGroupId: mine.userGroupId, userIds: [of.userId] }, 'userIds'],
  ['removeUsersFromGroup', { userGroupId: of.userGroupId, userIds: [mine.userId] }, 'userGroupId'],
  ['deleteUserGroup', { userGroupId: of.userGroupId }, 'userGroupId'],
  ['importUsers', { previewId: of.importId }, 'previewId'],
  ['importDevices', { previewId: of.importId }, 'previewId'],
  ['handOutEnrolments', { userGroupId: of.userGroupId }, 'userGroupId'],
  ['handOutEnrolments', { userGroupId: mine.userGroupId, groupId: of.groupId }, 'groupId'],
  ['transferTaskBundle', { taskBundleId: mine.taskBundleId, userGroupId: of.userGroupId }, 'userGroupId'],
];

test('every mutation that names something is in the table', () => {
  const mutations = Object.values(schema.getMutationType()?.getFields() ?? {});
  const naming = mutations.filter(({ args, extensions }) => {
    if (String(extensions['access']).startsWith('operator.')) return false;
    const input = args[0] && getNamedType(args[0].type);
    return (
      isInputObjectType(input) &&
      Object.keys(input.getFields()).some((name) => name.endsWith('Id') && name !== 'externalId')
    );
  });
  const tabled = new Set(calls(world, own).map(([name]) => name));
  assert.ok(naming.length > 25);
  assert.deepEqual(
    naming.map(({ name }) => name).filter((name) => !tabled.has(name)),
    [],
  );
});

test('what another tenant has is refused as missing, with the field, and stays as it was', async () => {
  const before = await acme.client.query('{ audit(first: 1) { nodes { position } } }');
  for (const [index, [name, input, field]] of calls(world, own).entries()) {
    const foreign = await other.client.mutate(name, input, 'Effect', 'pending');
    const [, missingInput] = calls(unknown(), own)[index] as readonly [string, object, string];
    const missing = await other.client.mutate(name, missingInput, 'Effect', 'pending');
    assert.deepEqual(foreign, missing, `${name} ${JSON.stringify(input)}`);
    assert.equal(foreign.__typename, 'Refusal', `${name} ${JSON.stringify(foreign)}`);
    assert.match(foreign.code, /-missing$/);
    assert.equal(foreign.field, field, name);
  }
  assert.deepEqual(await acme.client.query('{ audit(first: 1) { nodes { position } } }'), before);
});

test('lists hold what the own tenant has, and nothing else', async () => {
  const lists = `{
    groups { nodes { id } } policies { nodes { id } } compliancePolicies { nodes { id } }
    taskBundles { nodes { id } } transfers { nodes { id } } devices { nodes { id } }
    enrolments { nodes { id } } proxies { nodes { id } } accounts { nodes { id } }
    audit(first: 100) { nodes { entityId } } apps { nodes { appId deviceCount } } deviceCounts { total enrolled }
    tenant { id slug } users { nodes { id } } userGroups { nodes { id members { nodes { id } } } }
    imports { nodes { id } } handouts { nodes { id } }
  }`;
  const mine = await acme.client.query(lists);
  const theirs = await other.client.query(lists);
  for (const [list, id] of [
    ['groups', world.groupId],
    ['policies', world.policyId],
    ['taskBundles', world.taskBundleId],
    ['transfers', world.transferId],
    ['devices', world.deviceId],
    ['enrolments', world.enrolmentId],
    ['proxies', world.proxyId],
    ['users', world.userId],
    ['imports', world.importId],
    ['handouts', world.handoutId],
  ] as const)
    assert.deepEqual(mine[list].nodes, [{ id }], list);
  assert.deepEqual(mine.deviceCounts, { total: 1, enrolled: 1 });
  assert.deepEqual(mine.apps.nodes, [{ appId: 'com.mail', deviceCount: 1 }]);
  assert.equal(mine.tenant.id, acme.tenantId);
  const seen = JSON.stringify(theirs);
  for (const id of [...ids(world), acme.tenantId]) assert.ok(!seen.includes(id), id);
});

test('ids that are none are refused as input, naming the field', async () => {
  for (const groupId of ['', 'x', world.deviceId, `${world.groupId} `, 'grp\u0000', "' or 1=1", '{{7*7}}']) {
    const refused = await acme.client.mutate('renameGroup', { groupId, name: 'X' }, 'Effect', 'pending');
    assert.deepEqual(
      [refused.__typename, refused.code, refused.field],
      ['Fault', 'invalid-input', 'groupId'],
    );
  }
});
