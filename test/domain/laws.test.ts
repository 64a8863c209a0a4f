/**
 * Laws that hold of every decider for any sequence of commands: folding replays, repetition is free, events survive
 * storage, nothing is mutated. Random commands over few ids, so that they meet.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc, { type Arbitrary } from 'fast-check';
import { accessDecider } from '../../domain/access/decide.ts';
import { accountDecider } from '../../domain/account/decide.ts';
import { apiKeyDecider } from '../../domain/api-key/decide.ts';
import { ruleNames } from '../../domain/compliance/rules/index.ts';
import { compliancePolicyDecider } from '../../domain/compliance-policy/decide.ts';
import type { Decider } from '../../domain/decider.ts';
import { deploymentDecider } from '../../domain/deployment/decide.ts';
import type { DeviceCommand } from '../../domain/device/commands.ts';
import { deviceDecider } from '../../domain/device/decide.ts';
import { type DeviceState, reviewDueAt } from '../../domain/device/device.ts';
import { mailVerdict } from '../../domain/device/mail.ts';
import { directoryDecider } from '../../domain/directory/decide.ts';
import { enrolmentDecider } from '../../domain/enrolment/decide.ts';
import { readEventData, schemaVersionOf } from '../../domain/events.ts';
import { exchangeDecider } from '../../domain/exchange/decide.ts';
import { groupDecider } from '../../domain/group/decide.ts';
import { handoutDecider } from '../../domain/handout/decide.ts';
import { identityProviderDecider } from '../../domain/identity-provider/decide.ts';
import { importDecider } from '../../domain/import/decide.ts';
import { licenceDecider } from '../../domain/licence/decide.ts';
import { mailSightingDecider } from '../../domain/mail-sighting/decide.ts';
import { policyDecider } from '../../domain/policy/decide.ts';
import { proxyDecider } from '../../domain/proxy/decide.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { reservationDecider } from '../../domain/reservation/decide.ts';
import { roleDecider } from '../../domain/role/decide.ts';
import { safeguardDecider } from '../../domain/safeguard/decide.ts';
import { same } from '../../domain/same.ts';
import { seatDecider } from '../../domain/seat/decide.ts';
import type { SeatState } from '../../domain/seat/seat.ts';
import type { Shards } from '../../domain/shards.ts';
import { signInDecider } from '../../domain/sign-in/decide.ts';
import { taskBundleDecider } from '../../domain/task-bundle/decide.ts';
import { taskTypeNames } from '../../domain/task-bundle/tasks/index.ts';
import { templateDecider } from '../../domain/template/decide.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { userDecider } from '../../domain/user/decide.ts';
import { userGroupDecider } from '../../domain/user-group/decide.ts';
import { decideOn, foldOn } from '../support/given.ts';
import { digestOf, idOf } from '../support/ids.ts';

type AnyEvent = { readonly type: string; readonly data: unknown };
const one = fc.constantFrom;
const startMs = Date.parse('2026-01-01T00:00:00.000Z');
const timeOf = (minutes: number) => new Date(startMs + minutes * 60_000).toISOString();

/** Commands whose every acceptance is a fact of its own: repeating one is no repetition. */
const neverRepeats = [
  'ChangeAccountPassword',
  'ChangeDirectoryPassword',
  'ChangeExchangeSecret',
  'ChangeIdentityProviderSecret',
  'EnterTenant',
  'RecordAtDoor',
  'RenewRecoveryCodes',
  'SuspectPasskey',
  'UseRecoveryCode',
  'UseSupportAccess',
];

/** Runs a sequence of commands and asserts the laws at each step; answers the last state. */
const obey = <State, Command extends { readonly type: string }, Event extends AnyEvent>(
  decider: Decider<State, Command, Event>,
  commands: readonly Command[],
  holds: (state: State) => void = () => {},
  met: Set<string> = new Set(),
): State => {
  let state = foldOn(decider, decider.initial, []);
  const log: (Event & { at: string })[] = [];
  for (const command of commands) {
    const decided = decideOn(decider, state, command);
    assert.deepEqual(decideOn(decider, state, command), decided, 'deciding is deterministic');
    if (isRefusal(decided)) continue;
    for (const { type } of decided) met.add(type);
    const at = 'now' in command ? String(command.now) : timeOf(0);
    const { category } = decider.events;
    const stored = decided.map((event) => ({
      ...event,
      data: readEventData(
        category,
        event.type,
        schemaVersionOf(category, event.type),
        JSON.parse(JSON.stringify(event.data)),
      ),
      at,
    }));
    state = foldOn(decider, state, decided, at);
    log.push(...(stored as (Event & { at: string })[]));
    if (!neverRepeats.includes(command.type)) {
      const repeated = decideOn(decider, state, command);
      assert.ok(
        isRefusal(repeated) || repeated.length === 0,
        `${command.type} repeated: ${JSON.stringify(repeated)}`,
      );
    }
    holds(state);
  }
  const replayed = foldOn(decider, decider.initial, log);
  assert.deepEqual(JSON.parse(JSON.stringify(replayed)), JSON.parse(JSON.stringify(state)), 'replay');
  const snapshot = JSON.parse(JSON.stringify(state)) as State;
  for (const command of commands) {
    assert.ok(
      same(decideOn(decider, snapshot, command), decideOn(decider, state, command)),
      'a snapshot decides like the state it was made of',
    );
  }
  return state;
};

