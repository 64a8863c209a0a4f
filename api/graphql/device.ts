/**
 * Queries and mutations of devices in GraphQL. Listed in schema.ts; the type is in device-type.ts.
 */
import { deviceDecider } from '../../domain/device/decide.ts';
import { type DeviceId, deviceId, groupId, policyId, taskId } from '../../domain/ids.ts';
import { taskTypeOf } from '../../domain/task-bundle/tasks/index.ts';
import { email, line, name } from '../../domain/text.ts';
import { complianceInForce } from '../../platform/compliance-in-force.ts';
import { newId } from '../../platform/new-id.ts';
import {
  countDevices,
  type DeviceCounts,
  type DeviceRow,
  findDevice,
  listDevices,
} from '../../projections/devices.ts';
import { searchText } from './app.ts';
import { builder } from './builder.ts';
import { pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { queueTask, unenrolDevice } from './device-acts.ts';
import { DeviceConnection } from './device-type.ts';
import { act, payloadOf, settle } from './effect.ts';
import { requireEditionOfPolicy } from './entitlements.ts';
import { ComplianceStatus, DeviceStatus, MailAccess, Ownership, Platform } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireDevice, requireGroup, requirePolicy } from './references.ts';
import { Device } from './refs.ts';
import { guardDevices } from './safeguard.ts';
import { refuseAccess } from './scopes.ts';
import { TaskInput } from './task-type.ts';

const DeviceFilterInput = builder.inputType('DeviceFilter', {
  description: 'Every condition given must hold.',
  fields: (t) => ({
    status: t.field({ type: DeviceStatus }),
    platform: t.field({ type: Platform }),
    complianceStatus: t.field({ type: ComplianceStatus }),
    groupId: t.id().validate(groupId.nullish()),
    ungrouped: t.boolean({ description: 'True: only devices in no group.' }),
    search: t
      .string({ description: 'Start of the name, of the person’s address, or of the serial number.' })
      .validate(searchText.nullish()),
  }),
});

type FilterInput = typeof DeviceFilterInput.$inferInput;

const filterOf = (filter: FilterInput | null | undefined) => ({
  status: filter?.status ?? undefined,
  platform: filter?.platform ?? undefined,
  complianceStatus: filter?.complianceStatus ?? undefined,
  groupId: filter?.ungrouped ? null : (filter?.groupId ?? undefined),
  search: filter?.search ?? undefined,
});

builder.queryField('devices', (t) =>
  t.field({
    type: DeviceConnection,
    description: 'Devices by name.',
    authScopes: { permission: 'device.read' },
    args: { ...pageArgs, filter: t.arg({ type: DeviceFilterInput }) },
    resolve: (_root, args, context) =>
      listDevices(context.deps.sql, signedIn(context).tenantId, filterOf(args.filter), pageOf(args)),
  }),
);

const Counts = builder.objectRef<DeviceCounts>('DeviceCounts').implement({
  description: 'How many devices there are, by what dashboards show.',
  fields: (t) => ({
    total: t.exposeInt('total'),
    registered: t.int({ resolve: ({ byStatus }) => byStatus.registered }),
    enrolled: t.int({ resolve: ({ byStatus }) => byStatus.enrolled }),
    unenrolled: t.int({ resolve: ({ byStatus }) => byStatus.unenrolled }),
    ios: t.int({ resolve: ({ byPlatform }) => byPlatform.ios }),
    android: t.int({ resolve: ({ byPlatform }) => byPlatform.android }),
    macos: t.int({ resolve: ({ byPlatform }) => byPlatform.macos }),
    windows: t.int({ resolve: ({ byPlatform }) => byPlatform.windows }),
    compliant: t.int({
      description: 'Of enrolled devices, like the rest.',
      resolve: ({ byCompliance }) => byCompliance.compliant,
    }),
    nonCompliant: t.int({ resolve: ({ byCompliance }) => byCompliance['non-compliant'] }),
    unchecked: t.int({ resolve: ({ byCompliance }) => byCompliance.unchecked }),
    withoutVerdict: t.int({ resolve: ({ byCompliance }) => byCompliance.unknown }),
    mailAllowed: t.int({ resolve: ({ byMail }) => byMail.allow }),
    mailDenied: t.int({ resolve: ({ byMail }) => byMail.deny }),
  }),
});

builder.queryField('deviceCounts', (t) =>
  t.field({
    type: Counts,
    description: 'Counts the devices that a filter selects.',
    authScopes: { permission: 'device.read' },
    args: { filter: t.arg({ type: DeviceFilterInput }) },
    resolve: (_root, args, context) =>
      countDevices(context.deps.sql, signedIn(context).tenantId, filterOf(args.filter)),
  }),
);

const Payload = payloadOf<DeviceId, DeviceRow>('Device', 'device', Device, findDevice);

