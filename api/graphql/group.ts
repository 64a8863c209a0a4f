/**
 * Device groups in GraphQL. Listed in schema.ts.
 */
import { groupDecider } from '../../domain/group/decide.ts';
import { compliancePolicyId, type GroupId, groupId } from '../../domain/ids.ts';
import { name } from '../../domain/text.ts';
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
import { requireCompliancePolicy } from './references.ts';
import { CompliancePolicy, DeviceGroup } from './refs.ts';

builder.node(DeviceGroup, {
  description: 'Devices that share a compliance policy and can be sent a task bundle together.',
  id: { resolve: (group) => group.groupId },
  fields: (t) => ({
    name: t.exposeString('name'),
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

const Payload = payloadOf<GroupId, GroupRow>('DeviceGroup', 'group', DeviceGroup, findGroup);

mutation('createGroup', {
  description: 'Creates a device group.',
  permission: 'group.manage',
  type: Payload,
  input: (t) => ({ name: t.string({ required: true }).validate(name) }),
  run: async (input, context) => {
    const id = newId('grp');
    const done = await act(context, groupDecider, id, { type: 'CreateGroup', name: input.name });
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
