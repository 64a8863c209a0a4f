/**
 * Device groups in GraphQL. Listed in schema.ts.
 */
import { z } from 'zod';
import { deviceDecider } from '../../domain/device/decide.ts';
import { groupDecider } from '../../domain/group/decide.ts';
import { compliancePolicyId, deviceId, type GroupId, groupId } from '../../domain/ids.ts';
import { line, name } from '../../domain/text.ts';
import { complianceInForce } from '../../platform/compliance-in-force.ts';
import { newId } from '../../platform/new-id.ts';
import { findCompliancePolicy } from '../../projections/compliance-policies.ts';
import { listGroupDevices } from '../../projections/devices.ts';
import { findGroup, type GroupRow, listGroups } from '../../projections/groups.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { DeviceConnection } from './device-type.ts';
import { act, payloadOf, settle } from './effect.ts';
import { mutation } from './mutation.ts';
import { requireCompliancePolicy, requireDevice, requireGroup } from './references.ts';
import { CompliancePolicy, DeviceGroup } from './refs.ts';

builder.node(DeviceGroup, {
  description: 'Devices that share a compliance policy and can be sent a task bundle together.',
  id: { resolve: (group) => group.groupId },
  fields: (t) => ({
    name: t.exposeString('name'),
    description: t.exposeString('description', { nullable: true }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    compliancePolicy: t.field({
      type: CompliancePolicy,
      nullable: true,
      description: 'Null: the tenant’s applies.',
      resolve: async ({ compliancePolicyId: id }, _args, context) =>
        id === null
          ? null
          : ((await findCompliancePolicy(context.deps.sql, signedIn(context).tenantId, id)) ?? null),
    }),
    devices: t.field({
      type: DeviceConnection,
      description: 'By name, without those that were unenrolled.',
      args: pageArgs,
      resolve: (group, args, context) =>
        listGroupDevices(context.deps.sql, signedIn(context).tenantId, group.groupId, pageOf(args)),
    }),
  }),
});

builder.queryField('groups', (t) =>
  t.field({
    type: connectionOf('DeviceGroup', DeviceGroup),
    description: 'Device groups by name.',
    authScopes: { permission: 'group.read' },
    args: pageArgs,
    resolve: (_root, args, context) => listGroups(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

const description = line(500);

const Payload = payloadOf<GroupId, GroupRow>('DeviceGroup', 'group', DeviceGroup, findGroup);

mutation('createGroup', {
  description: 'Creates a device group.',
  permission: 'group.manage',
  type: Payload,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    description: t.string().validate(description.nullish()),
  }),
  run: async (input, context) => {
    const id = newId('grp');
    const done = await act(context, groupDecider, id, {
      type: 'CreateGroup',
      name: input.name,
      description: input.description ?? null,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('renameGroup', {
  description: 'Renames a device group.',
  permission: 'group.manage',
  type: Payload,
  input: (t) => ({
    groupId: t.id({ required: true }).validate(groupId),
    name: t.string({ required: true }).validate(name),
  }),
  run: async (input, context) => {
    const done = await act(context, groupDecider, input.groupId, { type: 'RenameGroup', name: input.name });
    return { id: input.groupId, ...(await settle(context, done)) };
  },
});

mutation('describeGroup', {
  description: 'Says what a device group is for; without a text it says nothing.',
  permission: 'group.manage',
  type: Payload,
  input: (t) => ({
    groupId: t.id({ required: true }).validate(groupId),
    description: t.string().validate(description.nullish()),
  }),
  run: async (input, context) => {
    const done = await act(context, groupDecider, input.groupId, {
      type: 'DescribeGroup',
      description: input.description ?? null,
    });
    return { id: input.groupId, ...(await settle(context, done)) };
  },
});

mutation('deleteGroup', {
  description: 'Deletes a device group that no device is in any more.',
  permission: 'group.manage',
  type: Payload,
  input: (t) => ({ groupId: t.id({ required: true }).validate(groupId) }),
  run: async (input, context) => {
    const id = input.groupId;
    const { sql } = context.deps;
    const { rows } = await listGroupDevices(sql, signedIn(context).tenantId, id, { first: 1 });
    const done = await act(context, groupDecider, id, { type: 'DeleteGroup', devices: rows.length });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('moveDevicesToGroup', {
  description: 'Puts up to 100 devices into a group; each is evaluated again.',
  permission: 'device.manage',
  type: Payload,
  input: (t) => ({
    groupId: t.id({ required: true }).validate(groupId),
    deviceIds: t.idList({ required: true }).validate(z.array(deviceId).min(1).max(100)),
  }),
  run: async (input, context) => {
    const id = input.groupId;
    await requireGroup(context, id);
    for (const device of input.deviceIds) await requireDevice(context, device, 'deviceIds');
    const compliance = await complianceInForce(context.deps.handler, signedIn(context).tenantId, id, 0);
    const done: { position: bigint | undefined }[] = [];
    for (const device of new Set(input.deviceIds))
      done.push(
        await act(context, deviceDecider, device, (now) => ({
          type: 'JoinGroup' as const,
          groupId: id,
          now,
          compliance,
        })),
      );
    return { id, ...(await settle(context, ...done)) };
  },
});

mutation('assignGroupCompliancePolicy', {
  description:
    'Puts the devices of a group under a compliance policy; without one the tenant’s applies again.',
  permission: 'group.manage',
  type: Payload,
  input: (t) => ({
    groupId: t.id({ required: true }).validate(groupId),
    compliancePolicyId: t.id().validate(compliancePolicyId.nullish()),
  }),
  run: async (input, context) => {
    const assigned = input.compliancePolicyId ?? null;
    await requireCompliancePolicy(context, assigned);
    const done = await act(context, groupDecider, input.groupId, {
      type: 'AssignGroupCompliancePolicy',
      compliancePolicyId: assigned,
    });
    return { id: input.groupId, ...(await settle(context, done)) };
  },
});
