/**
 * A tenant with one of everything, made through the API alone: mutations and the device protocol.
 * Called by test/api/{nouns,isolation,feeds}.test.ts.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { TenantId } from '../../domain/ids.ts';
import { mailSightingDecider } from '../../domain/mail-sighting/decide.ts';
import { mailSightingIdOf } from '../../platform/bind-mail-device.ts';
import { createSelfSigned, type KeyPairPem } from '../../platform/pki.ts';
import type { ApiStage, Json, TenantStage } from './stage.ts';

/** Ids of what the tenant has. */
export interface World {
  readonly groupId: string;
  readonly policyId: string;
  readonly compliancePolicyId: string;
  readonly taskBundleId: string;
  readonly transferId: string;
  /** Enrolled, with one open task. */
  readonly deviceId: string;
  readonly deviceToken: string;
  readonly taskId: string;
  readonly enrolmentId: string;
  readonly proxyId: string;
  readonly proxyIdentity: KeyPairPem;
  readonly accountId: string;
  /** Of the administrator who made all this. */
  readonly sessionId: string;
  readonly roleId: string;
  readonly apiKeyId: string;
  readonly apiKeyToken: string;
  /** Of a limit that is to be raised: it waits. */
  readonly approvalId: string;
  readonly userId: string;
  readonly userGroupId: string;
  readonly importId: string;
  readonly handoutId: string;
  readonly sightingId: string;
}

export const passcode = { passcode: { required: true, minimumLength: 6 } };
export const rules = {
  android: [
    {
      rule: 'minimum-os-version',
      parameters: { version: '14' },
      actions: [{ action: 'deny-mail' }, { action: 'create-alert' }],
    },
  ],
};

/** A certificate as an instance of a proxy makes it. */
export const makeProxyIdentity = (now = new Date()): KeyPairPem =>
  createSelfSigned({ commonName: 'muster proxy test', hosts: [], usage: 'clientAuth' }, now);

/** Enrols a device over the device protocol. */
export const enrolDevice = async (
  stage: ApiStage,
  code: string,
  report: object = {},
): Promise<{ deviceId: string; deviceToken: string }> => {
  const response = await fetch(`${stage.api.url}/device/v1/enroll`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code, requestId: `enrol-${code}`, platform: 'android', name: 'Phone', ...report }),
  });
  const body = (await response.json()) as Json;
  assert.equal(response.status, 201, JSON.stringify(body));
  return body;
};

