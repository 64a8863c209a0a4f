/**
 * One tenant's history, told through the real write side: every read model gets something to show of it.
 * Called by the tests of projections.
 */
import assert from 'node:assert/strict';
import { accountDecider } from '../../domain/account/decide.ts';
import { apiKeyDecider } from '../../domain/api-key/decide.ts';
import type { EffectiveCompliancePolicy } from '../../domain/compliance/evaluate.ts';
import type { ComplianceSettings } from '../../domain/compliance/settings.ts';
import { compliancePolicyDecider } from '../../domain/compliance-policy/decide.ts';
import type { Decider } from '../../domain/decider.ts';
import { deploymentDecider } from '../../domain/deployment/decide.ts';
import type { CheckIn, DeviceCommand, EnrolDevice } from '../../domain/device/commands.ts';
import { deviceDecider } from '../../domain/device/decide.ts';
import { directoryDecider } from '../../domain/directory/decide.ts';
import type { DirectorySettings } from '../../domain/directory/directory.ts';
import { type EnrolmentCommand, enrolmentDecider } from '../../domain/enrolment/decide.ts';
import { exchangeDecider } from '../../domain/exchange/decide.ts';
import type { ExchangeSettings } from '../../domain/exchange/exchange.ts';
import { groupDecider } from '../../domain/group/decide.ts';
import { handoutDecider } from '../../domain/handout/decide.ts';
import type { DeviceId, TenantId } from '../../domain/ids.ts';
import { importDecider } from '../../domain/import/decide.ts';
import { mailSightingDecider } from '../../domain/mail-sighting/decide.ts';
import { policyDecider } from '../../domain/policy/decide.ts';
import { proxyDecider } from '../../domain/proxy/decide.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { roleDecider } from '../../domain/role/decide.ts';
import { safeguardDecider } from '../../domain/safeguard/decide.ts';
import { seatDecider } from '../../domain/seat/decide.ts';
import { taskBundleDecider } from '../../domain/task-bundle/decide.ts';
import { templateContent } from '../../domain/template/content.ts';
import { templateDecider } from '../../domain/template/decide.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { userDecider } from '../../domain/user/decide.ts';
import { userGroupDecider } from '../../domain/user-group/decide.ts';
import { mailSightingIdOf } from '../../platform/bind-mail-device.ts';
import type { Deps } from '../../platform/deps.ts';
import { hashSecret, newId, newSecret, newUuid } from '../../platform/new-id.ts';

type AnyEvent = { readonly type: string; readonly data: unknown };

/** Sends commands as one tenant; each must be accepted. `position` is where the last append landed. */
export const speaker = (deps: Deps, tenantId: TenantId) => {
  let position = -1n;
  return {
    position: () => position,
    say: async <State, Command, Event extends AnyEvent>(
      decider: Decider<State, Command, Event>,
      id: string,
      command: Command | ((now: string) => Command),
    ): Promise<void> => {
      const handled = await deps.handler.handle(decider, { tenantId, id }, command, {
        actor: { kind: 'system', id: 'story' },
        commandId: newUuid(),
      });
      if (isRefusal(handled)) assert.fail(JSON.stringify(handled));
      position = handled.position ?? position;
    },
  };
};

const enrolling = (
  changes: Partial<EnrolDevice> & Pick<EnrolDevice, 'enrolmentId'>,
): ((now: string) => DeviceCommand) => {
  return (now) => ({
    type: 'EnrolDevice',
    now,
    requestId: 'request-1',
    tokenHash: hashSecret(newSecret()),
    name: 'Pixel',
    platform: 'android',
    ownership: 'corporate',
    userEmail: 'ada@example.com',
    groupId: null,
    compliance: null,
    ...changes,
  });
};

/** A check-in as a command; `changes` says what it reports. */
export const checkingIn =
  (changes: Partial<CheckIn> = {}): ((now: string) => DeviceCommand) =>
  (now) => ({ type: 'CheckIn', now, checkInId: newUuid(), compliance: null, ...changes });

