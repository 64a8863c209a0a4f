/**
 * Facts and state of a device: registration, enrolment, check-ins, inventory, policies, tasks, mail access, verdicts.
 * Decided by decide.ts beside this file; read by projections/devices.ts, tasks.ts, mail.ts, alerts.ts.
 */
import { z } from 'zod';
import type { DeviceFacts } from '../compliance/rule.ts';
import { type Verdict, verdict } from '../compliance/verdict.ts';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { requestId } from '../enrolment/enrolment.ts';
import {
  type EnrolmentId,
  enrolmentId,
  type GroupId,
  groupId,
  type PolicyId,
  policyId,
  type TaskId,
  taskBundleId,
  taskId,
  transferId,
} from '../ids.ts';
import { type PolicyType, policyType } from '../policy/policy.ts';
import { digest } from '../proxy/proxy.ts';
import type { OpenTask } from '../task-bundle/compose.ts';
import { task } from '../task-bundle/tasks/index.ts';
import { email, line, name, type Ownership, ownership, type Platform, platform, time } from '../text.ts';
import { type Apps, app, applyApps, easDeviceId, type Inventory, inventory } from './inventory.ts';

/** Push services by which a device can be woken. */
export const pushProvider = z.enum(['fcm', 'apns', 'wns']);
export type PushProviderName = z.infer<typeof pushProvider>;

/** Where a device can be woken: service and registration token. */
export const pushAddress = z.strictObject({
  provider: pushProvider,
  token: z.string().regex(/^[\x21-\x7e]{1,4096}$/),
});
export type PushAddress = z.infer<typeof pushAddress>;

/** `auto` follows compliance; the others override it for one device. */
export const mailAccess = z.enum(['auto', 'allow', 'deny']);
export type MailAccess = z.infer<typeof mailAccess>;

export const unenrolReason = z.enum(['administrator', 'device', 'unenrol-task', 'wipe-task']);

/** An id that a device makes for each check-in and repeats when it repeats the check-in. */
export const checkInId = line(100);

/** `dueAt` in an event: when the verdict must be reached again although the device may stay silent. */
const dueAt = time.nullable();

export const deviceEvents = defineEvents('device', {
  DeviceRegistered: z.strictObject({
    name,
    platform,
    ownership,
    userEmail: email.nullable(),
    groupId: groupId.nullable(),
    serialNumber: line(64).nullable(),
  }),
  DeviceRenamed: z.strictObject({ name }),
  DeviceEnrolled: z.strictObject({
    enrolmentId,
    requestId,
    tokenHash: digest,
    userEmail: email.nullable(),
    ownership,
    groupId: groupId.nullable(),
  }),
  DeviceTokenReplaced: z.strictObject({ tokenHash: digest }),
  DeviceCheckedIn: z.strictObject({ checkInId, dueAt }),
  DeviceInventoryChanged: z.strictObject({ changes: inventory }),
  /** The id that its mail app presents became known at the mail gate, not by its own report. */
  DeviceEasIdBound: z.strictObject({ easDeviceId }),
  DeviceAppsChanged: z.strictObject({ installed: z.array(app), removed: z.array(app.shape.id) }),
  DevicePushAddressChanged: z.strictObject({ push: pushAddress.nullable() }),
  DevicePushTokenDied: z.strictObject({
    provider: pushProvider,
    token: pushAddress.shape.token,
    reason: line(200),
  }),
  /** `throughRevision`: the device's last event (revision in its stream) that the wake tells it about. */
  DeviceWoken: z.strictObject({
    provider: pushProvider,
    messageId: line(300),
    throughRevision: z.int().min(0),
  }),
  DeviceJoinedGroup: z.strictObject({ groupId: groupId.nullable() }),
  DeviceUserAssigned: z.strictObject({ userEmail: email.nullable() }),
  DeviceMailAccessSet: z.strictObject({ access: mailAccess }),
  DevicePolicyAssigned: z.strictObject({ policyId, policyType }),
  DevicePolicyUnassigned: z.strictObject({ policyId, policyType }),
  DevicePolicyApplied: z.strictObject({ policyId, policyType, version: z.int().min(1) }),
  TaskQueued: z.strictObject({
    taskId,
    task,
    transferId,
    taskBundleId: taskBundleId.nullable(),
    expiresAt: time,
  }),
  TaskSent: z.strictObject({ taskId, attempt: z.int().min(1) }),
  TaskCompleted: z.strictObject({ taskId, message: line(2000).nullable() }),
  TaskRetryScheduled: z.strictObject({ taskId, message: line(2000).nullable(), notBefore: time }),
  TaskFailed: z.strictObject({ taskId, message: line(2000).nullable() }),
  TaskCancelled: z.strictObject({ taskId, reason: line(200) }),
  TaskExpired: z.strictObject({ taskId }),
  ComplianceVerdictReached: z.strictObject({ verdict, dueAt }),
  DeviceUnenrolled: z.strictObject({ reason: unenrolReason }),
});