const law = <State, Command extends { readonly type: string }, Event extends AnyEvent>(
  name: string,
  decider: Decider<State, Command, Event>,
  command: Arbitrary<Command>,
  holds?: (state: State) => void,
) =>
  test(`laws of ${name}`, () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 30, size: 'max' }), (commands) => {
        obey(decider, commands, holds);
      }),
      { numRuns: 150, includeErrorInReport: true },
    );
  });

const record = fc.record;
const named = one('A', 'B');
const email = one('ada@example.org', 'eve@example.org');
const minutes = fc.nat(10_000).map(timeOf);
const expectedVersion = fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined });
const platform = one('android' as const, 'ios' as const);
const hash = one('a', 'b').map(digestOf);
const uuidOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

const passkeys = one(1, 2).map((n) => idOf('pky', n));
const tenants = one(1, 2).map((n) => idOf('ten', n));

law(
  'accounts',
  accountDecider,
  fc.oneof(
    record({ type: one('CreateAccount'), email, name: named, role: one('operator', 'administrator') }),
    record({ type: one('ChangeAccountRole'), role: one('helpdesk', 'reporting') }),
    record({ type: one('ChangeAccountPassword'), mustChange: fc.boolean() }),
    record({ type: one('DisableAccount'), last: fc.boolean() }),
    record({ type: one('EnableAccount') }),
    record({ type: one('EnableTotp', 'DisableTotp', 'RenewRecoveryCodes', 'ResetSecondFactor') }),
    record({ type: one('UseRecoveryCode'), left: one(0, 9) }),
    record({ type: one('AddPasskey', 'RenamePasskey'), passkeyId: passkeys, name: named }),
    record({ type: one('RemovePasskey', 'SuspectPasskey'), passkeyId: passkeys }),
    record({
      type: one('BindAccountIdentity'),
      identity: record({ issuer: one('https://a.example', 'https://b.example'), subject: named }),
    }),
    record({ type: one('UnbindAccountIdentity') }),
    record({ type: one('EnterTenant'), tenantId: tenants, level: one('read', 'change'), until: minutes }),
    record({ type: one('LeaveTenant'), tenantId: tenants, reason: one('left', 'revoked') }),
  ) as Arbitrary<never>,
);

law(
  'tenants',
  tenantDecider,
  fc.oneof(
    record({
      type: one('CreateTenant'),
      name: named,
      slug: one('a', 'b'),
      kind: one('customer', 'operator'),
    }),
    record({ type: one('RenameTenant'), name: named }),
    record({ type: one('SuspendTenant'), reason: named }),
    record({ type: one('ReactivateTenant') }),
    record({
      type: one('AssignTenantCompliancePolicy'),
      compliancePolicyId: one(1, 2).map((n) => idOf('cmp', n)),
    }),
    record({
      type: one('ConfigureTenant'),
      changes: record(
        {
          description: fc.option(named),
          validUntil: fc.option(minutes),
          platforms: one(['ios'], ['ios', 'android'], ['android', 'ios']),
          directory: one('none', 'ldap'),
        },
        { requiredKeys: [] },
      ),
    }),
    record({
      type: one('RequestTenantDeletion'),
      confirmation: one('a', 'b'),
      requestedBy: one(idOf('acc', 1)),
      purgeAfter: minutes,
    }),
    record({ type: one('CancelTenantDeletion') }),
    record({ type: one('BeginTenantPurge'), now: minutes }),
    record({
      type: one('RecordTenantErased'),
      tenantId: tenants,
      slug: one('c'),
      requestedBy: one(idOf('acc', 1)),
      streams: fc.nat(3),
    }),
    record({ type: one('ChooseStaleMailRule'), staleMailRule: one('deny', 'allow-known') }),
    record({
      type: one('ChooseUnknownMailDevices'),
      unknownMailDevices: one('refuse', 'confirm', 'bind'),
    }),
    record({ type: one('GrantSupportAccess'), level: one('read', 'change'), until: minutes }),
    record({ type: one('RevokeSupportAccess') }),
    record({ type: one('UseSupportAccess'), now: minutes, accountId: one(idOf('acc', 1)) }),
    record({
      type: one('RecordTemplateDeployed'),
      templateId: one(1, 2).map((n) => idOf('tpl', n)),
      version: one(1, 2),
      items: one({}, { [idOf('pol', 1)]: digestOf('a') }),
    }),
  ) as Arbitrary<never>,
);

