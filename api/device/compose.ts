/**
 * Composes the reply to a check-in from the state it led to. Called by sync.ts; enrol.ts shares the interval.
 */
import type { z } from 'zod';
import type { DeviceEvent, DeviceState } from '../../domain/device/device.ts';
import type { DeviceId, TaskId } from '../../domain/ids.ts';
import { composeTasks } from '../../domain/task-bundle/compose.ts';
import type { ServerConfig } from '../../platform/config.ts';
import type { PendingPolicy } from './policies-in-force.ts';
import type { SyncRequest, syncReply } from './wire.ts';

type Intervals = Pick<ServerConfig, 'syncIntervalSeconds' | 'busySyncIntervalSeconds'>;

/** A number from 0 to 1 that is always the same for a device (FNV-1a of its id), so that a fleet spreads evenly. */
const spread = (id: DeviceId): number => {
  let hash = 0x811c9dc5;
  for (let index = 0; index < id.length; index += 1)
    hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193);
  return (hash >>> 0) / 0xffffffff;
};

/** Seconds until a device should sync again: 90 to 110 percent of the interval, the same share for each device. */
export const nextSyncSeconds = (intervals: Intervals, id: DeviceId, busy: boolean): number => {
  const interval = busy ? intervals.busySyncIntervalSeconds : intervals.syncIntervalSeconds;
  return Math.max(1, Math.round(interval * (0.9 + 0.2 * spread(id))));
};

/** Splits reported results: those for tasks the device was given, and those nobody knows. */
const sortResults = (
  results: NonNullable<SyncRequest['taskResults']>,
  state: DeviceState,
  events: readonly DeviceEvent[],
): { accepted: TaskId[]; unknown: TaskId[] } => {
  if (results.length === 0) return { accepted: [], unknown: [] };
  const known = new Set<TaskId>([
    ...state.openTasks.map(({ taskId }) => taskId),
    ...state.recentTasks.map(({ taskId }) => taskId),
    ...events.flatMap(({ data }) => ('taskId' in data ? [data.taskId] : [])),
  ]);
  const ids = results.map(({ taskId }) => taskId);
  return { accepted: ids.filter((id) => known.has(id)), unknown: ids.filter((id) => !known.has(id)) };
};

/** What a check-in led to. */
export interface CheckedIn {
  readonly deviceId: DeviceId;
  readonly request: SyncRequest;
  readonly state: DeviceState;
  /** Events of this check-in; none when it was a repetition. */
  readonly events: readonly DeviceEvent[];
  readonly policies: readonly PendingPolicy[];
  /** ISO 8601 UTC. */
  readonly now: string;
}

/**
 * The reply to a check-in. A task counts as given only once its sending is recorded, so a repeated check-in is
 * answered with what was recorded before.
 */
export const composeReply = (checkedIn: CheckedIn, intervals: Intervals): z.input<typeof syncReply> => {
  const { deviceId, request, state, events, policies, now } = checkedIn;
  const tasks = composeTasks(state.openTasks, now)
    .filter((task) => task.state === 'sent')
    .map(({ taskId, type, parameters, attempts, expiresAt }) => ({
      taskId,
      type,
      parameters,
      attempt: attempts,
      expiresAt,
    }));
  const assigned = Object.values(state.policies).map(({ policyId }) => policyId);
  const removed = (request.appliedPolicies ?? [])
    .map(({ policyId }) => policyId)
    .filter((policyId) => !assigned.includes(policyId));
  const { status, violations } = state.verdict ?? { status: 'unchecked' as const, violations: [] };
  return {
    tasks: tasks as z.input<typeof syncReply>['tasks'],
    policies: [...policies],
    ...(removed.length > 0 ? { removedPolicies: removed } : {}),
    compliance: { status, violations: violations.map(({ rule, why, since }) => ({ rule, why, since })) },
    nextSyncSeconds: nextSyncSeconds(intervals, deviceId, state.openTasks.length + policies.length > 0),
    serverTime: now,
    taskResults: sortResults(request.taskResults ?? [], state, events),
  };
};