/** Checks a device in. */
export const syncDevice = async (stage: ApiStage, token: string, body: object): Promise<Json> => {
  const response = await fetch(`${stage.api.url}/device/v1/sync`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
};

/** Settings of an Exchange that nobody ever connects to. */
const exchange = {
  kind: 'on-premises',
  host: 'mail.acme.example',
  account: 'ACME\\muster',
  ewsFollowsMail: false,
  caCertificate: null,
  certificateSha256: null,
  allowAnyCertificate: false,
  containerApps: null,
  barredApps: [],
  bindUnknown: false,
  dryRun: true,
  intervalMinutes: 60,
};

/** Settings of a directory that nobody ever connects to. */
export const directory = {
  urls: ['ldaps://ldap.acme.example'],
  startTls: false,
  unsafeWithoutTls: false,
  caCertificate: null,
  certificateSha256: null,
  baseDns: ['dc=acme,dc=example'],
  bindDn: null,
  userFilter: '(objectClass=inetOrgPerson)',
  loginAttributes: ['uid', 'mail'],
  attributes: {
    email: 'mail',
    name: 'cn',
    guid: 'entryUUID',
    externalId: 'employeeNumber',
    department: 'ou',
    phone: 'telephoneNumber',
  },
  syncIntervalHours: null,
};

/** Settings of an identity provider that nobody ever signs in by. */
const identityProvider = {
  issuer: 'https://id.acme.example',
  clientId: 'muster',
  scopes: ['email'],
  caCertificate: null,
  portals: ['admin', 'self-service'],
  firstSignIn: 'verified-email',
  provisionRole: null,
  provisionUsers: false,
  trustSecondFactor: false,
  secondFactorAcr: [],
  required: false,
  passwordAccounts: [],
};

/** What a proxy reports to `POST /proxy/v1/status` that has refused nobody since its last report. */
export const proxyReport = () => {
  const time = '2026-11-25T12:00:00.000Z';
  return {
    reportId: randomUUID(),
    state: {
      version: '0.1.0',
      startedAt: time,
      position: '42',
      lagSeconds: 3,
      connected: true,
      stale: false,
      devices: 7,
      heldRequests: 2,
      denials: 5,
      certificateExpiresAt: time,
    },
    denials: [] as object[],
    others: 0,
  };
};

/** Makes one of everything. */
export const makeWorld = async (stage: ApiStage, tenant: TenantStage): Promise<World> => {
  const { client } = tenant;
  const make = async (name: string, input: object, type: string, fields: string): Promise<Json> => {
    const made = await client.mutate(name, input, type, `pending position ${fields}`);
    assert.equal(made.pending, false, JSON.stringify(made));
    assert.match(made.position, /^\d+$/);
    return made;
  };
  const { group } = await make('createGroup', { name: 'Sales' }, 'DeviceGroupPayload', 'group { id }');
  const { policy } = await make(
    'createPolicy',
    { name: 'Phones', platforms: ['ANDROID', 'IOS'], settings: passcode },
    'PolicyPayload',
    'policy { id }',
  );
  const { compliancePolicy } = await make(
    'createCompliancePolicy',
    { name: 'Strict', settings: rules },
    'CompliancePolicyPayload',
    'compliancePolicy { id }',
  );
  const { taskBundle } = await make(
    'createTaskBundle',
    { name: 'Lost', platforms: ['ANDROID'], tasks: [{ type: 'LOCK', parameters: { message: 'Lost' } }] },
    'TaskBundlePayload',
    'taskBundle { id }',
  );
  const enrolment = await make(
    'createEnrolment',
    { userEmail: 'Ann@Acme.example', platform: 'ANDROID', groupId: group.id },
    'CreateEnrolmentPayload',
    'code enrolment { id }',
  );
  const { deviceId, deviceToken } = await enrolDevice(stage, enrolment.code, {
    inventory: { osVersion: '15', easDeviceId: 'EAS1', rooted: false, screenLock: true, encrypted: true },
    apps: { complete: true, installed: [{ id: 'com.mail', name: 'Mail', version: '1.0' }] },
  });
  const queued = await make(
    'queueTask',
    { deviceId, task: { type: 'MESSAGE', parameters: { text: 'Hello' } } },
    'DevicePayload',
    'device { tasks { nodes { id } } }',
  );
  const { transfer } = await make(
    'transferTaskBundle',
    { taskBundleId: taskBundle.id, groupId: group.id },
    'TransferPayload',
    'transfer { id }',
  );
  const identity = makeProxyIdentity();
  const proxy = await make(
    'registerProxy',
    { name: 'Edge', certificatePem: identity.certificate },
    'ProxyPayload',
    'proxy { id }',
  );
  const { account } = await make(
    'createAccount',
    { email: 'second@acme.example', name: 'Second', role: 'administrator' },
    'AccountPasswordPayload',
    'account { id }',
  );
  const { sessions } = await client.query('{ sessions { sessionId } }');
  const { role } = await make(
    'createRole',
    { name: 'Night shift', description: 'Locks at night.', permissions: ['DEVICE_ACT'] },
    'RolePayload',
    'role { id }',
  );
  const key = await make(
    'createApiKey',
    { name: 'Reports', permissions: ['DEVICE_READ'] },
    'ApiKeyTokenPayload',
    'token apiKey { id }',
  );
  const waiting = await client.mutate('setSafeguard', { devicesPerHour: 50 }, 'SafeguardPayload', 'pending');
  assert.equal(waiting.code, 'approval-required');
  const { user } = await make(
    'createUser',
    { email: 'ann@acme.example', name: 'Ann', externalId: 'E-1' },
    'UserPayload',
    'user { id }',
  );
  const { userGroup } = await make(
    'createUserGroup',
    { name: 'Staff' },
    'UserGroupPayload',
    'userGroup { id }',
  );
  await make(
    'addUsersToGroup',
    { userGroupId: userGroup.id, userIds: [user.id] },
    'UserGroupPayload',
    'userGroup { id }',
  );
  const imported = await make(
    'importUsers',
    { csv: 'email,name\nbob@acme.example,Bob' },
    'ImportPayload',
    'import { id }',
  );
  const { handout } = await make(
    'handOutEnrolments',
    { userGroupId: userGroup.id },
    'HandoutPayload',
    'handout { id }',
  );
  await make(
    'configureIdentityProvider',
    { settings: identityProvider, clientSecret: 'secret of acme.example' },
    'IdentityProviderPayload',
    'identityProvider { settings }',
  );
  const sightingId = mailSightingIdOf(tenant.tenantId as TenantId, { user: 'ann', easDeviceId: 'SEEN1' });
  await stage.deps.handler.handle(
    mailSightingDecider,
    { tenantId: tenant.tenantId as TenantId, id: sightingId },
    {
      type: 'SightMailDevice',
      easDeviceId: 'SEEN1',
      user: 'ann',
      deviceType: 'Android',
      userAgent: null,
      address: null,
      at: '2026-11-25T12:00:00.000Z',
    },
    { actor: { kind: 'system', id: 'test' }, commandId: sightingId },
  );
  await make('configureDirectory', { settings: directory }, 'DirectoryPayload', 'directory { settings }');
  await make(
    'configureExchange',
    { name: 'main', settings: exchange },
    'ExchangePayload',
    'connection { settings }',
  );
  return {
    userId: user.id,
    userGroupId: userGroup.id,
    importId: imported.import.id,
    handoutId: handout.id,
    sightingId,
    groupId: group.id,
    policyId: policy.id,
    compliancePolicyId: compliancePolicy.id,
    taskBundleId: taskBundle.id,
    transferId: transfer.id,
    deviceId,
    deviceToken,
    taskId: queued.device.tasks.nodes[0].id,
    enrolmentId: enrolment.enrolment.id,
    proxyId: proxy.proxy.id,
    proxyIdentity: identity,
    accountId: account.id,
    sessionId: sessions[0].sessionId,
    roleId: role.id,
    apiKeyId: key.apiKey.id,
    apiKeyToken: key.token,
    approvalId: /apr\w{26}/.exec(waiting.message)?.[0] as string,
  };
};
