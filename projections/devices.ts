/**
 * Queries of devices: one, pages of them, counts, what changed, and what is due. The table is in device-table.ts.
 * Called by api/graphql/device.ts, api/events/ and the review and re-evaluation jobs of workers/.
 */
import type { Fragment } from 'postgres';
import type { Verdict, Violation } from '../domain/compliance/verdict.ts';
import type { AssignedPolicy, MailAccess, PushProviderName } from '../domain/device/device.ts';
import type { Inventory } from '../domain/device/inventory.ts';
import type { CompliancePolicyId, DeviceId, GroupId, TenantId, UserGroupId } from '../domain/ids.ts';
import type { PolicyType } from '../domain/policy/policy.ts';
import type { Ownership, Platform } from '../domain/text.ts';
import { bareName, isSameUser } from '../platform/mail-user.ts';
import { asTenant, type Sql, type Transaction } from '../platform/sql.ts';
import { asOperator } from './operator.ts';
import { allOf, columnsOf, type Page, type PageRequest, readPage, startsWith } from './page.ts';
import { sortKey } from './projection.ts';

/** A device. Times are ISO 8601, UTC. Secrets (token digest, push token) are never part of it. */
export interface DeviceRow {
  readonly tenantId: TenantId;
  readonly deviceId: DeviceId;
  readonly name: string;
  readonly platform: Platform;
  readonly ownership: Ownership;
  readonly userEmail: string | null;
  readonly groupId: GroupId | null;
  readonly status: 'registered' | 'enrolled' | 'unenrolled';
  readonly enrolledAt: string | null;
  readonly lastCheckInAt: string | null;
  /** What the device reported: osVersion, model, serialNumber, easDeviceId, … */
  readonly inventory: Inventory;
  /** Apps known to be installed. */
  readonly appCount: number;
  readonly mailAccess: MailAccess;
  readonly mailVerdict: 'allow' | 'deny';
  /** Why, in one sentence. */
  readonly mailReason: string;
  /** null until a verdict is reached. */
  readonly complianceStatus: Verdict['status'] | null;
  readonly violations: readonly Violation[];
  /** When the last verdict was reached. */
  readonly verdictAt: string | null;
  readonly policies: Readonly<Partial<Record<PolicyType, AssignedPolicy>>>;
  readonly openTaskCount: number;
  /** When time alone changes the verdict or expires a task; null: never. */
  readonly reviewDueAt: string | null;
  readonly push: { readonly provider: PushProviderName } | null;
  readonly revision: bigint;
  /** Log position of the device's last event. */
  readonly changedPosition: bigint;
}

/** Which devices; every condition given must hold. */
export interface DeviceFilter {
  readonly status?: DeviceRow['status'] | undefined;
  readonly platform?: Platform | undefined;
  readonly complianceStatus?: Verdict['status'] | undefined;
  /** null: devices in no group. */
  readonly groupId?: GroupId | null | undefined;
  /** Start of the name, of the person's address, or of the serial number, in any case. */
  readonly search?: string | undefined;
}

const columns = columnsOf<DeviceRow>({
  tenantId: 'd.tenant_id',
  deviceId: 'd.device_id',
  name: 'd.name',
  platform: 'd.platform',
  ownership: 'd.ownership',
  userEmail: 'd.user_email',
  groupId: 'd.group_id',
  status: 'd.status',
  enrolledAt: 'd.enrolled_at',
  lastCheckInAt: 'd.last_check_in_at',
  inventory: `d.state->'inventory'`,
  appCount: 'coalesce(a.apps, 0)',
  mailAccess: `d.state->>'mailAccess'`,
  mailVerdict: 'd.mail_verdict',
  mailReason: 'd.mail_reason',
  complianceStatus: 'd.compliance_status',
  violations: `coalesce(d.state->'verdict'->'violations', '[]')`,
  verdictAt: 'd.verdict_at',
  policies: `d.state->'policies'`,
  openTaskCount: 'd.open_task_count',
  reviewDueAt: 'd.review_due_at',
  push: `case when d.state->'push'->>'provider' is not null
    then jsonb_build_object('provider', d.state->'push'->>'provider') end`,
  revision: 'd.revision',
  changedPosition: 'd.changed_position',
});
const from = 'read.devices d left join read.device_app_counts a on a.device_id = d.device_id';

const conditionsOf = (tx: Transaction, filter: DeviceFilter): Fragment[] => {
  const { status, platform, complianceStatus, groupId, search } = filter;
  const prefix = sortKey((search ?? '').trim());
  return [
    ...(status === undefined ? [] : [tx`d.status = ${status}`]),
    ...(platform === undefined ? [] : [tx`d.platform = ${platform}`]),
    ...(complianceStatus === undefined ? [] : [tx`d.compliance_status = ${complianceStatus}`]),
    ...(groupId === undefined
      ? []
      : [groupId === null ? tx`d.group_id is null` : tx`d.group_id = ${groupId}`]),
    ...(prefix === ''
      ? []
      : [
          tx`(${startsWith(tx, 'd.name_key', prefix)} or ${startsWith(tx, 'd.user_key', prefix)}
            or ${startsWith(tx, 'd.serial_key', prefix)})`,
        ]),
  ];
};