const templateContents = one('A', 'B').map((name) => ({
  settings: { description: name },
  policies: [],
  taskBundles: [],
  compliancePolicies: [],
  groups: [{ id: idOf('grp', 1), name, compliancePolicyId: null }],
}));
law(
  'templates',
  templateDecider,
  fc.oneof(
    record({ type: one('CreateTemplate'), name: named, description: one(null), content: templateContents }),
    record({ type: one('RenameTemplate'), name: named, description: fc.option(named) }),
    record({ type: one('ReviseTemplate'), content: templateContents, expectedVersion }),
    record({ type: one('RetireTemplate') }),
  ) as Arbitrary<never>,
);

law(
  'deployments',
  deploymentDecider,
  fc.oneof(
    record({
      type: one('StartDeployment'),
      templateId: one(idOf('tpl', 1)),
      template: one({ status: 'none' }, { status: 'active', version: 2 }),
      overwrite: fc.boolean(),
      tenantIds: fc.array(tenants, { minLength: 1, maxLength: 3 }),
    }),
    record({
      type: one('RecordDeploymentResult'),
      tenantId: tenants,
      result: one({ outcome: 'skipped', code: 'tenant-deleted' }),
    }),
  ) as Arbitrary<never>,
);

const somePermissions = fc.uniqueArray(one('device.act', 'device.read', 'group.manage'), { minLength: 1 });

law(
  'roles',
  roleDecider,
  fc.oneof(
    record({ type: one('CreateRole'), name: named, description: named, permissions: somePermissions }),
    record({ type: one('RenameRole'), name: named, description: named }),
    record({ type: one('ChangeRolePermissions'), permissions: somePermissions }),
    record({ type: one('RetireRole'), holders: fc.nat(1) }),
  ) as Arbitrary<never>,
);

law(
  'API keys',
  apiKeyDecider,
  fc.oneof(
    record({
      type: one('CreateApiKey'),
      name: named,
      permissions: somePermissions,
      expiresAt: minutes,
      tokenHash: hash,
      now: minutes,
    }),
    record({ type: one('RevokeApiKey') }),
  ) as Arbitrary<never>,
);

law(
  'refused access',
  accessDecider,
  fc.oneof(
    record({ type: one('RecordDenials'), denials: one([]) }),
    record({
      type: one('RecordMailDenials'),
      denials: one([]),
      others: one(0, 3),
      now: minutes,
      reportId: fc.uuid(),
    }),
  ) as Arbitrary<never>,
);

const approvalId = one(1, 2, 3).map((n) => idOf('apr', n));
const actorId = one(1, 2).map((n) => idOf('acc', n));
const operation = one({ kind: 'unenrol-device', deviceId: idOf('dev', 1) });

law(
  'safeguards',
  safeguardDecider,
  fc.oneof(
    record({
      type: one('AskDangerousAct'),
      approvalId,
      actorId,
      devices: fc.nat(12),
      operation,
      now: minutes,
    }),
    record({ type: one('TakeAutomaticAct'), approvalId, now: minutes }),
    record({ type: one('GrantApproval'), approvalId, actorId, trustedSince: minutes, now: minutes }),
    record({ type: one('RefuseApproval'), approvalId, actorId, reason: named }),
    record({ type: one('RecordCarriedOut'), approvalId }),
    record({ type: one('SetSafeguard'), devicesPerHour: fc.nat(20) }),
  ) as Arbitrary<never>,
);

