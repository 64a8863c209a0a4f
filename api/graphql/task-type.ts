/**
 * Tasks as a type, and the task types there are. Called by device-type.ts, task-bundle.ts and device.ts.
 */
import { z } from 'zod';
import type { TaskType } from '../../domain/task-bundle/task.ts';
import { type Task as DomainTask, task, taskTypes } from '../../domain/task-bundle/tasks/index.ts';
import { findDevice } from '../../projections/devices.ts';
import { builder } from './builder.ts';
import { connectionOf } from './connection.ts';
import { signedIn } from './context.ts';
import { Platform, TaskState, TaskTypeName } from './enums.ts';
import { Device, Task } from './refs.ts';

const TaskTypeRef = builder.objectRef<TaskType>('TaskType').implement({
  description: 'A kind of task that devices can be given.',
  fields: (t) => ({
    type: t.field({ type: TaskTypeName, resolve: ({ type }) => type as DomainTask['type'] }),
    title: t.exposeString('title'),
    platforms: t.field({ type: [Platform], resolve: ({ platforms }) => [...platforms] }),
    excludes: t.field({
      type: [TaskTypeName],
      description: 'Task types that cannot share a bundle with it.',
      resolve: ({ excludes }) => [...(excludes ?? [])] as DomainTask['type'][],
    }),
    endsEnrolment: t.boolean({
      description: 'Whether a device that completed it is no longer enrolled.',
      resolve: ({ endsEnrolment }) => endsEnrolment ?? false,
    }),
    parametersSchema: t.field({
      type: 'JSON',
      description: 'JSON Schema of its parameters.',
      resolve: ({ parameters }) => z.toJSONSchema(parameters),
    }),
  }),
});

builder.queryField('taskTypes', (t) =>
  t.field({
    type: [TaskTypeRef],
    description: 'Every task type there is.',
    authScopes: { permission: 'task-bundle.read' },
    resolve: () => taskTypes as unknown as TaskType[],
  }),
);

builder.node(Task, {
  description: 'A task of one device.',
  id: { resolve: ({ taskId }) => taskId },
  fields: (t) => ({
    deviceId: t.exposeID('deviceId'),
    device: t.field({
      type: Device,
      nullable: true,
      resolve: async ({ deviceId }, _args, context) =>
        (await findDevice(context.deps.sql, signedIn(context).tenantId, deviceId)) ?? null,
    }),
    transferId: t.exposeID('transferId', { description: 'Tasks of one transfer run one after another.' }),
    taskBundleId: t.exposeID('taskBundleId', {
      nullable: true,
      description: 'Null: queued without a bundle.',
    }),
    type: t.expose('type', { type: TaskTypeName }),
    parameters: t.expose('parameters', { type: 'JSON' }),
    state: t.expose('state', { type: TaskState }),
    attempts: t.exposeInt('attempts', { description: 'How often it was sent.' }),
    message: t.exposeString('message', {
      nullable: true,
      description: 'What the device said about it last, or why it was cancelled.',
    }),
    queuedAt: t.expose('queuedAt', { type: 'DateTime' }),
    sentAt: t.expose('sentAt', { type: 'DateTime', nullable: true }),
    finishedAt: t.expose('finishedAt', { type: 'DateTime', nullable: true }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime' }),
  }),
});

export const TaskConnection = connectionOf('Task', Task);

/** A task as administrators write it; validated by the task type it names. */
export const TaskInput = builder
  .inputType('TaskInput', {
    fields: (t) => ({
      type: t.field({ type: TaskTypeName, required: true }),
      parameters: t.field({
        type: 'JSON',
        required: true,
        description: '`{}` or what taskTypes says that the type asks for.',
      }),
    }),
  })
  .validate(task);
