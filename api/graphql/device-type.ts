/**
 * The device as a type: what it is, reported, must do and may do. Called by device.ts, group.ts and task.ts.
 */
import type { Violation } from '../../domain/compliance/verdict.ts';
import type { AssignedPolicy } from '../../domain/device/device.ts';
import type { Inventory } from '../../domain/device/inventory.ts';
import type { PolicyType as PolicyTypeName } from '../../domain/policy/policy.ts';
import { listAlerts } from '../../projections/alerts.ts';
import { listDeviceApps } from '../../projections/apps.ts';
import { listAudit } from '../../projections/audit.ts';
import { findGroup } from '../../projections/groups.ts';
import { findPolicy } from '../../projections/policies.ts';
import { listDeviceTasks } from '../../projections/tasks.ts';
import { findUserByEmail } from '../../projections/users.ts';
import { AlertConnection } from './alert.ts';
import { DeviceAppConnection, mayShowApps } from './app.ts';
import { AuditConnection } from './audit.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import {
  ComplianceStatus,
  DeviceStatus,
  MailAccess,
  MailDecision,
  Ownership,
  Platform,
  PolicyType,
  PushProvider,
  RuleName,
  Severity,
} from './enums.ts';
import { Device, DeviceGroup, Policy, User } from './refs.ts';
import { TaskConnection } from './task-type.ts';

const ViolationType = builder.objectRef<Violation>('Violation').implement({
  description: 'A rule that a device violates.',
  fields: (t) => ({
    rule: t.expose('rule', { type: RuleName }),
    severity: t.expose('severity', { type: Severity }),
    why: t.exposeString('why', { description: 'In one sentence.' }),
    since: t.expose('since', { type: 'DateTime' }),
    actions: t.expose('actions', { type: 'JSON', description: 'What it leads to.' }),
  }),
});

const InventoryType = builder.objectRef<Inventory>('Inventory').implement({
  description: 'What the device reported about itself; null until it did.',
  fields: (t) => ({
    name: t.string({ nullable: true, resolve: (inventory) => inventory.name ?? null }),
    manufacturer: t.string({ nullable: true, resolve: (inventory) => inventory.manufacturer ?? null }),
    model: t.string({ nullable: true, resolve: (inventory) => inventory.model ?? null }),
    serialNumber: t.string({ nullable: true, resolve: (inventory) => inventory.serialNumber ?? null }),
    imei: t.string({ nullable: true, resolve: (inventory) => inventory.imei ?? null }),
    osVersion: t.string({ nullable: true, resolve: (inventory) => inventory.osVersion ?? null }),
    securityPatch: t.string({
      nullable: true,
      description: 'Date of the Android security patch level.',
      resolve: (inventory) => inventory.securityPatch ?? null,
    }),
    agentVersion: t.string({ nullable: true, resolve: (inventory) => inventory.agentVersion ?? null }),
    easDeviceId: t.string({
      nullable: true,
      description: 'The id that the device presents in ActiveSync.',
      resolve: (inventory) => inventory.easDeviceId ?? null,
    }),
    rooted: t.boolean({ nullable: true, resolve: (inventory) => inventory.rooted ?? null }),
    screenLock: t.boolean({ nullable: true, resolve: (inventory) => inventory.screenLock ?? null }),
    encrypted: t.boolean({ nullable: true, resolve: (inventory) => inventory.encrypted ?? null }),
    batteryPercent: t.int({ nullable: true, resolve: (inventory) => inventory.batteryPercent ?? null }),
    freeStorageBytes: t.float({ nullable: true, resolve: (inventory) => inventory.freeStorageBytes ?? null }),
    roaming: t.boolean({ nullable: true, resolve: (inventory) => inventory.roaming ?? null }),
  }),
});

const AssignedPolicyType = builder
  .objectRef<AssignedPolicy & { readonly policyType: PolicyTypeName }>('AssignedPolicy')
  .implement({
    description: 'A policy that the device follows or is to follow.',
    fields: (t) => ({
      policyType: t.expose('policyType', { type: PolicyType }),
      policyId: t.exposeID('policyId'),
      appliedVersion: t.exposeInt('appliedVersion', {
        nullable: true,
        description: 'Version that the device last confirmed; null: none yet.',
      }),
      policy: t.field({
        type: Policy,
        nullable: true,
        resolve: async ({ policyId }, _args, context) =>
          (await findPolicy(context.deps.sql, signedIn(context).tenantId, policyId)) ?? null,
      }),
    }),
  });