const settings: ComplianceSettings = {
  android: [
    {
      rule: 'minimum-os-version',
      parameters: { version: '14' },
      actions: [{ action: 'deny-mail' }, { action: 'create-alert' }],
    },
    { rule: 'managed', parameters: {}, actions: [{ action: 'create-alert' }] },
    { rule: 'maximum-sync-gap', parameters: { minutes: 60 }, actions: [{ action: 'create-alert' }] },
  ],
};

const directory: DirectorySettings = {
  urls: ['ldaps://ldap.example.com'],
  startTls: false,
  unsafeWithoutTls: false,
  caCertificate: null,
  certificateSha256: null,
  baseDns: [],
  bindDn: null,
  userFilter: '(objectClass=person)',
  loginAttributes: ['uid'],
  attributes: {
    email: 'mail',
    name: 'cn',
    guid: 'entryUUID',
    externalId: null,
    department: null,
    phone: null,
  },
  syncIntervalHours: 24,
};

const exchange: ExchangeSettings = {
  kind: 'on-premises',
  host: 'mail.example.com',
  account: 'muster',
  ewsFollowsMail: false,
  caCertificate: null,
  certificateSha256: null,
  allowAnyCertificate: false,
  containerApps: null,
  barredApps: [],
  bindUnknown: false,
  dryRun: false,
  intervalMinutes: 60,
};

type Say = ReturnType<typeof speaker>['say'];

/** Users, groups of them, an import, a handout and a directory. */
const tellPeople = async (say: Say, tenantId: TenantId, name: string) => {
  const details = { externalId: null, department: null, phone: null };
  const users = { ada: newId('usr'), bob: newId('usr'), eve: newId('usr') };
  const ldap = { kind: 'ldap' as const, dn: `uid=bob,o=${name}`, guid: `guid-of-bob-at-${name}` };
  for (const [who, source] of [
    ['ada', { kind: 'internal' as const }],
    ['bob', ldap],
    ['eve', { kind: 'internal' as const }],
  ] as const)
    await say(userDecider, users[who], {
      type: 'CreateUser',
      email: `${who}@example.com`,
      name: `${who} of ${name}`,
      source,
      ...details,
    });
  await say(userDecider, users.ada, {
    type: 'ChangeUserDetails',
    changes: { externalId: 'E-17', department: 'Sales' },
  });
  await say(userDecider, users.bob, { type: 'DisableUser', reason: 'left' });
  await say(userDecider, users.eve, { type: 'RemoveUser', devices: 0 });

  const userGroupId = newId('ugr');
  await say(userGroupDecider, userGroupId, { type: 'CreateUserGroup', name: 'Staff', description: 'All' });
  const all = Object.values(users);
  await say(userGroupDecider, userGroupId, { type: 'AddUsersToGroup', userIds: all });
  await say(userGroupDecider, userGroupId, { type: 'RemoveUsersFromGroup', userIds: [users.bob] });
  await say(userGroupDecider, userGroupId, { type: 'AddUsersToGroup', userIds: [users.bob] });
  const deletedUserGroupId = newId('ugr');
  const gone = { type: 'CreateUserGroup' as const, name: 'Gone', description: null };
  await say(userGroupDecider, deletedUserGroupId, gone);
  await say(userGroupDecider, deletedUserGroupId, { type: 'AddUsersToGroup', userIds: [users.ada] });
  await say(userGroupDecider, deletedUserGroupId, { type: 'DeleteUserGroup' });

  const importId = newId('imp');
  const row = { entityId: null, column: null, code: null, detail: null };
  await say(importDecider, importId, {
    type: 'RequestImport',
    kind: 'users',
    mode: 'skip',
    fileName: 'people.csv',
    digest: hashSecret(name),
    rows: 2,
  });
  await say(importDecider, importId, {
    type: 'RecordImportRows',
    from: 0,
    results: [
      { ...row, row: 2, outcome: 'created', entityId: users.ada },
      { ...row, row: 3, outcome: 'failed', column: 'email', code: 'invalid-input', detail: 'is empty' },
    ],
  });
  await say(importDecider, importId, { type: 'FinishImport' });

  const handoutId = newId('hnd');
  await say(handoutDecider, handoutId, {
    type: 'RequestHandout',
    userGroupId,
    platform: null,
    ownership: 'corporate',
    groupId: null,
    expiresAt: '2100-01-01T00:00:00.000Z',
  });
  const codes = [{ userId: users.ada, email: 'ada@example.com', enrolmentId: newId('enr') }];
  await say(handoutDecider, handoutId, { type: 'RecordHandoutCodes', from: 0, codes });

  await say(directoryDecider, tenantId, {
    type: 'ConfigureDirectory',
    settings: { ...directory, baseDns: [`o=${name}`] },
  });
  await say(exchangeDecider, tenantId, {
    type: 'ConfigureExchange',
    name: 'main',
    settings: { ...exchange, account: `${name}\\muster` },
  });
  await say(exchangeDecider, tenantId, { type: 'ChangeExchangeSecret', name: 'main' });
  const seen = {
    easDeviceId: 'SEEN1',
    user: `ann@${name}`,
    deviceType: null,
    userAgent: null,
    address: null,
  };
  const sightingId = mailSightingIdOf(tenantId, seen);
  await say(mailSightingDecider, sightingId, {
    type: 'SightMailDevice',
    ...seen,
    at: '2026-11-25T12:00:00.000Z',
  });
  return { users, userGroupId, deletedUserGroupId, importId, handoutId };
};

