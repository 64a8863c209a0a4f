/**
 * Task bundles and their transfers in GraphQL. Listed in schema.ts.
 */
import { z } from 'zod';
import {
  deviceId,
  groupId,
  type TaskBundleId,
  type TransferId,
  taskBundleId,
  userGroupId,
} from '../../domain/ids.ts';
import { taskBundleDecider } from '../../domain/task-bundle/decide.ts';
import type { TransferTarget } from '../../domain/task-bundle/task-bundle.ts';
import { type Task, taskTypeOf } from '../../domain/task-bundle/tasks/index.ts';
import { name, platform } from '../../domain/text.ts';
import { MusterError } from '../../platform/errors.ts';
import { newId } from '../../platform/new-id.ts';
import { findTaskBundle, listTaskBundles, type TaskBundleRow } from '../../projections/task-bundles.ts';
import { listTransferTasks } from '../../projections/tasks.ts';
import { findTransfer, listTransfers, type TransferRow } from '../../projections/transfers.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { transferTaskBundle } from './device-acts.ts';
import { act, payloadOf, settle, stateOf } from './effect.ts';
import { requireEditionOfTasks } from './entitlements.ts';
import { Platform, PolicyStatus, TaskTypeName } from './enums.ts';
import { mutation } from './mutation.ts';
import {
  requireAbleToBegin,
  requireDevice,
  requireGroup,
  requirePolicies,
  requireUserGroup,
  requireWipe,
} from './references.ts';
import { TaskBundle, Transfer } from './refs.ts';
import { devicesOf, guardDevices } from './safeguard.ts';
import { refuseAccess } from './scopes.ts';
import { TaskConnection, TaskInput } from './task-type.ts';

const BundledTask = builder.objectRef<Task>('BundledTask').implement({
  description: 'A task within a bundle.',
  fields: (t) => ({
    type: t.expose('type', { type: TaskTypeName }),
    parameters: t.expose('parameters', { type: 'JSON' }),
  }),
});

const TransferCounts = builder.objectRef<TransferRow['counts']>('TransferCounts').implement({
  description: 'Tasks of a transfer by where they stand, and the devices it reached.',
  fields: (t) => ({
    devices: t.exposeInt('devices'),
    queued: t.exposeInt('queued'),
    sent: t.exposeInt('sent'),
    retrying: t.exposeInt('retrying'),
    completed: t.exposeInt('completed'),
    failed: t.exposeInt('failed'),
    cancelled: t.exposeInt('cancelled'),
    expired: t.exposeInt('expired'),
  }),
});

builder.node(Transfer, {
  description: 'A task bundle on its way to a device or a group.',
  id: { resolve: ({ transferId }) => transferId },
  fields: (t) => ({
    taskBundleId: t.exposeID('taskBundleId'),
    version: t.exposeInt('version', { description: 'The bundle’s version that was transferred.' }),
    deviceId: t.id({
      nullable: true,
      resolve: ({ target }) => (target.kind === 'device' ? target.deviceId : null),
    }),
    groupId: t.id({
      nullable: true,
      resolve: ({ target }) => (target.kind === 'group' ? target.groupId : null),
    }),
    userGroupId: t.id({
      nullable: true,
      resolve: ({ target }) => (target.kind === 'user-group' ? target.userGroupId : null),
    }),
    at: t.expose('at', { type: 'DateTime' }),
    actor: t.expose('actor', { type: ActorType }),
    counts: t.expose('counts', { type: TransferCounts, description: 'All 0 until its tasks are queued.' }),
    tasks: t.field({
      type: TaskConnection,
      description: 'On every device it reached, in the order they were queued.',
      args: pageArgs,
      resolve: ({ transferId }, args, context) =>
        listTransferTasks(context.deps.sql, signedIn(context).tenantId, transferId, pageOf(args)),
    }),
  }),
});
const TransferConnection = connectionOf('Transfer', Transfer);

