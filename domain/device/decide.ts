/**
 * Decisions of a device. Called through platform/handle.ts; commands are in commands.ts.
 *
 * A command's events are drafted one after another on the state that the earlier ones lead to, so that the verdict
 * and the tasks of a check-in already see what the check-in reported.
 */
import { type EffectiveCompliancePolicy, type Evaluation, evaluate } from '../compliance/evaluate.ts';
import type { Decider, Decision } from '../decider.ts';
import { never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import { composeTasks } from '../task-bundle/compose.ts';
import type { CheckIn, DeviceCommand, EnrolDevice, RegisterDevice, Report } from './commands.ts';
import {
  complianceFacts,
  type DeviceEvent,
  type DeviceState,
  deviceEvents,
  evolveDevice,
  initialDevice,
} from './device.ts';
import { type Draft, draftOf, record } from './draft.ts';
import { changedApps, changedInventory, type Inventory } from './inventory.ts';
import { applyTaskResults, assignPolicy, cancelTask, expireTasks, queueTasks } from './tasks.ts';

/** Records what a report changes; what is known already is not recorded again. */
const recordReport = (draft: Draft, report: Report): void => {
  const { easDeviceId, ...rest } = report.inventory ?? {};
  const withdraws = easDeviceId === null && draft.state.easIdBound;
  const reported = easDeviceId === undefined || withdraws ? rest : { ...rest, easDeviceId };
  const changes = changedInventory(draft.state.inventory, reported);
  if (Object.keys(changes).length > 0) record(draft, { type: 'DeviceInventoryChanged', data: { changes } });
  if (report.apps) {
    const data = changedApps(draft.state.apps, report.apps);
    const first = !draft.state.appsKnown && report.apps.complete === true;
    if (first || data.installed.length + data.removed.length > 0)
      record(draft, { type: 'DeviceAppsChanged', data });
  }
  if (report.push !== undefined && !same(draft.state.push, report.push)) {
    record(draft, { type: 'DevicePushAddressChanged', data: { push: report.push } });
  }
};

/** The verdict on a draft. A device that is not enrolled is never due: nobody reviews it. */
const verdictOn = (draft: Draft, compliance: EffectiveCompliancePolicy | null): Evaluation => {
  const { state, now } = draft;
  const { verdict, dueAt } = evaluate(complianceFacts(state), compliance, state.verdict, now);
  return { verdict, dueAt: state.status === 'enrolled' ? dueAt : null };
};

/** Records the verdict if it, or when it must be reached again, differs from what is known. */
const recordVerdict = (draft: Draft, compliance: EffectiveCompliancePolicy | null): void => {
  const data = verdictOn(draft, compliance);
  if (!same(draft.state.verdict, data.verdict) || draft.state.dueAt !== data.dueAt)
    record(draft, { type: 'ComplianceVerdictReached', data });
};

const registerDevice = ({ type: _, ...data }: RegisterDevice, state: DeviceState): Decision<DeviceEvent> => {
  if (state.status !== 'none')
    return state.name === data.name && state.platform === data.platform ? [] : refuse('device-exists');
  return [{ type: 'DeviceRegistered', data }];
};

/** What identifies the hardware, whoever holds it. */
const lasting: readonly string[] = ['manufacturer', 'model', 'serialNumber', 'imei'];

/** Withdraws what an earlier enrolment reported: a device enrolled anew speaks for itself. */
const forgotten = (known: Inventory): Inventory =>
  Object.fromEntries(
    Object.entries(known).flatMap(([key, value]) =>
      value === null || lasting.includes(key) ? [] : [[key, null]],
    ),
  );

const enrolDevice = (command: EnrolDevice, state: DeviceState): Decision<DeviceEvent> => {
  const draft = draftOf(state, command.now);
  const { name, platform, ownership, enrolmentId, requestId, tokenHash } = command;
  // What a registered device was given stays, unless the code says otherwise.
  const userEmail = command.userEmail ?? state.userEmail;
  const groupId = command.groupId ?? state.groupId;
  if (state.status === 'enrolled') {
    const repeated = state.enrolmentId === enrolmentId && state.enrolmentRequestId === requestId;
    if (!repeated || state.recentCheckIns.length > 0) return refuse('device-already-enrolled');
    return state.tokenHash === tokenHash ? [] : [{ type: 'DeviceTokenReplaced', data: { tokenHash } }];
  }
  // The request of an enrolment that has ended must not begin it again, however late it is repeated.
  if (state.status === 'unenrolled' && state.enrolmentId === enrolmentId)
    return refuse('enrolment-used', { field: 'code' });
  if (state.status === 'none') {
    record(draft, {
      type: 'DeviceRegistered',
      data: { name, platform, ownership, userEmail, groupId, serialNumber: null },
    });
  } else if (state.platform !== platform) {
    return refuse('platform-mismatch', {
      field: 'platform',
      detail: `the device is registered as ${state.platform}`,
    });
  }
  record(draft, {
    type: 'DeviceEnrolled',
    data: { enrolmentId, requestId, tokenHash, ownership, userEmail, groupId },
  });
  recordReport(draft, { ...command, inventory: { ...forgotten(state.inventory), ...command.inventory } });
  recordVerdict(draft, command.compliance);
  return draft.events;
};

const recordAppliedPolicies = (draft: Draft, command: CheckIn): void => {
  for (const { policyId, version } of command.appliedPolicies ?? []) {
    for (const [policyType, assigned] of Object.entries(draft.state.policies)) {
      if (assigned.policyId !== policyId || assigned.appliedVersion === version) continue;
      record(draft, {
        type: 'DevicePolicyApplied',
        data: { policyId, policyType: policyType as 'device', version },
      });
    }
  }
};

/** A check-in always is an event, the first of its batch; a repeated one changes nothing. */
const checkIn = (command: CheckIn, state: DeviceState): Decision<DeviceEvent> => {
  if (state.status === 'none') return refuse('device-missing');
  if (state.status === 'unenrolled') return refuse('device-retired');
  if (state.status === 'registered') return refuse('device-not-enrolled');
  if (state.recentCheckIns.includes(command.checkInId)) return [];
  const { now, checkInId } = command;
  const draft = draftOf({ ...state, lastCheckInAt: now }, now);
  recordReport(draft, command);
  recordAppliedPolicies(draft, command);
  applyTaskResults(draft, command.taskResults ?? []);
  expireTasks(draft);
  // The check-in itself says when the verdict falls due again, so that a verdict is recorded only when it changes.
  const { verdict, dueAt } = verdictOn(draft, command.compliance);
  if (!same(draft.state.verdict, verdict))
    record(draft, { type: 'ComplianceVerdictReached', data: { verdict, dueAt } });
  if (draft.state.status === 'enrolled') {
    for (const task of composeTasks(draft.state.openTasks, now)) {
      if (task.state === 'queued')
        record(draft, { type: 'TaskSent', data: { taskId: task.taskId, attempt: task.attempts + 1 } });
    }
  }
  return [{ type: 'DeviceCheckedIn', data: { checkInId, dueAt } }, ...draft.events];
};

/** Decides one command: see the refusals it names. */
export const decideDevice = (command: DeviceCommand, state: DeviceState): Decision<DeviceEvent> => {
  if (command.type === 'RegisterDevice') return registerDevice(command, state);
  if (command.type === 'EnrolDevice') return enrolDevice(command, state);
  if (command.type === 'CheckIn') return checkIn(command, state);
  if (state.status === 'none') return refuse('device-missing', { field: 'deviceId' });
  switch (command.type) {
    case 'RenameDevice':
      return state.name === command.name ? [] : [{ type: 'DeviceRenamed', data: { name: command.name } }];
    case 'AssignPolicy':
      return assignPolicy(command, state);
    case 'UnassignPolicy': {
      const found = Object.entries(state.policies).find(
        ([, assigned]) => assigned.policyId === command.policyId,
      );
      return found
        ? [
            {
              type: 'DevicePolicyUnassigned',
              data: { policyId: command.policyId, policyType: found[0] as 'device' },
            },
          ]
        : [];
    }
    case 'QueueTasks':
      return queueTasks(command, state);
    case 'CancelTask':
      return cancelTask(command, state);
    case 'AssignDeviceUser':
      return state.userEmail === command.userEmail
        ? []
        : [{ type: 'DeviceUserAssigned', data: { userEmail: command.userEmail } }];
    case 'SetMailAccess':
      return state.mailAccess === command.access
        ? []
        : [{ type: 'DeviceMailAccessSet', data: { access: command.access } }];
    case 'BindEasId': {
      if (state.status !== 'enrolled') return refuse('device-not-enrolled', { field: 'deviceId' });
      const { easDeviceId } = command;
      return state.inventory.easDeviceId?.toUpperCase() === easDeviceId.toUpperCase()
        ? []
        : [{ type: 'DeviceEasIdBound', data: { easDeviceId } }];
    }
    case 'JoinGroup': {
      if (state.groupId === command.groupId) return [];
      const draft = draftOf(state, command.now);
      record(draft, { type: 'DeviceJoinedGroup', data: { groupId: command.groupId } });
      if (state.status === 'enrolled') recordVerdict(draft, command.compliance);
      return draft.events;
    }
    case 'ReviewDevice': {
      const draft = draftOf(state, command.now);
      expireTasks(draft);
      if (state.status === 'enrolled') recordVerdict(draft, command.compliance);
      return draft.events;
    }
    case 'UnenrolDevice': {
      if (state.status !== 'enrolled')
        return state.status === 'unenrolled' ? [] : refuse('device-not-enrolled', { field: 'deviceId' });
      const draft = draftOf(state, command.now);
      record(draft, { type: 'DeviceUnenrolled', data: { reason: 'administrator' } });
      for (const open of state.openTasks)
        record(draft, {
          type: 'TaskCancelled',
          data: { taskId: open.taskId, reason: 'the device was unenrolled' },
        });
      recordVerdict(draft, command.compliance);
      return draft.events;
    }
    case 'RecordPushTokenDead': {
      const { type: _, ...data } = command;
      return state.push?.token === command.token ? [{ type: 'DevicePushTokenDied', data }] : [];
    }
    case 'RecordWake': {
      const { type: _, ...data } = command;
      return state.lastWake?.messageId === command.messageId ? [] : [{ type: 'DeviceWoken', data }];
    }
    default:
      return never(command);
  }
};

export const deviceDecider: Decider<DeviceState, DeviceCommand, DeviceEvent> = {
  events: deviceEvents,
  stateVersion: 3,
  initial: initialDevice,
  evolve: evolveDevice,
  decide: decideDevice,
};