law(
  'the licence',
  licenceDecider,
  fc.oneof(
    record({ type: one('InstallLicence'), now: minutes, installationId: one(uuidOf(1), uuidOf(2)) }),
    record({ type: one('RegisterTrial'), email }),
    record({
      type: one('ActivateLicence'),
      now: minutes,
      // What a key says never changes.
      claims: one(1, 2, 3).map((n) => ({
        keyId: uuidOf(n),
        issuer: 'i'.repeat(43),
        installationId: uuidOf(n === 3 ? 2 : 1),
        licensee: 'A',
        edition: n === 1 ? 'standard' : 'advanced',
        seats: n * 10,
        issuedAt: timeOf(n),
        expiresAt: timeOf(n * 4000),
      })),
    }),
    record({
      type: one('AllotSeats'),
      tenantId: one(1, 2, 3).map((n) => idOf('ten', n)),
      seats: fc.nat(12),
      edition: one('standard', 'advanced'),
    }),
  ) as Arbitrary<never>,
  (state) =>
    assert.ok(state.status === 'none' || state.grant === null || state.allotted <= state.grant.seats),
);

/** The count that events carry is the number of holders with devices. */
const seatsAddUp = ({ taken, devices, holders }: SeatState): void => {
  const flat = <Value>(shards: Shards<Value>) =>
    shards.flatMap((inner) => inner ?? []).flatMap((shard) => shard ?? []);
  const held = flat(devices).map(([, seat]) => seat.holder);
  assert.equal(taken, new Set(held).size);
  assert.deepEqual(
    new Map(flat(holders)),
    new Map([...new Set(held)].map((each) => [each, held.filter((other) => other === each).length])),
  );
};

law(
  'seats',
  seatDecider,
  fc.oneof(
    record({
      type: one('TakeSeat'),
      now: minutes,
      deviceId: one(1, 2, 3).map((n) => idOf('dev', n)),
      userEmail: fc.option(email),
      enrolmentId: one(1, 2).map((n) => idOf('enr', n)),
      allotted: one(null, 1, 2, 3),
    }),
    record({
      type: one('ReleaseSeat', 'AbandonSeat'),
      now: minutes,
      deviceId: one(1, 2, 3).map((n) => idOf('dev', n)),
      enrolmentId: one(1, 2).map((n) => idOf('enr', n)),
    }),
  ) as Arbitrary<never>,
  seatsAddUp,
);

law(
  'groups',
  groupDecider,
  fc.oneof(
    record({ type: one('CreateGroup', 'RenameGroup'), name: named }),
    record({ type: one('DescribeGroup'), description: one(null, 'x') }),
    record({ type: one('DeleteGroup'), devices: one(0, 1) }),
    record({
      type: one('AssignGroupCompliancePolicy'),
      compliancePolicyId: one(null, idOf('cmp', 1), idOf('cmp', 2)),
    }),
  ) as Arbitrary<never>,
);

const details = { name: named, externalId: one(null, 'x'), department: one(null), phone: one(null, '1') };
const source = one({ kind: 'internal' }, { kind: 'ldap', dn: 'uid=a', guid: 'g' });
law(
  'users',
  userDecider,
  fc.oneof(
    record({ type: one('CreateUser'), email, source, ...details }),
    record({ type: one('ChangeUserDetails'), changes: record(details, { requiredKeys: [] }) }),
    record({ type: one('ChangeUserSource'), source }),
    record({ type: one('DisableUser'), reason: one(null, 'x') }),
    record({ type: one('EnableUser') }),
    record({
      type: one('BindUserIdentity'),
      identity: record({ issuer: one('https://a.example', 'https://b.example'), subject: named }),
    }),
    record({ type: one('UnbindUserIdentity') }),
    record({ type: one('RemoveUser'), devices: one(0, 1, 1, 1) }),
  ) as Arbitrary<never>,
);

const userIds = fc.array(
  fc.nat(5).map((n) => idOf('usr', n)),
  { minLength: 1, maxLength: 4 },
);
law(
  'user groups',
  userGroupDecider,
  fc.oneof(
    record({ type: one('CreateUserGroup'), name: named, description: one(null, 'x') }),
    record({ type: one('RenameUserGroup'), name: named }),
    record({ type: one('DescribeUserGroup'), description: one(null, 'x') }),
    record({ type: one('AddUsersToGroup', 'AddUsersToGroup', 'RemoveUsersFromGroup'), userIds }),
    record({ type: one('DeleteUserGroup') }),
  ) as Arbitrary<never>,
  (state) => {
    if (state.status !== 'active') return;
    const members = Object.values(state.members).flat();
    assert.deepEqual([members.length, new Set(members).size], [state.memberCount, state.memberCount]);
  },
);

law(
  'imports',
  importDecider,
  fc.oneof(
    record({
      type: one('RequestImport'),
      kind: one('users'),
      mode: one('create'),
      fileName: one(null),
      digest: hash,
      rows: one(9),
    }),
    record({
      type: one('RecordImportRows'),
      from: fc.nat(2),
      results: one(
        ['created', 'failed'].map((outcome, index) => ({
          row: index + 2,
          outcome,
          entityId: null,
          column: null,
          code: null,
          detail: null,
        })),
      ),
    }),
    record({ type: one('FinishImport') }),
    record({ type: one('AbandonImport'), reason: named }),
  ) as Arbitrary<never>,
);

