/**
 * Read models built from real histories: what they answer, and that batches, repetition and rebuilding change nothing.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { DeviceCommand } from '../../domain/device/commands.ts';
import { deviceDecider } from '../../domain/device/decide.ts';
import { newId } from '../../platform/new-id.ts';
import type { Transaction } from '../../platform/sql.ts';
import { findAccountByEmail, listAccounts } from '../../projections/accounts.ts';
import { countOpenAlerts, listAlerts } from '../../projections/alerts.ts';
import { listDeviceApps, listTenantApps } from '../../projections/apps.ts';
import { listAudit } from '../../projections/audit.ts';
import { findCompliancePolicy, listCompliancePolicyVersions } from '../../projections/compliance-policies.ts';
import {
  countDevices,
  devicesChangedSince,
  findDevice,
  findDevicesBySerial,
  listDevices,
  listDevicesOfCompliancePolicy,
  listDueDevices,
  listEnrolledDevices,
  listGroupDevices,
  listUserDevices,
  listUserGroupDevices,
} from '../../projections/devices.ts';
import { listDueDirectories } from '../../projections/directories.ts';
import { findEnrolment, findEnrolmentByCodeHash } from '../../projections/enrolments.ts';
import { findGroupsByName, listGroups } from '../../projections/groups.ts';
import { findHandout, listHandoutCodes, listHandouts } from '../../projections/handouts.ts';
import { findImport, listImportRows, listImports } from '../../projections/imports.ts';
import { projections } from '../../projections/index.ts';
import { listMailVerdicts, mailVerdictsSince } from '../../projections/mail.ts';
import { listPolicies, listPolicyVersions } from '../../projections/policies.ts';
import { type Projection, schemaOf } from '../../projections/projection.ts';
import { listProxies } from '../../projections/proxies.ts';
import { listTaskBundles } from '../../projections/task-bundles.ts';
import { listDeviceTasks, listTransferTasks } from '../../projections/tasks.ts';
import { findTenant, findTenantBySlug, listTenants } from '../../projections/tenants.ts';
import { findTransfer, listTransfers } from '../../projections/transfers.ts';
import {
  listActiveMembersAfter,
  listGroupsOfUser,
  listMembers,
  listUserGroups,
} from '../../projections/user-groups.ts';
import {
  findUser,
  findUserByEmail,
  findUserByGuid,
  findUsersByEmail,
  listDirectoryUsers,
  listUsers,
} from '../../projections/users.ts';
import { type Servers, startServers } from '../support/servers.ts';
import { dropReadModels, dump, projectTo, wholeLog } from './stage.ts';
import { type Story, speaker, tellStory } from './story.ts';

let servers: Servers;
let acme: Story;
let other: Story;
let built: Record<string, string[]>;
const page = { first: 100 };

before(async () => {
  servers = await startServers();
  acme = await tellStory(servers.deps, 'Acme');
  other = await tellStory(servers.deps, 'Other');
  await projectTo(servers.deps, other.position);
  built = await dump(servers.deps.sql);
});
after(() => servers.stop());

test('every table holds rows of both tenants', () => {
  for (const [table, rows] of Object.entries(built)) {
    // The licence is the operator tenant's alone.
    if (table === 'licence') continue;
    for (const { tenantId } of [acme, other]) {
      assert.ok(
        rows.some((row) => JSON.parse(row).tenant_id === tenantId),
        `${table} of ${tenantId}`,
      );
    }
  }
});

test('devices are answered as the write side knows them, one tenant apart from the other', async () => {
  const { sql } = servers.deps;
  const device = await findDevice(sql, acme.tenantId, acme.devices.good);
  assert.equal(device?.name, 'Pixel');
  assert.equal(device?.inventory.osVersion, '15.1');
  assert.deepEqual(
    [device?.status, device?.complianceStatus, device?.mailVerdict, device?.appCount, device?.openTaskCount],
    ['enrolled', 'compliant', 'allow', 1, 1],
  );
  assert.deepEqual(device?.policies, { device: { policyId: acme.policyId, appliedVersion: 2 } });
  assert.deepEqual(device?.push, { provider: 'fcm' });
  const bad = await findDevice(sql, acme.tenantId, acme.devices.bad);
  assert.deepEqual([bad?.complianceStatus, bad?.mailVerdict], ['non-compliant', 'deny']);
  assert.match(bad?.mailReason ?? '', /is 9; the minimum is 14/);
  assert.deepEqual(
    bad?.violations.map(({ rule }) => rule),
    ['minimum-os-version'],
  );
  assert.equal(await findDevice(sql, other.tenantId, acme.devices.good), undefined);

  const names = async (filter: Parameters<typeof listDevices>[2]) =>
    (await listDevices(sql, acme.tenantId, filter, page)).rows.map(({ name }) => name);
  assert.deepEqual(await names({}), ['Lost', 'Older Nexus', 'Pixel', 'Tablet']);
  assert.deepEqual(await names({ status: 'unenrolled' }), ['Lost']);
  assert.deepEqual(await names({ platform: 'ios' }), ['Tablet']);
  assert.deepEqual(await names({ complianceStatus: 'compliant' }), ['Pixel']);
  assert.deepEqual(await names({ groupId: acme.groupId }), ['Pixel']);
  assert.deepEqual(await names({ groupId: null, status: 'enrolled' }), ['Older Nexus']);
  assert.deepEqual(await names({ search: 'OLD' }), ['Older Nexus']);
  assert.deepEqual(await names({ search: 'bob@' }), ['Older Nexus']);
  assert.deepEqual(await names({ search: 'sn-acme' }), ['Pixel']);
  assert.deepEqual(await names({ search: '%' }), []);

  assert.deepEqual(await countDevices(sql, acme.tenantId), {
    total: 4,
    byStatus: { registered: 1, enrolled: 2, unenrolled: 1 },
    byPlatform: { ios: 1, android: 3, macos: 0, windows: 0 },
    byCompliance: { compliant: 1, 'non-compliant': 1, unchecked: 0, unknown: 0 },
    byMail: { allow: 1, deny: 1 },
  });
  const changed = await devicesChangedSince(sql, acme.tenantId, acme.position - 1n);
  assert.deepEqual(
    changed.map(({ deviceId, changedPosition }) => [deviceId, changedPosition]),
    [[acme.devices.bad, acme.position]],
  );
});

test('jobs find the devices they are for', async () => {
  const { sql } = servers.deps;
  const due = await listDueDevices(sql, '2099-01-01T00:00:00.000Z', 10);
  assert.deepEqual(
    new Set(due.map(({ tenantId, deviceId }) => `${tenantId}/${deviceId}`)),
    new Set(
      [acme, other].flatMap(({ tenantId, devices }) => [
        `${tenantId}/${devices.good}`,
        `${tenantId}/${devices.bad}`,
      ]),
    ),
  );
  assert.equal((await listDueDevices(sql, '2000-01-01T00:00:00.000Z', 10)).length, 0);
  const ids = ({ rows }: { rows: readonly { deviceId: string }[] }) => rows.map(({ deviceId }) => deviceId);
  const enrolled = [acme.devices.good, acme.devices.bad].sort();
  assert.deepEqual(ids(await listEnrolledDevices(sql, acme.tenantId, page)), enrolled);
  assert.deepEqual(
    ids(await listDevicesOfCompliancePolicy(sql, acme.tenantId, acme.compliancePolicyId, page)),
    enrolled,
  );
  assert.deepEqual(
    ids(await listDevicesOfCompliancePolicy(sql, acme.tenantId, other.compliancePolicyId, page)),
    [],
  );
  assert.deepEqual(ids(await listGroupDevices(sql, acme.tenantId, acme.groupId, page)), [acme.devices.good]);
  assert.deepEqual(ids(await listGroupDevices(sql, acme.tenantId, other.groupId, page)), []);
});

test('apps, tasks and transfers are answered per device, transfer and tenant', async () => {
  const { sql } = servers.deps;
  const apps = await listDeviceApps(sql, acme.tenantId, acme.devices.good, page);
  assert.deepEqual(apps.rows, [{ id: 'com.example.mail', name: 'Mail', version: '1.1' }]);
  assert.deepEqual((await listDeviceApps(sql, acme.tenantId, acme.devices.gone, page)).rows, []);
  assert.deepEqual((await listDeviceApps(sql, other.tenantId, acme.devices.good, page)).rows, []);
  assert.deepEqual((await listTenantApps(sql, acme.tenantId, page)).rows, [
    { id: 'com.example.mail', name: 'Mail', deviceCount: 2 },
  ]);

  const tasks = await listDeviceTasks(sql, acme.tenantId, acme.devices.bad, page);
  assert.deepEqual(
    tasks.rows.map(({ type, state, attempts, message }) => [type, state, attempts, message]),
    [
      ['lock', 'cancelled', 0, 'an earlier task of the transfer failed'],
      ['message', 'failed', 1, 'no screen'],
    ],
  );
  assert.equal((await listTransferTasks(sql, acme.tenantId, acme.transferId, page)).rows.length, 4);
  assert.equal((await listTransferTasks(sql, other.tenantId, acme.transferId, page)).rows.length, 0);
  const transfer = await findTransfer(sql, acme.tenantId, acme.transferId);
  assert.deepEqual(transfer?.counts, {
    queued: 0,
    sent: 1,
    retrying: 0,
    completed: 1,
    failed: 1,
    cancelled: 1,
    expired: 0,
    devices: 2,
  });
  const { taskBundleId } = acme;
  assert.equal((await listTransfers(sql, acme.tenantId, page, { taskBundleId })).rows.length, 1);
  assert.equal((await listTransfers(sql, other.tenantId, page, { taskBundleId })).rows.length, 0);
});

test('mail verdicts move only when they change', async () => {
  const { sql } = servers.deps;
  const { rows } = await listMailVerdicts(sql, acme.tenantId, page);
  assert.deepEqual(
    new Map(rows.map(({ deviceId, access, easDeviceId }) => [deviceId, [access, easDeviceId]])),
    new Map<string, unknown[]>([
      [acme.devices.good, ['allow', 'EAS1']],
      [acme.devices.bad, ['deny', 'EAS2']],
      [acme.devices.gone, ['deny', null]],
      [acme.devices.registered, ['deny', null]],
    ]),
  );
  // Renaming the bad device was the last event, and no matter of mail.
  const last = await mailVerdictsSince(sql, acme.tenantId, acme.position - 1n, 10);
  assert.equal(last.length, 0);
  const all = await mailVerdictsSince(sql, acme.tenantId, -1n, 10);
  assert.equal(all.length, 4);
  assert.deepEqual(
    all.map(({ changedPosition }) => changedPosition),
    all.map(({ changedPosition }) => changedPosition).sort((a, b) => Number(a - b)),
  );
});

test('alerts open and close with the violations that ask for them', async () => {
  const { sql } = servers.deps;
  const told = async (filter: Parameters<typeof listAlerts>[2]) =>
    (await listAlerts(sql, acme.tenantId, filter, page)).rows.map(
      ({ deviceId, rule, closedAt }) => `${deviceId} ${rule} ${closedAt === null ? 'open' : 'closed'}`,
    );
  const { good, bad, gone } = acme.devices;
  assert.deepEqual(await told({}), [
    `${good} minimum-os-version closed`,
    `${gone} managed open`,
    `${gone} minimum-os-version closed`,
    `${bad} minimum-os-version open`,
  ]);
  assert.deepEqual(await told({ open: true, deviceId: bad }), [`${bad} minimum-os-version open`]);
  assert.equal(await countOpenAlerts(sql, acme.tenantId), 2);
});

test('the audit trail tells what happened, without secrets', async () => {
  const { sql } = servers.deps;
  const { rows } = await listAudit(sql, acme.tenantId, {}, page);
  const log = (await wholeLog(servers.deps)).filter(({ tenantId }) => tenantId === acme.tenantId);
  assert.deepEqual(
    rows.map(({ position }) => position),
    log.map(({ position }) => position).reverse(),
  );
  const kept = JSON.stringify(rows.map(({ data }) => data));
  for (const secret of ['tokenHash', 'codeHash', 'push-token', 'requestId'])
    assert.ok(!kept.includes(secret));
  const of = async (filter: Parameters<typeof listAudit>[2]) =>
    (await listAudit(sql, acme.tenantId, filter, page)).rows.map(({ type }) => type);
  assert.deepEqual(await of({ entityId: acme.groupId }), ['GroupRenamed', 'GroupCreated']);
  assert.deepEqual(await of({ type: 'TenantCreated', actorId: 'story' }), ['TenantCreated']);
  assert.deepEqual(await of({ entityId: other.groupId }), []);
  const at = rows[10]?.at as string;
  const later = rows.filter((row) => row.at >= at).length;
  assert.equal((await of({ from: at })).length, later);
  assert.equal((await of({ until: at })).length, rows.length - later);
});

test('the small nouns are answered', async () => {
  const { sql } = servers.deps;
  assert.equal((await findTenant(sql, acme.tenantId))?.compliancePolicyId, acme.compliancePolicyId);
  assert.equal((await findTenantBySlug(sql, 'other'))?.tenantId, other.tenantId);
  assert.deepEqual(
    (await listTenants(sql, page)).rows.map(({ name }) => name),
    ['Acme', 'Other'],
  );
  const admin = await findAccountByEmail(sql, acme.tenantId, 'admin@example.com');
  assert.deepEqual([admin?.accountId, admin?.mustChangePassword], [acme.accountId, true]);
  assert.equal((await listAccounts(sql, other.tenantId, page)).rows.length, 1);
  assert.deepEqual(
    (await listGroups(sql, acme.tenantId, page)).rows.map(({ groupId, name }) => [groupId, name]),
    [[acme.groupId, 'Field sales']],
  );
  assert.equal((await listPolicies(sql, acme.tenantId, page)).rows[0]?.version, 2);
  const versions = await listPolicyVersions(sql, acme.tenantId, acme.policyId, page);
  assert.deepEqual(
    versions.rows.map(({ version, settings, actor }) => [version, settings, actor.id]),
    [
      [2, { passcode: { required: true, minimumLength: 8 } }, 'story'],
      [1, { passcode: { required: true } }, 'story'],
    ],
  );
  assert.equal((await listPolicyVersions(sql, other.tenantId, acme.policyId, page)).rows.length, 0);
  assert.equal((await findCompliancePolicy(sql, acme.tenantId, acme.compliancePolicyId))?.version, 2);
  const { compliancePolicyId } = acme;
  assert.equal(
    (await listCompliancePolicyVersions(sql, acme.tenantId, compliancePolicyId, page)).rows.length,
    2,
  );
  assert.equal((await listProxies(sql, acme.tenantId, page)).rows[0]?.proxyId, acme.proxyId);
  assert.equal((await listTaskBundles(sql, acme.tenantId, page)).rows[0]?.taskBundleId, acme.taskBundleId);
  const enrolment = await findEnrolment(sql, acme.tenantId, acme.enrolmentId);
  assert.deepEqual([enrolment?.status, enrolment?.deviceId], ['used', acme.devices.good]);
  assert.deepEqual(await findEnrolmentByCodeHash(sql, acme.codeHash), {
    tenantId: acme.tenantId,
    enrolmentId: acme.enrolmentId,
  });
  assert.equal(await findEnrolmentByCodeHash(sql, 'f'.repeat(64)), undefined);
});

test('users are found by name, address, id and group, and removed ones nowhere', async () => {
  const { sql } = servers.deps;
  const { users, userGroupId, tenantId } = acme;
  const names = async (filter: Parameters<typeof listUsers>[2]) =>
    (await listUsers(sql, tenantId, filter, page)).rows.map(({ name }) => name);
  assert.deepEqual(await names({}), ['ada of Acme', 'bob of Acme']);
  assert.deepEqual(await names({ status: 'disabled' }), ['bob of Acme']);
  assert.deepEqual(await names({ search: 'ADA@' }), ['ada of Acme']);
  assert.deepEqual(await names({ search: 'e-1' }), ['ada of Acme']);
  assert.deepEqual(await names({ search: 'eve' }), []);
  const ada = await findUserByEmail(sql, tenantId, 'ada@example.com');
  // Ada has the good device; her second one was unenrolled.
  assert.deepEqual([ada?.userId, ada?.deviceCount, ada?.department], [users.ada, 1, 'Sales']);
  const devices = await listUserDevices(sql, tenantId, 'ada@example.com', page);
  assert.deepEqual(
    devices.rows.map(({ deviceId }) => deviceId),
    [acme.devices.good],
  );
  assert.equal((await findUserByGuid(sql, tenantId, 'guid-of-bob-at-Acme'))?.userId, users.bob);
  assert.equal(await findUserByGuid(sql, other.tenantId, 'guid-of-bob-at-Acme'), undefined);
  assert.equal(await findUser(sql, tenantId, users.eve), undefined);
  assert.equal(await findUser(sql, other.tenantId, users.ada), undefined);
  assert.deepEqual(
    [...(await findUsersByEmail(sql, tenantId, ['ada@example.com', 'eve@example.com', 'x@example.com']))],
    [['ada@example.com', users.ada]],
  );
  assert.deepEqual(
    (await listDirectoryUsers(sql, tenantId, page)).rows.map(({ userId }) => userId),
    [users.bob],
  );

  const groups = await listUserGroups(sql, tenantId, { search: 'ST' }, page);
  assert.deepEqual(
    groups.rows.map((row) => [row.userGroupId, row.memberCount, row.description]),
    [[userGroupId, 3, 'All']],
  );
  assert.equal((await listUserGroups(sql, tenantId, {}, page)).rows.length, 1);
  const ids = (rows: readonly { userId: string }[]) => rows.map(({ userId }) => userId);
  assert.deepEqual(
    ids((await listMembers(sql, tenantId, userGroupId, page)).rows).sort(),
    [users.ada, users.bob].sort(),
  );
  assert.deepEqual((await listMembers(sql, other.tenantId, userGroupId, page)).rows, []);
  assert.deepEqual(
    (await listGroupsOfUser(sql, tenantId, users.ada, page)).rows.map((row) => row.userGroupId),
    [userGroupId],
  );
  assert.deepEqual(ids(await listActiveMembersAfter(sql, tenantId, userGroupId, null, 9)), [users.ada]);
  assert.equal((await listActiveMembersAfter(sql, tenantId, userGroupId, users.ada, 9)).length, 0);
  assert.deepEqual(
    (await listUserGroupDevices(sql, tenantId, userGroupId, page)).rows.map(({ deviceId }) => deviceId),
    [acme.devices.good, acme.devices.bad].sort(),
  );
  assert.deepEqual((await listUserGroupDevices(sql, tenantId, other.userGroupId, page)).rows, []);
});

test('imports, handouts and directories that are due are answered', async () => {
  const { sql } = servers.deps;
  const { tenantId, importId, handoutId } = acme;
  const imported = await findImport(sql, tenantId, importId);
  assert.deepEqual(
    [imported?.status, imported?.rows, imported?.done, imported?.counts],
    ['finished', 2, 2, { created: 1, updated: 0, skipped: 0, failed: 1 }],
  );
  assert.equal((await listImports(sql, tenantId, page)).rows.length, 1);
  const rows = async (owner: typeof tenantId, outcome?: 'failed') =>
    (await listImportRows(sql, owner, importId, { outcome }, page)).rows.map(({ row }) => row);
  assert.deepEqual(await rows(tenantId), [2, 3]);
  assert.deepEqual(await rows(tenantId, 'failed'), [3]);
  assert.deepEqual(await rows(other.tenantId), []);
  const handout = await findHandout(sql, tenantId, handoutId);
  assert.deepEqual([handout?.status, handout?.issued], ['running', 1]);
  assert.equal((await listHandouts(sql, tenantId, page)).rows.length, 1);
  assert.equal((await listHandoutCodes(sql, tenantId, handoutId, page)).rows[0]?.userId, acme.users.ada);
  assert.deepEqual((await listHandoutCodes(sql, other.tenantId, handoutId, page)).rows, []);
  const due = await listDueDirectories(sql, '2099-01-01T00:00:00.000Z', 10);
  assert.deepEqual(new Set(due.map((row) => row.tenantId)), new Set([acme.tenantId, other.tenantId]));
  assert.equal((await listDueDirectories(sql, '2000-01-01T00:00:00.000Z', 10)).length, 0);
  assert.deepEqual(
    await findDevicesBySerial(sql, tenantId, ['sn-acme', 'sn-other', 't-1']),
    new Map([
      ['sn-acme', acme.devices.good],
      ['t-1', acme.devices.registered],
    ]),
  );
  assert.deepEqual(
    await findGroupsByName(sql, tenantId, ['field sales', 'nobody']),
    new Map([['field sales', acme.groupId]]),
  );
});

test('the whole log delivered once more changes nothing', async () => {
  const { sql } = servers.deps;
  const events = await wholeLog(servers.deps);
  await sql.begin(async (tx) => {
    await tx.unsafe(`set local search_path to ${projections.map(schemaOf).join(', ')}`);
    for (const projection of projections) {
      const wanted = events.filter(({ category }) => projection.categories.includes(category));
      await projection.apply(tx as Transaction, wanted);
    }
  });
  assert.deepEqual(await dump(sql), built);
});

const rebuiltWith = async (maxBatch: number, change: (projection: Projection) => Projection) => {
  await dropReadModels(servers.deps.sql);
  await projectTo(servers.deps, other.position, { maxBatch, projections: projections.map(change) });
  return dump(servers.deps.sql);
};

test('rebuilt event by event, the answers are the same', async () => {
  assert.deepEqual(await rebuiltWith(1, (projection) => projection), built);
});

test('rebuilt in small batches, each delivered twice, the answers are the same', async () => {
  const twice = (projection: Projection): Projection => ({
    ...projection,
    apply: async (tx, events) => {
      await projection.apply(tx, events);
      await projection.apply(tx, events);
    },
  });
  assert.deepEqual(await rebuiltWith(7, twice), built);
});

test('a wipe is pending from when it is queued until it is over, for its own device and tenant', async () => {
  const { deps } = servers;
  const { say, position } = speaker(deps, acme.tenantId);
  const taskId = newId('tsk');
  const pending = async () => {
    await projectTo(deps, position());
    const rows = await Promise.all(
      [acme, other].map(({ tenantId }) => listMailVerdicts(deps.sql, tenantId, page)),
    );
    return rows.flatMap((found) =>
      found.rows
        .filter(({ wipePending }) => wipePending)
        .map(({ deviceId, changedPosition }) => [deviceId, changedPosition]),
    );
  };
  await say(
    deviceDecider,
    acme.devices.bad,
    (now): DeviceCommand => ({
      type: 'QueueTasks',
      now,
      transferId: newId('trf'),
      taskBundleId: acme.taskBundleId,
      policies: new Map(),
      tasks: [{ type: 'wipe', parameters: {}, taskId }],
    }),
  );
  assert.deepEqual(await pending(), [[acme.devices.bad, position()]]);
  await say(deviceDecider, acme.devices.bad, { type: 'CancelTask', taskId, reason: 'found again' });
  assert.deepEqual(await pending(), []);
  const moved = await mailVerdictsSince(deps.sql, acme.tenantId, position() - 1n, 10);
  assert.deepEqual(
    moved.map(({ deviceId, wipePending }) => [deviceId, wipePending]),
    [[acme.devices.bad, false]],
  );
});