/** Roles, API keys, approvals and seats. */
const tellRights = async (say: Say, tenantId: TenantId, actorId: string) => {
  const roleId = newId('rol');
  await say(roleDecider, roleId, {
    type: 'CreateRole',
    name: 'Night shift',
    description: 'Locks at night.',
    permissions: ['device.act'],
  });
  await say(roleDecider, roleId, { type: 'RetireRole', holders: 0 });
  const apiKeyId = newId('key');
  await say(apiKeyDecider, apiKeyId, (now) => ({
    type: 'CreateApiKey' as const,
    name: 'Reports',
    permissions: ['device.read'] as const,
    expiresAt: '2100-01-01T00:00:00.000Z',
    tokenHash: hashSecret(newSecret()),
    now,
  }));
  await say(apiKeyDecider, apiKeyId, { type: 'RevokeApiKey' });
  const approvalId = newId('apr');
  await say(safeguardDecider, tenantId, (now) => ({
    type: 'AskDangerousAct' as const,
    approvalId,
    actorId,
    devices: 500,
    operation: { kind: 'set-safeguard', devicesPerHour: 500 } as const,
    now,
  }));
  const second = newId('acc');
  const reason = 'Too many.';
  await say(safeguardDecider, tenantId, { type: 'RefuseApproval', approvalId, actorId: second, reason });
  const seat = { deviceId: newId('dev'), enrolmentId: newId('enr') };
  await say(seatDecider, tenantId, (now) => ({
    type: 'TakeSeat' as const,
    now,
    userEmail: 'ada@example.com',
    allotted: 5,
    ...seat,
  }));
  return { roleId, apiKeyId, approvalId };
};

/** What a story made, by kind. */
export type Story = Awaited<ReturnType<typeof tellStory>>;