builder.node(TaskBundle, {
  description: 'Ordered tasks under one name.',
  id: { resolve: (bundle) => bundle.taskBundleId },
  fields: (t) => ({
    name: t.exposeString('name'),
    platforms: t.field({ type: [Platform], resolve: ({ platforms }) => [...platforms] }),
    status: t.expose('status', { type: PolicyStatus }),
    version: t.exposeInt('version'),
    tasks: t.field({ type: [BundledTask], resolve: ({ tasks }) => [...tasks] }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    transfers: t.field({
      type: TransferConnection,
      description: 'The newest first.',
      args: pageArgs,
      resolve: (bundle, args, context) =>
        listTransfers(context.deps.sql, signedIn(context).tenantId, pageOf(args), {
          taskBundleId: bundle.taskBundleId,
        }),
    }),
  }),
});

builder.queryField('taskBundles', (t) =>
  t.field({
    type: connectionOf('TaskBundle', TaskBundle),
    description: 'Task bundles by name, retired ones too.',
    authScopes: { permission: 'task-bundle.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listTaskBundles(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

builder.queryField('transfers', (t) =>
  t.field({
    type: TransferConnection,
    description: 'Transfers of task bundles, the newest first.',
    authScopes: { permission: 'task-bundle.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listTransfers(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

const Payload = payloadOf<TaskBundleId, TaskBundleRow>(
  'TaskBundle',
  'taskBundle',
  TaskBundle,
  findTaskBundle,
);
const TransferPayload = payloadOf<TransferId, TransferRow>('Transfer', 'transfer', Transfer, findTransfer);
const fewTasks = z.array(z.custom<Task>()).min(1).max(50);

mutation('createTaskBundle', {
  description: 'Creates a task bundle at version 1.',
  permission: 'task-bundle.manage',
  type: Payload,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    platforms: t.field({ type: [Platform], required: true }).validate(z.array(platform).min(1)),
    tasks: t.field({ type: [TaskInput], required: true }).validate(fewTasks),
  }),
  run: async (input, context) => {
    await requirePolicies(context, input.tasks);
    await requireEditionOfTasks(context, input.tasks);
    const id = newId('bdl');
    const done = await act(context, taskBundleDecider, id, {
      type: 'CreateTaskBundle',
      name: input.name,
      platforms: [...new Set(input.platforms)],
      tasks: input.tasks,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('renameTaskBundle', {
  description: 'Renames a task bundle.',
  permission: 'task-bundle.manage',
  type: Payload,
  input: (t) => ({
    taskBundleId: t.id({ required: true }).validate(taskBundleId),
    name: t.string({ required: true }).validate(name),
  }),
  run: async (input, context) => {
    const id = input.taskBundleId;
    const done = await act(context, taskBundleDecider, id, { type: 'RenameTaskBundle', name: input.name });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('reviseTaskBundle', {
  description: 'Gives a task bundle other tasks as its next version; transfers under way keep theirs.',
  permission: 'task-bundle.manage',
  type: Payload,
  input: (t) => ({
    taskBundleId: t.id({ required: true }).validate(taskBundleId),
    tasks: t.field({ type: [TaskInput], required: true }).validate(fewTasks),
    expectedVersion: t.int({ description: 'The version you saw; another one refuses.' }),
  }),
  run: async (input, context) => {
    await requirePolicies(context, input.tasks);
    await requireEditionOfTasks(context, input.tasks);
    // Compliance policies transfer the version there is: whoever makes it one that wipes, wipes.
    requireWipe(context, input.tasks, 'reviseTaskBundle');
    const id = input.taskBundleId;
    const done = await act(context, taskBundleDecider, id, {
      type: 'ReviseTaskBundle',
      tasks: input.tasks,
      expectedVersion: input.expectedVersion ?? undefined,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('retireTaskBundle', {
  description: 'Retires a task bundle: it can be transferred no more.',
  permission: 'task-bundle.manage',
  type: Payload,
  input: (t) => ({ taskBundleId: t.id({ required: true }).validate(taskBundleId) }),
  run: async (input, context) => {
    const id = input.taskBundleId;
    const done = await act(context, taskBundleDecider, id, { type: 'RetireTaskBundle' });
    return { id, ...(await settle(context, done)) };
  },
});

const targetOf = async (
  context: ApiContext,
  input: {
    readonly deviceId?: z.infer<typeof deviceId> | null | undefined;
    readonly groupId?: z.infer<typeof groupId> | null | undefined;
    readonly userGroupId?: z.infer<typeof userGroupId> | null | undefined;
  },
): Promise<TransferTarget> => {
  const named = [input.deviceId, input.groupId, input.userGroupId].filter(Boolean);
  if (named.length > 1)
    throw new MusterError('invalid-input', 'name one of device, group and user group', { field: 'groupId' });
  if (input.userGroupId) {
    await requireUserGroup(context, input.userGroupId);
    return { kind: 'user-group', userGroupId: input.userGroupId };
  }
  if (input.deviceId) {
    await requireDevice(context, input.deviceId);
    return { kind: 'device', deviceId: input.deviceId };
  }
  if (!input.groupId)
    throw new MusterError('invalid-input', 'name a device or a group', { field: 'deviceId' });
  await requireGroup(context, input.groupId);
  return { kind: 'group', groupId: input.groupId };
};

mutation('transferTaskBundle', {
  description:
    'Sends a task bundle to a device, or to every device that is in a group, or whose user is, now. One that ends enrolments needs DEVICE_WIPE, and for many devices an approval.',
  permission: 'task-bundle.transfer',
  type: TransferPayload,
  input: (t) => ({
    taskBundleId: t.id({ required: true }).validate(taskBundleId),
    deviceId: t.id().validate(deviceId.nullish()),
    groupId: t.id().validate(groupId.nullish()),
    userGroupId: t
      .id({ description: 'Every device of every user in the group.' })
      .validate(userGroupId.nullish()),
  }),
  run: async (input, context) => {
    const target = await targetOf(context, input);
    const { taskBundleId: id } = input;
    const bundle = await stateOf(context, taskBundleDecider, id);
    if (bundle.status !== 'none' && bundle.tasks.some(({ type }) => taskTypeOf(type).endsEnrolment)) {
      refuseAccess(context, 'device.wipe', 'transferTaskBundle');
      const { version } = bundle;
      const operation = {
        kind: 'transfer-task-bundle',
        taskBundleId: id,
        version,
        target,
      } as const;
      await guardDevices(context, operation, await devicesOf(context, operation));
    }
    await requireAbleToBegin(context, null);
    return transferTaskBundle(context, id, target);
  },
});