export type DeviceEvent = EventOf<typeof deviceEvents>;

/** A policy assigned to a device; `appliedVersion` is what the device last confirmed. */
export interface AssignedPolicy {
  readonly policyId: PolicyId;
  readonly appliedVersion: number | null;
}

/** A task that is open no more, and what ended it. */
export interface FinishedTask {
  readonly taskId: TaskId;
  readonly outcome: 'completed' | 'failed' | 'cancelled' | 'expired';
}

export interface DeviceState {
  readonly status: 'none' | 'registered' | 'enrolled' | 'unenrolled';
  readonly name: string;
  readonly platform: Platform;
  readonly ownership: Ownership;
  readonly userEmail: string | null;
  readonly groupId: GroupId | null;
  readonly enrolmentId: EnrolmentId | null;
  readonly enrolmentRequestId: string | null;
  /** Kept after unenrolment: who proves to be the device is told that it has been unenrolled. */
  readonly tokenHash: string | null;
  readonly enrolledAt: string | null;
  readonly lastCheckInAt: string | null;
  /** Most recent check-in ids, to recognise a repeated check-in. */
  readonly recentCheckIns: readonly string[];
  readonly inventory: Inventory;
  /** Whether its EAS id was bound to it: that it does not report one withdraws nothing then. */
  readonly easIdBound: boolean;
  readonly apps: Apps;
  readonly appsKnown: boolean;
  readonly push: PushAddress | null;
  /** The last wake: to recognise a repeated command, and to know what the device was woken for already. */
  readonly lastWake: { readonly messageId: string; readonly throughRevision: number } | null;
  readonly mailAccess: MailAccess;
  readonly policies: Readonly<Partial<Record<PolicyType, AssignedPolicy>>>;
  readonly openTasks: readonly OpenTask[];
  /** Most recently finished tasks, to recognise a repeated result or cancellation. */
  readonly recentTasks: readonly FinishedTask[];
  readonly recentTransfers: readonly string[];
  readonly verdict: Verdict | null;
  readonly dueAt: string | null;
}

export const initialDevice: DeviceState = {
  status: 'none',
  name: '',
  platform: 'android',
  ownership: 'corporate',
  userEmail: null,
  groupId: null,
  enrolmentId: null,
  enrolmentRequestId: null,
  tokenHash: null,
  enrolledAt: null,
  lastCheckInAt: null,
  recentCheckIns: [],
  inventory: {},
  easIdBound: false,
  apps: {},
  appsKnown: false,
  push: null,
  lastWake: null,
  mailAccess: 'auto',
  policies: {},
  openTasks: [],
  recentTasks: [],
  recentTransfers: [],
  verdict: null,
  dueAt: null,
};

const remembered = { checkIns: 32, tasks: 32, transfers: 64 };

const finish = (state: DeviceState, taskId: TaskId, outcome: FinishedTask['outcome']): DeviceState => ({
  ...state,
  openTasks: state.openTasks.filter((open) => open.taskId !== taskId),
  recentTasks: [...state.recentTasks, { taskId, outcome }].slice(-remembered.tasks),
});

const change = (
  state: DeviceState,
  id: TaskId,
  changes: (open: OpenTask) => Partial<OpenTask>,
): DeviceState => ({
  ...state,
  openTasks: state.openTasks.map((open) => (open.taskId === id ? { ...open, ...changes(open) } : open)),
});

/** Folds a fact about a task of the device. */
const evolveTask = (
  state: DeviceState,
  fact: Fact<Extract<DeviceEvent, { type: `Task${string}` }>>,
): DeviceState => {
  const { type, data, at } = fact;
  switch (type) {
    case 'TaskQueued': {
      const open: OpenTask = {
        ...data.task,
        taskId: data.taskId,
        transferId: data.transferId,
        state: 'queued',
        attempts: 0,
        queuedAt: at,
        notBefore: at,
        expiresAt: data.expiresAt,
      };
      const known = state.recentTransfers.includes(data.transferId);
      const recentTransfers = known
        ? state.recentTransfers
        : [...state.recentTransfers, data.transferId].slice(-remembered.transfers);
      return { ...state, openTasks: [...state.openTasks, open], recentTransfers };
    }
    case 'TaskSent':
      return change(state, data.taskId, () => ({ state: 'sent', attempts: data.attempt }));
    case 'TaskRetryScheduled':
      return change(state, data.taskId, () => ({ state: 'queued', notBefore: data.notBefore }));
    case 'TaskCompleted':
      return finish(state, data.taskId, 'completed');
    case 'TaskFailed':
      return finish(state, data.taskId, 'failed');
    case 'TaskCancelled':
      return finish(state, data.taskId, 'cancelled');
    case 'TaskExpired':
      return finish(state, data.taskId, 'expired');
    default:
      return never(type);
  }
};