builder.node(Device, {
  description: 'A device of the tenant.',
  id: { resolve: (device) => device.deviceId },
  fields: (t) => ({
    name: t.exposeString('name'),
    platform: t.expose('platform', { type: Platform }),
    ownership: t.expose('ownership', { type: Ownership }),
    userEmail: t.exposeString('userEmail', { nullable: true }),
    status: t.expose('status', { type: DeviceStatus }),
    enrolledAt: t.expose('enrolledAt', { type: 'DateTime', nullable: true }),
    lastCheckInAt: t.expose('lastCheckInAt', { type: 'DateTime', nullable: true }),
    inventory: t.expose('inventory', { type: InventoryType }),
    mailAccess: t.expose('mailAccess', { type: MailAccess, description: '`AUTO` follows compliance.' }),
    mailVerdict: t.expose('mailVerdict', { type: MailDecision }),
    mailReason: t.exposeString('mailReason', { description: 'Why, in one sentence.' }),
    complianceStatus: t.expose('complianceStatus', {
      type: ComplianceStatus,
      nullable: true,
      description: 'Null until a verdict is reached.',
    }),
    violations: t.field({ type: [ViolationType], resolve: ({ violations }) => [...violations] }),
    verdictAt: t.expose('verdictAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the last verdict was reached.',
    }),
    policies: t.field({
      type: [AssignedPolicyType],
      resolve: ({ policies }) =>
        Object.entries(policies).map(([policyType, assigned]) => ({
          ...assigned,
          policyType: policyType as PolicyTypeName,
        })),
    }),
    openTaskCount: t.exposeInt('openTaskCount'),
    reviewDueAt: t.expose('reviewDueAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When time alone changes the verdict or expires a task; null: never.',
    }),
    pushProvider: t.field({
      type: PushProvider,
      nullable: true,
      description: 'The service by which the device can be woken; null: none.',
      resolve: ({ push }) => push?.provider ?? null,
    }),
    group: t.field({
      type: DeviceGroup,
      nullable: true,
      resolve: async ({ groupId }, _args, context) =>
        groupId === null
          ? null
          : ((await findGroup(context.deps.sql, signedIn(context).tenantId, groupId)) ?? null),
    }),
    appCount: t.int({
      description: '0 while nobody may see the apps of the device.',
      resolve: async (device, _args, context) =>
        (await mayShowApps(context, device.ownership)) ? device.appCount : 0,
    }),
    user: t.field({
      type: User,
      nullable: true,
      description: 'The user of that address; null when the tenant has none.',
      resolve: async ({ tenantId, userEmail }, _args, { deps }) =>
        userEmail === null ? null : ((await findUserByEmail(deps.sql, tenantId, userEmail)) ?? null),
    }),
    apps: t.field({
      type: DeviceAppConnection,
      description: 'None on a personal device when the privacy of the tenant says so.',
      args: pageArgs,
      resolve: async ({ tenantId, deviceId, ownership }, args, context) =>
        (await mayShowApps(context, ownership))
          ? listDeviceApps(context.deps.sql, tenantId, deviceId, pageOf(args))
          : { rows: [], cursors: [], hasNextPage: false },
    }),
    tasks: t.field({
      type: TaskConnection,
      description: 'The newest first.',
      args: pageArgs,
      resolve: ({ tenantId, deviceId }, args, { deps }) =>
        listDeviceTasks(deps.sql, tenantId, deviceId, pageOf(args)),
    }),
    alerts: t.field({
      type: AlertConnection,
      description: 'The newest first, closed ones too.',
      args: pageArgs,
      resolve: ({ tenantId, deviceId }, args, { deps }) =>
        listAlerts(deps.sql, tenantId, { deviceId }, pageOf(args)),
    }),
    audit: t.field({
      type: AuditConnection,
      description: 'Everything that happened to the device, the latest first.',
      args: pageArgs,
      resolve: ({ tenantId, deviceId }, args, { deps }) =>
        listAudit(deps.sql, tenantId, { entityId: deviceId }, pageOf(args)),
    }),
  }),
});

export const DeviceConnection = connectionOf('Device', Device);
