/**
 * The registry of task types: a new type is a file beside this one and a line here.
 * Called by the facts of bundles and devices, by decide.ts, and by the API that describes task types.
 */
import { z } from 'zod';
import type { TaskType } from '../task.ts';
import { assignPolicy } from './assign-policy.ts';
import { installApp } from './install-app.ts';
import { lock } from './lock.ts';
import { message } from './message.ts';
import { refresh } from './refresh.ts';
import { resetPasscode } from './reset-passcode.ts';
import { unenrol } from './unenrol.ts';
import { uninstallApp } from './uninstall-app.ts';
import { wipe } from './wipe.ts';

export const taskTypes = [
  lock,
  message,
  refresh,
  resetPasscode,
  installApp,
  uninstallApp,
  assignPolicy,
  unenrol,
  wipe,
] as const;

/** Name of a task type, as stored in events and sent to devices. */
export type TaskTypeName = (typeof taskTypes)[number]['type'];

export const taskTypeNames = taskTypes.map((task) => task.type) as readonly TaskTypeName[];

const byType: ReadonlyMap<string, TaskType> = new Map(
  taskTypes.map((task) => [task.type, task as unknown as TaskType]),
);

/** The task type of that name. */
export const taskTypeOf = (type: TaskTypeName): TaskType => byType.get(type) as TaskType;

/** A task: its type and the parameters that the type asks for. */
export interface Task {
  readonly type: TaskTypeName;
  readonly parameters: Record<string, unknown>;
}

const taskOf = (task: (typeof taskTypes)[number]) =>
  z.strictObject({ type: z.literal(task.type), parameters: task.parameters });

/** A task of any type, its parameters validated by the type it names. */
export const task = z.discriminatedUnion(
  'type',
  taskTypes.map(taskOf) as [ReturnType<typeof taskOf>],
) as unknown as z.ZodType<Task>;