law(
  'sightings of mail devices',
  mailSightingDecider,
  fc.oneof(
    record({
      type: one('SightMailDevice'),
      easDeviceId: one('SEC1'),
      user: one('ada'),
      deviceType: one(null),
      userAgent: one(null),
      address: one(null),
      at: minutes,
    }),
    record({
      type: one('BindMailSighting'),
      deviceId: one(idOf('dev', 1), idOf('dev', 2)),
      automatically: fc.boolean(),
    }),
    record({ type: one('DismissMailSighting') }),
  ) as Arbitrary<never>,
);

law(
  'handouts',
  handoutDecider,
  fc.oneof(
    record({
      type: one('RequestHandout'),
      userGroupId: one(idOf('ugr', 1)),
      platform: one(null),
      ownership: one('corporate'),
      groupId: one(null),
      expiresAt: minutes,
    }),
    record({
      type: one('RecordHandoutCodes'),
      from: fc.nat(2),
      codes: fc.array(record({ userId: one(idOf('usr', 1)), email, enrolmentId: one(idOf('enr', 1)) }), {
        minLength: 1,
        maxLength: 2,
      }),
    }),
    record({ type: one('FinishHandout') }),
  ) as Arbitrary<never>,
);

const exchange = {
  kind: one('on-premises'),
  host: one('mail.a.example'),
  account: one('A\\muster'),
  ewsFollowsMail: fc.boolean(),
  caCertificate: one(null),
  certificateSha256: fc.option(hash),
  allowAnyCertificate: one(false),
  containerApps: one(null),
  barredApps: one([]),
  bindUnknown: fc.boolean(),
  dryRun: fc.boolean(),
  intervalMinutes: one(15, 60),
};
const ofExchange = { name: one('main', 'other'), deviceId: one(idOf('dev', 1)), mailbox: one('a@a.example') };
law(
  'exchange connections',
  exchangeDecider,
  fc.oneof(
    record({ type: one('ConfigureExchange'), name: ofExchange.name, settings: record(exchange) }),
    record({ type: one('ChangeExchangeSecret', 'RemoveExchangeConnection'), name: ofExchange.name }),
    record({
      type: one('RequestReconciliation'),
      name: ofExchange.name,
      requestId: one('6f1d2c0e-5a0b-4c8e-9d33-0e6f6d5c2b11'),
      dryRun: fc.boolean(),
    }),
    record({
      type: one('RecordReconciliation'),
      name: ofExchange.name,
      startedAt: one(timeOf(0), timeOf(9)),
      outcome: one({
        dryRun: false,
        mailboxes: 1,
        drifted: 0,
        failed: 0,
        strange: 0,
        defaultAccessLevel: 'Block',
        changes: [],
        strangers: [],
      }),
    }),
    record({
      type: one('RecordReconciliationFailure'),
      name: ofExchange.name,
      startedAt: one(timeOf(0), timeOf(9)),
      code: one('exchange-refused'),
      reason: named,
    }),
    record({ type: one('BindPartnership'), ...ofExchange, partnershipId: one('APPL1', 'APPL2') }),
    record({
      type: one('RecordMailAccess'),
      ...ofExchange,
      partnershipId: one('APPL1', 'APPL2'),
      access: one('allow', 'block'),
      reason: named,
    }),
    record({
      type: one('RecordMailAccessFailure'),
      ...ofExchange,
      code: one('mailbox-missing', 'exchange-refused'),
      reason: named,
    }),
  ) as Arbitrary<never>,
);

const directory = record({
  urls: one(['ldaps://a.example'], ['ldap://a.example']),
  startTls: fc.boolean(),
  unsafeWithoutTls: one(false),
  caCertificate: one(null),
  certificateSha256: fc.option(hash),
  baseDns: one(['dc=a']),
  bindDn: one(null, 'cn=a'),
  userFilter: one('(uid=*)'),
  loginAttributes: one(['uid']),
  attributes: one({
    email: 'mail',
    name: 'cn',
    guid: 'entryUUID',
    externalId: null,
    department: null,
    phone: null,
  }),
  syncIntervalHours: one(null, 24),
});
law(
  'directories',
  directoryDecider,
  fc.oneof(
    record({ type: one('ConfigureDirectory'), settings: directory }),
    record({ type: one('ChangeDirectoryPassword', 'RemoveDirectory') }),
    record({
      type: one('RecordDirectorySync'),
      startedAt: one(timeOf(0)),
      found: fc.nat(9),
      updated: one(0),
      disabled: one(0),
    }),
    record({ type: one('RecordDirectorySyncFailure'), startedAt: one(timeOf(0)), reason: named }),
  ) as Arbitrary<never>,
);

