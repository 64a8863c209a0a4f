/**
 * Decisions about the tasks and policies of a device: queue, results with retries, expiry, cancellation.
 * Called by decide.ts.
 */
import type { Decision } from '../decider.ts';
import type { PolicyId, TaskId } from '../ids.ts';
import type { PolicyState } from '../policy/policy.ts';
import { type Refusal, refuse } from '../refusals.ts';
import type { OpenTask } from '../task-bundle/compose.ts';
import { taskTypeOf } from '../task-bundle/tasks/index.ts';
import { standingFault } from '../tenant/standing.ts';
import type { QueueTasks, TaskResult } from './commands.ts';
import type { DeviceEvent, DeviceState } from './device.ts';
import { type Draft, draftOf, record } from './draft.ts';

const hourMs = 3_600_000;
/** A task that is not finished by then expires: one stuck task never blocks its transfer for ever. */
const taskLifetimeMs = 72 * hourMs;
/** A failed task is tried at most this many times, this far apart. */
const maximumAttempts = 5;
const retryAfterMs = 3 * 60_000;

const after = (now: string, ms: number): string => new Date(Date.parse(now) + ms).toISOString();

/** Refuses a policy that the device cannot follow. */
const policyFault = (policy: PolicyState, state: DeviceState): Refusal | undefined => {
  if (policy.status === 'none') return refuse('policy-missing', { field: 'policyId' });
  if (policy.status === 'retired') return refuse('policy-retired', { field: 'policyId' });
  if (policy.platforms.includes(state.platform)) return undefined;
  return refuse('platform-mismatch', {
    field: 'policyId',
    detail: `the policy is for ${policy.platforms.join(', ')}, the device is ${state.platform}`,
  });
};

/** Assigns a policy in place of another of its type. */
export const assignPolicy = (
  { policyId, policy }: { readonly policyId: PolicyId; readonly policy: PolicyState },
  state: DeviceState,
): Decision<DeviceEvent> => {
  if (state.status === 'unenrolled') return refuse('device-retired', { field: 'deviceId' });
  const fault = policyFault(policy, state);
  if (fault) return fault;
  const { policyType } = policy as Exclude<PolicyState, { status: 'none' }>;
  return state.policies[policyType]?.policyId === policyId
    ? []
    : [{ type: 'DevicePolicyAssigned', data: { policyId, policyType } }];
};

/** Queues the tasks of a transfer, once: a transfer seen before changes nothing. */
export const queueTasks = (command: QueueTasks, state: DeviceState): Decision<DeviceEvent> => {
  const { now, transferId, taskBundleId } = command;
  if (state.recentTransfers.includes(transferId)) return [];
  if (state.status !== 'enrolled')
    return refuse(state.status === 'unenrolled' ? 'device-retired' : 'device-not-enrolled', {
      field: 'deviceId',
    });
  const fault = standingFault(command.standing, now, state.platform);
  if (fault) return fault;
  const draft = draftOf(state, now);
  for (const { taskId, type, parameters } of command.tasks) {
    if (!taskTypeOf(type).platforms.includes(state.platform)) {
      return refuse('platform-mismatch', { field: 'tasks', detail: `${type} is not for ${state.platform}` });
    }
    if (type === 'assign-policy') {
      const policyId = parameters['policyId'] as string;
      const assigned = assignPolicy(
        {
          policyId: policyId as never,
          policy: command.policies.get(policyId) ?? { status: 'none' },
        },
        draft.state,
      );
      if ('refused' in assigned) return assigned;
      for (const event of assigned) record(draft, event);
    }
    record(draft, {
      type: 'TaskQueued',
      data: {
        taskId,
        task: { type, parameters },
        transferId,
        taskBundleId,
        expiresAt: after(now, taskLifetimeMs),
      },
    });
  }
  return draft.events;
};

/** Cancels an open task. A task already sent may still be carried out; its result is then ignored. */
export const cancelTask = (
  { taskId, reason }: { taskId: TaskId; reason: string },
  state: DeviceState,
): Decision<DeviceEvent> => {
  if (state.openTasks.some((open) => open.taskId === taskId))
    return [{ type: 'TaskCancelled', data: { taskId, reason } }];
  const finished = state.recentTasks.find((task) => task.taskId === taskId);
  if (finished?.outcome === 'cancelled') return [];
  return refuse(finished ? 'task-finished' : 'task-missing', { field: 'taskId' });
};

/** Cancels what a transfer still had to do after one of its tasks failed or expired. */
const cancelRest = (draft: Draft, failed: OpenTask): void => {
  for (const open of draft.state.openTasks) {
    if (open.transferId !== failed.transferId) continue;
    record(draft, {
      type: 'TaskCancelled',
      data: { taskId: open.taskId, reason: 'an earlier task of the transfer failed' },
    });
  }
};

const applyFailure = (draft: Draft, open: OpenTask, result: TaskResult): void => {
  const message = result.message ?? null;
  if (result.retry && open.attempts < maximumAttempts) {
    record(draft, {
      type: 'TaskRetryScheduled',
      data: { taskId: open.taskId, message, notBefore: after(draft.now, retryAfterMs) },
    });
    return;
  }
  record(draft, { type: 'TaskFailed', data: { taskId: open.taskId, message } });
  cancelRest(draft, open);
};

/** A device that completed a task such as wipe has left: it is unenrolled and the rest of its queue is cancelled. */
const leave = (draft: Draft, type: OpenTask['type']): void => {
  record(draft, {
    type: 'DeviceUnenrolled',
    data: { reason: type === 'wipe' ? 'wipe-task' : 'unenrol-task' },
  });
  for (const open of draft.state.openTasks) {
    record(draft, {
      type: 'TaskCancelled',
      data: { taskId: open.taskId, reason: 'the device was unenrolled' },
    });
  }
};

/** Applies results; one for a task that is unknown, finished or never sent is ignored. */
export const applyTaskResults = (draft: Draft, results: readonly TaskResult[]): void => {
  for (const result of results) {
    const open = draft.state.openTasks.find((task) => task.taskId === result.taskId && task.state === 'sent');
    if (!open) continue;
    if (result.status === 'failed') {
      applyFailure(draft, open, result);
      continue;
    }
    record(draft, { type: 'TaskCompleted', data: { taskId: open.taskId, message: result.message ?? null } });
    if (taskTypeOf(open.type).endsEnrolment) leave(draft, open.type);
  }
};

/** Expires open tasks whose time is over, with the rest of their transfers. */
export const expireTasks = (draft: Draft): void => {
  for (const open of draft.state.openTasks) {
    if (open.expiresAt > draft.now || !draft.state.openTasks.includes(open)) continue;
    record(draft, { type: 'TaskExpired', data: { taskId: open.taskId } });
    cancelRest(draft, open);
  }
};