/** Tells the history of a tenant named `name`. */
export const tellStory = async (deps: Deps, name: string) => {
  const tenantId = newId('ten');
  const { say, position } = speaker(deps, tenantId);
  await say(tenantDecider, tenantId, {
    type: 'CreateTenant',
    name,
    slug: name.toLowerCase(),
    kind: 'customer',
  });

  const accountId = newId('acc');
  await say(accountDecider, accountId, {
    type: 'CreateAccount',
    email: 'admin@example.com',
    name: `Admin of ${name}`,
    role: 'administrator',
  });
  await say(accountDecider, accountId, { type: 'ChangeAccountPassword', mustChange: true });

  const compliancePolicyId = newId('cmp');
  await say(compliancePolicyDecider, compliancePolicyId, {
    type: 'CreateCompliancePolicy',
    name: 'Baseline',
    settings: {},
  });
  await say(compliancePolicyDecider, compliancePolicyId, { type: 'ReviseCompliancePolicy', settings });
  await say(tenantDecider, tenantId, { type: 'AssignTenantCompliancePolicy', compliancePolicyId });
  const compliance: EffectiveCompliancePolicy = { compliancePolicyId, version: 2, settings };

  const groupId = newId('grp');
  await say(groupDecider, groupId, { type: 'CreateGroup', name: 'Sales' });
  await say(groupDecider, groupId, { type: 'RenameGroup', name: 'Field sales' });

  const people = await tellPeople(say, tenantId, name);

  const policyId = newId('pol');
  const policy = {
    name: 'Passcodes',
    policyType: 'device' as const,
    platforms: ['android' as const],
    settings: { passcode: { required: true } },
  };
  await say(policyDecider, policyId, { type: 'CreatePolicy', ...policy });
  const revised = { passcode: { required: true, minimumLength: 8 } };
  await say(policyDecider, policyId, { type: 'RevisePolicy', settings: revised });

  const proxyId = newId('prx');
  await say(proxyDecider, proxyId, {
    type: 'RegisterProxy',
    name: 'Berlin',
    certificateSha256: hashSecret(newSecret()),
  });

  const enrolmentId = newId('enr');
  const codeHash = hashSecret(newSecret());
  const good = newId('dev');
  await say(enrolmentDecider, enrolmentId, {
    type: 'CreateEnrolment',
    codeHash,
    deviceId: null,
    userEmail: 'ada@example.com',
    platform: 'android',
    ownership: 'corporate',
    groupId,
    expiresAt: '2100-01-01T00:00:00.000Z',
  });
  await say(
    enrolmentDecider,
    enrolmentId,
    (now): EnrolmentCommand => ({
      type: 'UseEnrolment',
      now,
      deviceId: good,
      platform: 'android',
      requestId: 'request-1',
    }),
  );

  const inventory = { osVersion: '15', model: 'Pixel 9', serialNumber: `SN-${name}`, easDeviceId: 'EAS1' };
  const push = { provider: 'fcm' as const, token: `push-token-of-${name}` };
  const apps = [
    { id: 'com.example.mail', name: 'Mail', version: '1.0' },
    { id: 'com.example.maps', name: 'Maps', version: '2.0' },
  ];
  await say(
    deviceDecider,
    good,
    enrolling({
      enrolmentId,
      groupId,
      inventory,
      push,
      apps: { complete: true, installed: apps },
      compliance,
    }),
  );

  const bad = newId('dev');
  await say(
    deviceDecider,
    bad,
    enrolling({
      enrolmentId: newId('enr'),
      name: 'old Nexus',
      userEmail: 'bob@example.com',
      inventory: { osVersion: '9', easDeviceId: 'EAS2' },
      apps: { complete: true, installed: apps.slice(0, 1) },
      compliance,
    }),
  );

  const gone = newId('dev');
  await say(
    deviceDecider,
    gone,
    enrolling({
      enrolmentId: newId('enr'),
      name: 'Lost',
      inventory: { osVersion: '9' },
      apps: { complete: true, installed: apps },
      compliance,
    }),
  );
  await say(deviceDecider, gone, (now): DeviceCommand => ({ type: 'UnenrolDevice', now, compliance }));

  const registered = newId('dev');
  await say(deviceDecider, registered, {
    type: 'RegisterDevice',
    name: 'Tablet',
    platform: 'ios',
    ownership: 'personal',
    userEmail: null,
    groupId: null,
    serialNumber: 'T-1',
  });

  const taskBundleId = newId('bdl');
  const transferId = newId('trf');
  const tasks = [
    { type: 'message' as const, parameters: { text: 'Hello' } },
    { type: 'lock' as const, parameters: {} },
  ];
  await say(taskBundleDecider, taskBundleId, {
    type: 'CreateTaskBundle',
    name: 'Hello and lock',
    platforms: ['android'],
    tasks,
  });
  await say(taskBundleDecider, taskBundleId, {
    type: 'TransferTaskBundle',
    transferId,
    target: { kind: 'group', groupId },
  });
  const taskIds = { [good]: [newId('tsk'), newId('tsk')], [bad]: [newId('tsk'), newId('tsk')] };
  for (const deviceId of [good, bad]) {
    await say(
      deviceDecider,
      deviceId,
      (now): DeviceCommand => ({
        type: 'QueueTasks',
        now,
        transferId,
        taskBundleId,
        policies: new Map(),
        tasks: tasks.map((task, index) => ({ ...task, taskId: taskIds[deviceId]?.[index] as never })),
      }),
    );
  }
  await say(deviceDecider, good, {
    type: 'AssignPolicy',
    policyId,
    policy: { status: 'active', ...policy, version: 2, settings: revised },
  });

  const [goodTask] = taskIds[good] as [ReturnType<typeof newId<'tsk'>>];
  const [badTask] = taskIds[bad] as [ReturnType<typeof newId<'tsk'>>];
  await say(deviceDecider, good, checkingIn({ compliance }));
  await say(
    deviceDecider,
    good,
    checkingIn({
      compliance,
      taskResults: [{ taskId: goodTask, status: 'completed' }],
      appliedPolicies: [{ policyId, version: 2 }],
      apps: {
        removed: ['com.example.maps'],
        installed: [{ id: 'com.example.mail', name: 'Mail', version: '1.1' }],
      },
    }),
  );
  await say(deviceDecider, bad, checkingIn({ compliance }));
  await say(
    deviceDecider,
    bad,
    checkingIn({ compliance, taskResults: [{ taskId: badTask, status: 'failed', message: 'no screen' }] }),
  );
  // Falls out of compliance and back into it: an alert that opens and closes.
  await say(deviceDecider, good, checkingIn({ compliance, inventory: { osVersion: '13' } }));
  await say(deviceDecider, good, checkingIn({ compliance, inventory: { osVersion: '15.1' } }));

  const templateId = newId('tpl');
  const content = templateContent.parse({ settings: { description: name } });
  const template = { name: 'Shops', description: null, content };
  await say(templateDecider, templateId, { type: 'CreateTemplate', ...template });
  const deploymentId = newId('dpl');
  await say(deploymentDecider, deploymentId, {
    type: 'StartDeployment',
    templateId,
    template: { status: 'active', version: 1, ...template },
    overwrite: false,
    tenantIds: [tenantId],
  });
  await say(deploymentDecider, deploymentId, {
    type: 'RecordDeploymentResult',
    tenantId,
    result: { outcome: 'skipped', code: 'tenant-deleted' },
  });
  const rights = await tellRights(say, tenantId, accountId);
  await say(deviceDecider, bad, { type: 'RenameDevice', name: 'Older Nexus' });

  const devices = { good, bad, gone, registered } satisfies Record<string, DeviceId>;
  return {
    name,
    tenantId,
    accountId,
    compliancePolicyId,
    compliance,
    groupId,
    policyId,
    proxyId,
    enrolmentId,
    codeHash,
    taskBundleId,
    transferId,
    taskIds,
    devices,
    ...people,
    ...rights,
    position: position(),
  };
};