const provider = record({
  issuer: one('https://a.example', 'https://b.example'),
  clientId: named,
  scopes: one([], ['email']),
  caCertificate: one(null),
  portals: one(['admin'], ['admin', 'self-service']),
  firstSignIn: one('verified-email', 'bound-only'),
  provisionRole: one(null, 'helpdesk'),
  provisionUsers: fc.boolean(),
  trustSecondFactor: fc.boolean(),
  secondFactorAcr: one([], ['mfa']),
  required: fc.boolean(),
  passwordAccounts: one([], [idOf('acc', 1)]),
});
law(
  'identity providers',
  identityProviderDecider,
  fc.oneof(
    record({ type: one('ConfigureIdentityProvider'), settings: provider, wayBack: fc.boolean() }),
    record({ type: one('ChangeIdentityProviderSecret', 'RemoveIdentityProvider') }),
  ) as Arbitrary<never>,
);

const policySettings = one(
  { restrictions: { camera: false } },
  { restrictions: { camera: true } },
  { wifi: [] },
);
law(
  'policies',
  policyDecider,
  fc.oneof(
    record({
      type: one('CreatePolicy'),
      name: named,
      policyType: one('device', 'container'),
      platforms: one(['android'], ['ios', 'macos']),
      settings: policySettings,
    }),
    record({ type: one('RenamePolicy'), name: named }),
    record({ type: one('RevisePolicy'), settings: policySettings, expectedVersion }),
    record({ type: one('RetirePolicy') }),
  ) as Arbitrary<never>,
);

const parametersOf = (rule: string): Record<string, unknown> => {
  if (rule.endsWith('version')) return { version: '14' };
  if (rule.endsWith('apps')) return { appIds: ['a', 'b'] };
  return rule === 'maximum-sync-gap' ? { minutes: 60 } : {};
};
const ruleSettings = fc.subarray([...ruleNames]).map((names) =>
  names.map((rule) => ({
    rule,
    parameters: parametersOf(rule),
    actions: rule === 'encryption' ? [{ action: 'deny-mail' as const }] : [],
  })),
);
const complianceSettings = ruleSettings.map((android) => ({ android }));
law(
  'compliance policies',
  compliancePolicyDecider,
  fc.oneof(
    record({ type: one('CreateCompliancePolicy'), name: named, settings: complianceSettings }),
    record({ type: one('RenameCompliancePolicy'), name: named }),
    record({ type: one('ReviseCompliancePolicy'), settings: complianceSettings, expectedVersion }),
    record({ type: one('RetireCompliancePolicy'), assigned: fc.boolean() }),
  ) as Arbitrary<never>,
);

law(
  'proxies',
  proxyDecider,
  fc.oneof(
    record({ type: one('RegisterProxy'), name: named, certificateSha256: hash }),
    record({ type: one('RenameProxy'), name: named }),
    record({ type: one('ReportServerTrust'), verifiesServer: fc.boolean() }),
    record({ type: one('RevokeProxy') }),
  ) as Arbitrary<never>,
);

law(
  'reservations',
  reservationDecider,
  fc.oneof(
    record({
      type: one('ReserveValue'),
      kind: one('tenant-slug'),
      ownerId: named,
      now: minutes,
      holderMissing: fc.boolean(),
    }),
    record({ type: one('ReleaseReservation'), ownerId: named }),
  ) as Arbitrary<never>,
);

law(
  'enrolments',
  enrolmentDecider,
  fc.oneof(
    record({
      type: one('CreateEnrolment'),
      codeHash: hash,
      deviceId: one(null, idOf('dev', 1)),
      userEmail: fc.option(email),
      platform: fc.option(platform),
      ownership: one('corporate', 'personal'),
      groupId: one(null, idOf('grp', 1)),
      expiresAt: minutes,
    }),
    record({
      type: one('UseEnrolment'),
      now: minutes,
      deviceId: one(1, 2).map((n) => idOf('dev', n)),
      platform,
      requestId: one('r1', 'r2'),
    }),
    record({ type: one('RevokeEnrolment') }),
  ) as Arbitrary<never>,
);