/** Folds one fact into the state. */
export const evolveDevice = (state: DeviceState, fact: Fact<DeviceEvent>): DeviceState => {
  const { type, data, at } = fact;
  switch (type) {
    case 'DeviceRegistered': {
      const { serialNumber, ...rest } = data;
      return {
        ...initialDevice,
        ...rest,
        status: 'registered',
        inventory: serialNumber === null ? {} : { serialNumber },
      };
    }
    case 'DeviceRenamed':
      return { ...state, name: data.name };
    case 'DeviceEnrolled': {
      const { requestId: enrolmentRequestId, ...rest } = data;
      return {
        ...state,
        ...rest,
        enrolmentRequestId,
        status: 'enrolled',
        enrolledAt: at,
        lastCheckInAt: at,
        recentCheckIns: [],
        easIdBound: false,
        apps: {},
        appsKnown: false,
        push: null,
      };
    }
    case 'DeviceTokenReplaced':
      return { ...state, tokenHash: data.tokenHash };
    case 'DeviceCheckedIn':
      return {
        ...state,
        lastCheckInAt: at,
        recentCheckIns: [...state.recentCheckIns, data.checkInId].slice(-remembered.checkIns),
        dueAt: data.dueAt,
      };
    case 'DeviceInventoryChanged':
      return { ...state, inventory: { ...state.inventory, ...data.changes } };
    case 'DeviceEasIdBound':
      return {
        ...state,
        easIdBound: true,
        inventory: { ...state.inventory, easDeviceId: data.easDeviceId },
      };
    case 'DeviceAppsChanged':
      return { ...state, apps: applyApps(state.apps, data), appsKnown: true };
    case 'DevicePushAddressChanged':
      return { ...state, push: data.push };
    case 'DevicePushTokenDied':
      return state.push?.token === data.token ? { ...state, push: null } : state;
    case 'DeviceWoken':
      return {
        ...state,
        lastWake: { messageId: data.messageId, throughRevision: data.throughRevision },
      };
    case 'DeviceJoinedGroup':
      return { ...state, groupId: data.groupId };
    case 'DeviceUserAssigned':
      return { ...state, userEmail: data.userEmail };
    case 'DeviceMailAccessSet':
      return { ...state, mailAccess: data.access };
    case 'DevicePolicyAssigned':
      return {
        ...state,
        policies: { ...state.policies, [data.policyType]: { policyId: data.policyId, appliedVersion: null } },
      };
    case 'DevicePolicyUnassigned': {
      const { [data.policyType]: _, ...policies } = state.policies;
      return { ...state, policies };
    }
    case 'DevicePolicyApplied':
      return {
        ...state,
        policies: {
          ...state.policies,
          [data.policyType]: { policyId: data.policyId, appliedVersion: data.version },
        },
      };
    case 'ComplianceVerdictReached':
      return { ...state, verdict: data.verdict, dueAt: data.dueAt };
    case 'DeviceUnenrolled':
      return { ...state, status: 'unenrolled', push: null, policies: {}, dueAt: null };
    default:
      return evolveTask(state, fact as Fact<Extract<DeviceEvent, { type: `Task${string}` }>>);
  }
};

/** What compliance rules may look at. */
export const complianceFacts = (state: DeviceState): DeviceFacts => ({
  platform: state.platform,
  managed: state.status === 'enrolled',
  inventory: state.inventory,
  apps: state.apps,
  appsKnown: state.appsKnown,
  lastCheckInAt: state.lastCheckInAt,
});

/** When the device must be looked at again although it may stay silent: a verdict falls due or a task expires. */
export const reviewDueAt = (state: DeviceState): string | null => {
  // A device that has left keeps its last verdict: reviewing it again would change nothing, for ever.
  const verdictDueAt = state.status === 'enrolled' && state.dueAt !== null ? [state.dueAt] : [];
  const times = [...verdictDueAt, ...state.openTasks.map((open) => open.expiresAt)];
  return times.reduce<string | null>((first, next) => (first === null || next < first ? next : first), null);
};
