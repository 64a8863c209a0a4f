/**
 * Commands and decisions of a task bundle. Called through platform/handle.ts by api/graphql/task-bundle.ts and by
 * the compliance action that transfers a bundle.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import type { TransferId } from '../ids.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { same } from '../same.ts';
import type { Platform } from '../text.ts';
import {
  evolveTaskBundle,
  initialTaskBundle,
  type TaskBundleEvent,
  type TaskBundleState,
  type TransferTarget,
  taskBundleEvents,
} from './task-bundle.ts';
import { type Task, taskTypeOf } from './tasks/index.ts';

export type TaskBundleCommand =
  | {
      readonly type: 'CreateTaskBundle';
      readonly name: string;
      readonly platforms: readonly Platform[];
      readonly tasks: readonly Task[];
    }
  | { readonly type: 'RenameTaskBundle'; readonly name: string }
  /** `expectedVersion` is the version that the editor saw; another one refuses instead of overwriting. */
  | {
      readonly type: 'ReviseTaskBundle';
      readonly tasks: readonly Task[];
      readonly expectedVersion?: number | undefined;
    }
  | { readonly type: 'RetireTaskBundle' }
  | { readonly type: 'TransferTaskBundle'; readonly transferId: TransferId; readonly target: TransferTarget };

/** Refuses tasks that exclude each other, or that a platform of the bundle does not know. */
export const bundleFault = (tasks: readonly Task[], platforms: readonly Platform[]): Refusal | undefined => {
  const types = new Set<string>(tasks.map((task) => task.type));
  for (const { type, excludes = [], platforms: known } of tasks.map((task) => taskTypeOf(task.type))) {
    const excluded = excludes.find((other) => types.has(other));
    if (excluded)
      return refuse('bundle-conflict', { field: 'tasks', detail: `${type} excludes ${excluded}` });
    const unknown = platforms.find((platform) => !known.includes(platform));
    if (unknown)
      return refuse('platform-mismatch', { field: 'tasks', detail: `${type} is not for ${unknown}` });
  }
  return undefined;
};

/** Decides one command: see the refusals it names. */
export const decideTaskBundle = (
  command: TaskBundleCommand,
  state: TaskBundleState,
): Decision<TaskBundleEvent> => {
  if (command.type === 'CreateTaskBundle') {
    if (state.status !== 'none') return same(state.tasks, command.tasks) ? [] : refuse('name-taken');
    const { type: _, name, platforms, tasks } = command;
    return (
      bundleFault(tasks, platforms) ?? [
        { type: 'TaskBundleCreated', data: { name, platforms: [...platforms], tasks: [...tasks] } },
      ]
    );
  }
  if (state.status === 'none') return refuse('bundle-missing', { field: 'taskBundleId' });
  switch (command.type) {
    case 'RenameTaskBundle':
      return state.name === command.name ? [] : [{ type: 'TaskBundleRenamed', data: { name: command.name } }];
    case 'ReviseTaskBundle':
      if (state.status === 'retired') return refuse('bundle-retired', { field: 'taskBundleId' });
      if (same(state.tasks, command.tasks)) return [];
      if (command.expectedVersion !== undefined && command.expectedVersion !== state.version) {
        return refuse('version-conflict', {
          field: 'expectedVersion',
          detail: `the bundle is at version ${state.version}`,
        });
      }
      return (
        bundleFault(command.tasks, state.platforms) ?? [
          { type: 'TaskBundleRevised', data: { version: state.version + 1, tasks: [...command.tasks] } },
        ]
      );
    case 'RetireTaskBundle':
      return state.status === 'retired' ? [] : [{ type: 'TaskBundleRetired', data: {} }];
    case 'TransferTaskBundle': {
      if (state.recentTransfers.includes(command.transferId)) return [];
      if (state.status === 'retired') return refuse('bundle-retired', { field: 'taskBundleId' });
      const { transferId, target } = command;
      return [
        {
          type: 'TaskBundleTransferred',
          data: { transferId, target, version: state.version, tasks: [...state.tasks] },
        },
      ];
    }
    default:
      return never(command);
  }
};

export const taskBundleDecider: Decider<TaskBundleState, TaskBundleCommand, TaskBundleEvent> = {
  events: taskBundleEvents,
  stateVersion: 1,
  initial: initialTaskBundle,
  evolve: evolveTaskBundle,
  decide: decideTaskBundle,
};