law(
  'sign-in',
  signInDecider,
  fc.oneof(
    record({
      type: one('SetPasswordPolicy'),
      policy: record({
        minimumLength: one(8, 14),
        classes: one(0, 4),
        refuseCommon: fc.boolean(),
        refuseBreached: fc.boolean(),
        history: one(0, 24),
        expiryDays: one(null, 90),
      }),
      breachedListThere: fc.boolean(),
    }),
    record({
      type: one('SetSessionPolicy'),
      portal: one('admin', 'self-service'),
      policy: record({ idleMinutes: one(1, 60), absoluteHours: one(1, 12) }),
    }),
    record({
      type: one('RestrictSignInAddresses'),
      portal: one('admin', 'self-service'),
      ranges: one([], ['192.0.2.0/24'], ['2001:db8::/32', '192.0.2.1']),
      excludesCaller: fc.boolean(),
      force: fc.boolean(),
    }),
    record({
      type: one('ChooseSignInChallenge'),
      challenge: record({
        provider: one('none', 'recaptcha'),
        afterFailures: one(1, 3),
        siteKey: one(null, 'site'),
      }),
      secretThere: fc.boolean(),
    }),
    record({ type: one('RequireSecondFactor'), required: fc.boolean() }),
    record({
      type: one('RecordAtDoor'),
      event: one({
        type: 'SignInsFailed',
        data: { accountId: idOf('acc', 1), address: '192.0.2.1', failures: 10 },
      }),
    }),
  ) as Arbitrary<never>,
);

const taskParameters = (type: string): Record<string, unknown> => {
  if (type === 'message') return { text: 'Hello' };
  if (type === 'install-app') return { appId: 'a', name: 'A' };
  if (type === 'uninstall-app') return { appId: 'a' };
  return type === 'assign-policy' ? { policyId: idOf('pol', 1) } : {};
};
const anyTask = one(...taskTypeNames).map((type) => ({ type, parameters: taskParameters(type) }));
law(
  'task bundles',
  taskBundleDecider,
  fc.oneof(
    record({
      type: one('CreateTaskBundle'),
      name: named,
      platforms: one(['android'], ['macos']),
      tasks: fc.array(anyTask, { minLength: 1, maxLength: 3 }),
    }),
    record({ type: one('RenameTaskBundle'), name: named }),
    record({
      type: one('ReviseTaskBundle'),
      tasks: fc.array(anyTask, { minLength: 1, maxLength: 3 }),
      expectedVersion,
    }),
    record({ type: one('RetireTaskBundle') }),
    record({
      type: one('TransferTaskBundle'),
      transferId: one(1, 2, 3).map((n) => idOf('trf', n)),
      target: one({ kind: 'group', groupId: idOf('grp', 1) }),
    }),
  ) as Arbitrary<never>,
);