mutation('registerDevice', {
  description: 'Registers a device ahead of its enrolment.',
  permission: 'device.manage',
  type: Payload,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    platform: t.field({ type: Platform, required: true }),
    ownership: t.field({ type: Ownership, required: true, defaultValue: 'corporate' }),
    userEmail: t.string().validate(email.nullish()),
    groupId: t.id().validate(groupId.nullish()),
    serialNumber: t.string().validate(line(64).nullish()),
  }),
  run: async (input, context) => {
    await requireGroup(context, input.groupId ?? null);
    const id = newId('dev');
    const done = await act(context, deviceDecider, id, {
      type: 'RegisterDevice',
      name: input.name,
      platform: input.platform,
      ownership: input.ownership,
      userEmail: input.userEmail ?? null,
      groupId: input.groupId ?? null,
      serialNumber: input.serialNumber ?? null,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('renameDevice', {
  description: 'Renames a device.',
  permission: 'device.manage',
  type: Payload,
  input: (t) => ({
    deviceId: t.id({ required: true }).validate(deviceId),
    name: t.string({ required: true }).validate(name),
  }),
  run: async (input, context) => {
    const id = input.deviceId;
    const done = await act(context, deviceDecider, id, { type: 'RenameDevice', name: input.name });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('assignPolicy', {
  description: 'Assigns a policy to a device, in place of another of its type; it arrives at the next sync.',
  permission: 'device.manage',
  type: Payload,
  input: (t) => ({
    deviceId: t.id({ required: true }).validate(deviceId),
    policyId: t.id({ required: true }).validate(policyId),
  }),
  run: async (input, context) => {
    const id = input.deviceId;
    await requireDevice(context, id);
    const policy = await requirePolicy(context, input.policyId);
    await requireEditionOfPolicy(context, policy);
    const done = await act(context, deviceDecider, id, {
      type: 'AssignPolicy',
      policyId: input.policyId,
      policy,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('unassignPolicy', {
  description: 'Takes a policy off a device.',
  permission: 'device.manage',
  type: Payload,
  input: (t) => ({
    deviceId: t.id({ required: true }).validate(deviceId),
    policyId: t.id({ required: true }).validate(policyId),
  }),
  run: async (input, context) => {
    const id = input.deviceId;
    const done = await act(context, deviceDecider, id, {
      type: 'UnassignPolicy',
      policyId: input.policyId,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('setMailAccess', {
  description: 'Lets mail follow compliance (`AUTO`), or allows or denies it whatever the verdict.',
  permission: 'device.manage',
  type: Payload,
  input: (t) => ({
    deviceId: t.id({ required: true }).validate(deviceId),
    access: t.field({ type: MailAccess, required: true }),
  }),
  run: async (input, context) => {
    const id = input.deviceId;
    const done = await act(context, deviceDecider, id, { type: 'SetMailAccess', access: input.access });
    return { id, ...(await settle(context, done)) };
  },
});

/** The compliance policy in force for a device of that group, as it is now. */
const inForce = (context: ApiContext, group: DeviceRow['groupId']) =>
  complianceInForce(context.deps.handler, signedIn(context).tenantId, group, 0);

mutation('joinGroup', {
  description: 'Puts a device into a group, or out of any; it is evaluated again.',
  permission: 'device.manage',
  type: Payload,
  input: (t) => ({
    deviceId: t.id({ required: true }).validate(deviceId),
    groupId: t.id().validate(groupId.nullish()),
  }),
  run: async (input, context) => {
    const id = input.deviceId;
    const joined = input.groupId ?? null;
    await requireDevice(context, id);
    await requireGroup(context, joined);
    const compliance = await inForce(context, joined);
    const done = await act(context, deviceDecider, id, (now) => ({
      type: 'JoinGroup' as const,
      groupId: joined,
      now,
      compliance,
    }));
    return { id, ...(await settle(context, done)) };
  },
});

mutation('queueTask', {
  description:
    'Gives a device one task, without a bundle. What ends its enrolment needs DEVICE_WIPE, and of many an approval.',
  permission: 'device.act',
  type: Payload,
  input: (t) => ({
    deviceId: t.id({ required: true }).validate(deviceId),
    task: t.field({ type: TaskInput, required: true }),
  }),
  run: async (input, context) => {
    if (taskTypeOf(input.task.type).endsEnrolment) {
      refuseAccess(context, 'device.wipe', 'queueTask');
      await requireDevice(context, input.deviceId);
      await guardDevices(context, { kind: 'queue-task', ...input }, 1);
    }
    return queueTask(context, input.deviceId, input.task);
  },
});

mutation('cancelTask', {
  description: 'Cancels a task that is not finished. One that was sent may still be carried out.',
  permission: 'device.act',
  type: Payload,
  input: (t) => ({
    deviceId: t.id({ required: true }).validate(deviceId),
    taskId: t.id({ required: true }).validate(taskId),
    reason: t.string({ required: true, defaultValue: 'cancelled by an administrator' }).validate(line(200)),
  }),
  run: async (input, context) => {
    const id = input.deviceId;
    const done = await act(context, deviceDecider, id, {
      type: 'CancelTask',
      taskId: input.taskId,
      reason: input.reason,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('unenrolDevice', {
  description:
    'Ends the management of a device at once: its credential and its mail with it. Of many it needs an approval.',
  permission: 'device.wipe',
  type: Payload,
  input: (t) => ({ deviceId: t.id({ required: true }).validate(deviceId) }),
  run: async (input, context) => {
    await requireDevice(context, input.deviceId);
    await guardDevices(context, { kind: 'unenrol-device', deviceId: input.deviceId }, 1);
    return unenrolDevice(context, input.deviceId);
  },
});