const byName = [
  { column: 'd.name_key', type: 'text' },
  { column: 'd.device_id', type: 'text' },
] as const;
const byId = [{ column: 'd.device_id', type: 'text' }] as const;

/** One device of the tenant. */
export const findDevice = (
  sql: Sql,
  tenantId: TenantId,
  deviceId: DeviceId,
): Promise<DeviceRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<DeviceRow[]>`
      select ${tx.unsafe(columns)} from ${tx.unsafe(from)} where d.device_id = ${deviceId}`;
    return row;
  });

/** Devices by name. */
export const listDevices = (
  sql: Sql,
  tenantId: TenantId,
  filter: DeviceFilter,
  page: PageRequest,
): Promise<Page<DeviceRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(tx, { columns, from, where: conditionsOf(tx, filter), order: byName }, page),
  );

/** Devices of a group by name; of no group with null. Unenrolled ones are left out. */
export const listGroupDevices = (
  sql: Sql,
  tenantId: TenantId,
  groupId: GroupId | null,
  page: PageRequest,
): Promise<Page<DeviceRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from,
        where: [...conditionsOf(tx, { groupId }), tx`d.status <> 'unenrolled'`],
        order: byName,
      },
      page,
    ),
  );

/** Devices of the user of that address, by name. Unenrolled ones are left out. */
export const listUserDevices = (
  sql: Sql,
  tenantId: TenantId,
  userEmail: string,
  page: PageRequest,
): Promise<Page<DeviceRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from,
        where: [tx`d.user_key = ${sortKey(userEmail)}`, tx`d.status <> 'unenrolled'`],
        order: byName,
      },
      page,
    ),
  );

/** Enrolled devices without an EAS id of whoever signs in to mail by that name, by name: a handful at most. */
export const listMailCandidates = (
  sql: Sql,
  tenantId: TenantId,
  user: string,
): Promise<readonly DeviceRow[]> =>
  asTenant(sql, tenantId, async (tx) => {
    const bare = bareName(user);
    const owner = bare.includes('@')
      ? tx`d.user_key = ${sortKey(bare)}`
      : startsWith(tx, 'd.user_key', `${sortKey(bare)}@`);
    const rows = await tx<DeviceRow[]>`
      select ${tx.unsafe(columns)} from ${tx.unsafe(from)}
      where ${owner} and d.status = 'enrolled' and d.state->'inventory'->>'easDeviceId' is null
      order by d.name_key, d.device_id limit 20`;
    return rows.filter(({ userEmail }) => userEmail !== null && isSameUser(user, userEmail));
  });

/** Devices of all users that are in a user group, by id. Unenrolled ones are left out. */
export const listUserGroupDevices = (
  sql: Sql,
  tenantId: TenantId,
  userGroupId: UserGroupId,
  page: PageRequest,
): Promise<Page<Pick<DeviceRow, 'deviceId'>>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns: columnsOf<Pick<DeviceRow, 'deviceId'>>({ deviceId: 'd.device_id' }),
        from: `read.user_group_members m join read.users u on u.user_id = m.user_id
          join read.devices d on d.user_key = u.email_key`,
        where: [
          tx`m.user_group_id = ${userGroupId} and m.present`,
          tx`u.status <> 'removed'`,
          tx`d.status <> 'unenrolled'`,
        ],
        order: byId,
      },
      page,
    ),
  );

/** How many devices `listUserGroupDevices` lists. */
export const countUserGroupDevices = (
  sql: Sql,
  tenantId: TenantId,
  userGroupId: UserGroupId,
): Promise<number> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<{ count: number }[]>`
      select count(*)::int as count
      from read.user_group_members m join read.users u on u.user_id = m.user_id
        join read.devices d on d.user_key = u.email_key
      where m.user_group_id = ${userGroupId} and m.present and u.status <> 'removed' and d.status <> 'unenrolled'`;
    return row?.count ?? 0;
  });

/** Devices by serial number, as those of `sortKey`, that are not unenrolled: who imports looks for known ones. */
export const findDevicesBySerial = async (
  sql: Sql,
  tenantId: TenantId,
  serialKeys: readonly string[],
): Promise<ReadonlyMap<string, DeviceId>> =>
  asTenant(sql, tenantId, async (tx) => {
    const rows = await tx<{ serialKey: string; deviceId: DeviceId }[]>`
      select distinct on (serial_key) serial_key as "serialKey", device_id as "deviceId" from read.devices
      where serial_key = any(${[...serialKeys]}) and status <> 'unenrolled' order by serial_key, device_id`;
    return new Map(rows.map(({ serialKey, deviceId }) => [serialKey, deviceId]));
  });

