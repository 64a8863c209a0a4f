/**
 * Facts and state of a task bundle: ordered tasks under one name, transferred to a device or to a group.
 * Decided by decide.ts beside this file; each transfer is carried out by workers/transfer-task-bundle.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { deviceId, groupId, transferId, userGroupId } from '../ids.ts';
import { name, type Platform, platform } from '../text.ts';
import { type Task, task } from './tasks/index.ts';

/** Where a bundle goes. */
export const transferTarget = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('device'), deviceId }),
  z.strictObject({ kind: z.literal('group'), groupId }),
  /** Every device of every user in the group. */
  z.strictObject({ kind: z.literal('user-group'), userGroupId }),
]);
export type TransferTarget = z.infer<typeof transferTarget>;

const tasks = z.array(task).min(1).max(50);

export const taskBundleEvents = defineEvents('task-bundle', {
  TaskBundleCreated: z.strictObject({ name, platforms: z.array(platform).min(1), tasks }),
  TaskBundleRenamed: z.strictObject({ name }),
  TaskBundleRevised: z.strictObject({ version: z.int().min(2), tasks }),
  TaskBundleRetired: z.strictObject({}),
  TaskBundleTransferred: z.strictObject({
    transferId,
    target: transferTarget,
    version: z.int().min(1),
    tasks,
  }),
});

export type TaskBundleEvent = EventOf<typeof taskBundleEvents>;

/** How many recent transfers a bundle remembers, to recognise a repeated command. */
const rememberedTransfers = 64;

export type TaskBundleState =
  | { readonly status: 'none' }
  | {
      readonly status: 'active' | 'retired';
      readonly name: string;
      readonly platforms: readonly Platform[];
      readonly version: number;
      readonly tasks: readonly Task[];
      readonly recentTransfers: readonly string[];
    };

export const initialTaskBundle: TaskBundleState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveTaskBundle = (
  state: TaskBundleState,
  { type, data }: Fact<TaskBundleEvent>,
): TaskBundleState => {
  if (type === 'TaskBundleCreated') return { status: 'active', version: 1, recentTransfers: [], ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'TaskBundleRenamed':
      return { ...state, name: data.name };
    case 'TaskBundleRevised':
      return { ...state, version: data.version, tasks: data.tasks };
    case 'TaskBundleRetired':
      return { ...state, status: 'retired' };
    case 'TaskBundleTransferred':
      return {
        ...state,
        recentTransfers: [...state.recentTransfers, data.transferId].slice(-rememberedTransfers),
      };
    default:
      return never(type);
  }
};