const compliance = fc.option(
  record({
    compliancePolicyId: one(1, 2).map((n) => idOf('cmp', n)),
    version: one(1, 2),
    settings: complianceSettings,
  }),
);
const anApp = record({ id: one('a', 'b', '__proto__'), name: named, version: one('1', '2') });
const report = {
  inventory: fc.option(
    record(
      {
        osVersion: one('13', '14', null),
        encrypted: fc.option(fc.boolean()),
        rooted: fc.boolean(),
        freeStorageBytes: one(0, -0, 1),
      },
      { requiredKeys: [] },
    ),
    { nil: undefined },
  ),
  apps: fc.option(
    record(
      { complete: fc.boolean(), installed: fc.array(anApp), removed: fc.array(one('a', 'b')) },
      { requiredKeys: [] },
    ),
    { nil: undefined },
  ),
  push: one(undefined, null, { provider: 'fcm', token: 't1' }, { provider: 'apns', token: 't2' }),
};
const policyIdOf = one(1, 2, 3).map((n) => idOf('pol', n));
const policyState = record({
  status: one('active', 'active', 'retired'),
  name: named,
  policyType: one('device'),
  platforms: one(['android'], ['android', 'ios']),
  version: one(1),
  settings: policySettings,
});
const deviceCommand = (now: string) =>
  fc.oneof(
    record({
      type: one('RegisterDevice'),
      name: named,
      platform: one('android'),
      ownership: one('corporate'),
      userEmail: fc.option(email),
      groupId: one(null, idOf('grp', 1)),
      serialNumber: one(null, 'S1'),
    }),
    ...Array.from({ length: 3 }, () =>
      record({
        type: one('EnrolDevice'),
        now: one(now),
        compliance,
        enrolmentId: one(1, 1, 1, 2).map((n) => idOf('enr', n)),
        requestId: one('r1', 'r1', 'r1', 'r2'),
        tokenHash: hash,
        name: named,
        platform: one('android'),
        ownership: one('corporate', 'personal'),
        userEmail: fc.option(email),
        groupId: one(null, idOf('grp', 1)),
        ...report,
      }),
    ),
    ...Array.from({ length: 4 }, () =>
      record({
        type: one('CheckIn'),
        now: one(now),
        compliance,
        checkInId: fc.nat(99).map((n) => `c${n}`),
        ...report,
        taskResults: fc.array(
          record({
            taskId: fc.nat(11).map((n) => idOf('tsk', n)),
            status: one('completed', 'failed'),
            retry: fc.boolean(),
          }),
          { maxLength: 12, size: 'max' },
        ),
        appliedPolicies: fc.array(record({ policyId: policyIdOf, version: one(1, 2) }), { maxLength: 2 }),
      }),
    ),
    // The ids of tasks are made for their transfer, as they are in life.
    record({ transfer: fc.nat(3), tasks: fc.array(anyTask, { maxLength: 3 }), policy: policyState }).map(
      ({ transfer, tasks, policy }) => ({
        type: 'QueueTasks' as const,
        now,
        transferId: idOf('trf', transfer),
        taskBundleId: null,
        tasks: tasks.map((task, index) => ({ ...task, taskId: idOf('tsk', transfer * 3 + index) })),
        policies: new Map([[idOf('pol', 1), policy]]),
      }),
    ),
    record({ type: one('RenameDevice'), name: named }),
    record({ policyId: policyIdOf, policy: policyState }).map(({ policyId, policy }) => ({
      type: 'AssignPolicy' as const,
      policyId,
      // The type of a policy never changes.
      policy: { ...policy, policyType: policyId === idOf('pol', 3) ? 'container' : 'device' },
    })),
    record({ type: one('UnassignPolicy'), policyId: policyIdOf }),
    record({ type: one('CancelTask'), taskId: fc.nat(11).map((n) => idOf('tsk', n)), reason: named }),
    record({ type: one('AssignDeviceUser'), userEmail: fc.option(email) }),
    record({ type: one('SetMailAccess'), access: one('auto', 'allow', 'deny') }),
    record({ type: one('BindEasId'), easDeviceId: one('SEC1', 'sec1', 'SEC2') }),
    record({ type: one('JoinGroup'), now: one(now), groupId: one(null, idOf('grp', 2)), compliance }),
    record({ type: one('ReviewDevice', 'ReviewDevice', 'UnenrolDevice'), now: one(now), compliance }),
    record({ type: one('RecordPushTokenDead'), provider: one('fcm'), token: one('t1', 't2'), reason: named }),
    record({
      type: one('RecordWake'),
      provider: one('fcm'),
      messageId: one('m1', 'm2'),
      throughRevision: fc.nat(9),
    }),
  ) as Arbitrary<unknown> as Arbitrary<DeviceCommand>;

/** What is true of a device whatever happened to it. */
const invariants = (state: DeviceState): void => {
  const taskIds = state.openTasks.map(({ taskId }) => taskId);
  assert.ok(new Set(taskIds).size === taskIds.length);
  assert.ok(state.recentCheckIns.length <= 32 && state.recentTasks.length <= 32);
  for (const open of state.openTasks) assert.ok(open.attempts <= 5);
  if (state.status === 'enrolled') assert.ok(state.tokenHash !== null && state.verdict !== null);
  if (state.status !== 'enrolled') {
    assert.equal(mailVerdict(state).access, 'deny');
    assert.deepEqual([state.dueAt, state.openTasks, reviewDueAt(state)], [null, [], null]);
  }
  const status = state.verdict?.status;
  if (status !== undefined) assert.equal(status === 'non-compliant', state.verdict?.violations.length !== 0);
};

test('laws of devices', () => {
  const sequence = fc
    .array(one(0, 1, 1, 5, 5, 5, 60, 600, 5000), { minLength: 1, maxLength: 40, size: 'max' })
    .map((steps) =>
      steps.map((_, index) => steps.slice(0, index).reduce<number>((sum, step) => sum + step, 0)),
    )
    .chain((times) => fc.tuple(...times.map((minute) => deviceCommand(timeOf(minute)))));
  const met = new Set<string>();
  fc.assert(
    fc.property(sequence, (commands) => {
      obey(deviceDecider, commands, invariants, met);
    }),
    { numRuns: 300, includeErrorInReport: true },
  );
  const unmet = Object.keys(deviceDecider.events.schemas).filter((type) => !met.has(type));
  assert.deepEqual(unmet, [], 'every event is met, or the laws were hardly tried');
});