/** How many devices there are, by what dashboards show. */
export interface DeviceCounts {
  readonly total: number;
  readonly byStatus: Readonly<Record<DeviceRow['status'], number>>;
  readonly byPlatform: Readonly<Record<Platform, number>>;
  /** Of enrolled devices; `unknown`: no verdict yet. */
  readonly byCompliance: Readonly<Record<Verdict['status'] | 'unknown', number>>;
  /** Of enrolled devices. */
  readonly byMail: Readonly<Record<'allow' | 'deny', number>>;
}

interface CountRow {
  readonly status: DeviceRow['status'];
  readonly platform: Platform;
  readonly compliance: Verdict['status'] | null;
  readonly mail: 'allow' | 'deny';
  readonly count: number;
}

/** Counts the devices that a filter selects. */
export const countDevices = (
  sql: Sql,
  tenantId: TenantId,
  filter: DeviceFilter = {},
): Promise<DeviceCounts> =>
  asTenant(sql, tenantId, async (tx) => {
    const rows = await tx<CountRow[]>`
      select d.status, d.platform, d.compliance_status as compliance, d.mail_verdict as mail, count(*)::int as count
      from read.devices d where ${allOf(tx, conditionsOf(tx, filter))} group by 1, 2, 3, 4`;
    const byStatus = { registered: 0, enrolled: 0, unenrolled: 0 };
    const byPlatform = { ios: 0, android: 0, macos: 0, windows: 0 };
    const byCompliance = { compliant: 0, 'non-compliant': 0, unchecked: 0, unknown: 0 };
    const byMail = { allow: 0, deny: 0 };
    let total = 0;
    for (const { status, platform, compliance, mail, count } of rows) {
      total += count;
      byStatus[status] += count;
      byPlatform[platform] += count;
      if (status !== 'enrolled') continue;
      byCompliance[compliance ?? 'unknown'] += count;
      byMail[mail] += count;
    }
    return { total, byStatus, byPlatform, byCompliance, byMail };
  });

/** Devices changed after a log position, in the order of their last change, at most `limit` (1000). */
export const devicesChangedSince = (
  sql: Sql,
  tenantId: TenantId,
  position: bigint,
  limit = 1000,
): Promise<readonly DeviceRow[]> =>
  asTenant(
    sql,
    tenantId,
    (tx) => tx<DeviceRow[]>`
      select ${tx.unsafe(columns)} from ${tx.unsafe(from)}
      where d.changed_position > ${position.toString()}::bigint order by d.changed_position limit ${limit}`,
  );

/** A device that must be reviewed. */
export interface DueDevice {
  readonly tenantId: TenantId;
  readonly deviceId: DeviceId;
  readonly reviewDueAt: string;
}

/** Across tenants, for the review job: devices due at `now` (ISO 8601, UTC), the longest due first. */
export const listDueDevices = (sql: Sql, now: string, limit: number): Promise<readonly DueDevice[]> =>
  asOperator(
    sql,
    (tx) => tx<DueDevice[]>`
      select tenant_id as "tenantId", device_id as "deviceId", review_due_at as "reviewDueAt"
      from read.device_reviews where review_due_at <= ${now} order by review_due_at, device_id limit ${limit}`,
  );

/**
 * Enrolled devices that a compliance policy concerns, by id: those of groups that name it and, when it is the
 * tenant's own, those whose group names none.
 */
export const listDevicesOfCompliancePolicy = (
  sql: Sql,
  tenantId: TenantId,
  compliancePolicyId: CompliancePolicyId,
  page: PageRequest,
): Promise<Page<Pick<DeviceRow, 'deviceId'>>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns: columnsOf<Pick<DeviceRow, 'deviceId'>>({ deviceId: 'd.device_id' }),
        from: `read.devices d left join read.groups g on g.group_id = d.group_id
          cross join read.tenants t`,
        where: [
          tx`d.status = 'enrolled'`,
          tx`coalesce(g.compliance_policy_id, t.compliance_policy_id) = ${compliancePolicyId}`,
        ],
        order: byId,
      },
      page,
    ),
  );

/** Enrolled devices of the tenant by id, for jobs over the whole fleet. */
export const listEnrolledDevices = (
  sql: Sql,
  tenantId: TenantId,
  page: PageRequest,
): Promise<Page<Pick<DeviceRow, 'deviceId'>>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns: columnsOf<Pick<DeviceRow, 'deviceId'>>({ deviceId: 'd.device_id' }),
        from: 'read.devices d',
        where: [tx`d.status = 'enrolled'`],
        order: byId,
      },
      page,
    ),
  );
