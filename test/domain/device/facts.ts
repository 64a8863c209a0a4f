/**
 * Facts, commands and policies that the device's tests share. Called by the tests beside this file.
 */
import type { EffectiveCompliancePolicy } from '../../../domain/compliance/evaluate.ts';
import type { RuleSetting } from '../../../domain/compliance/settings.ts';
import type { Verdict } from '../../../domain/compliance/verdict.ts';
import type { CheckIn, EnrolDevice } from '../../../domain/device/commands.ts';
import type { DeviceEvent } from '../../../domain/device/device.ts';
import type { Task } from '../../../domain/task-bundle/tasks/index.ts';
import { digestOf, idOf } from '../../support/ids.ts';

/** The time of commands; facts are from January unless they say otherwise. */
export const now = '2026-03-01T12:00:00.000Z';

/** `ms` after a time. */
export const later = (ms: number, from = now): string => new Date(Date.parse(from) + ms).toISOString();

const identity = {
  platform: 'android',
  ownership: 'corporate',
  userEmail: 'ada@example.org',
  groupId: idOf('grp', 1),
} as const;

export const registered: Extract<DeviceEvent, { type: 'DeviceRegistered' }> = {
  type: 'DeviceRegistered',
  data: { name: 'Phone', ...identity, serialNumber: null },
};

export const enrolled: Extract<DeviceEvent, { type: 'DeviceEnrolled' }> = {
  type: 'DeviceEnrolled',
  data: {
    enrolmentId: idOf('enr', 1),
    requestId: 'r1',
    tokenHash: digestOf('d'),
    userEmail: identity.userEmail,
    ownership: identity.ownership,
    groupId: identity.groupId,
  },
};

export const unenrolled: DeviceEvent = { type: 'DeviceUnenrolled', data: { reason: 'administrator' } };

export const checkedIn = (checkInId: string): DeviceEvent => ({
  type: 'DeviceCheckedIn',
  data: { checkInId, dueAt: null },
});

/** The verdict without a compliance policy. */
export const unchecked: DeviceEvent = {
  type: 'ComplianceVerdictReached',
  data: {
    verdict: {
      status: 'unchecked',
      compliancePolicyId: null,
      compliancePolicyVersion: null,
      violations: [],
    },
    dueAt: null,
  },
};

export const queued = (
  number: number,
  task: Task = { type: 'lock', parameters: {} },
  expiresAt = later(72 * 3_600_000),
  transfer = 1,
): DeviceEvent => ({
  type: 'TaskQueued',
  data: {
    taskId: idOf('tsk', number),
    task,
    transferId: idOf('trf', transfer),
    taskBundleId: null,
    expiresAt,
  },
});

export const sent = (number: number, attempt: number): DeviceEvent => ({
  type: 'TaskSent',
  data: { taskId: idOf('tsk', number), attempt },
});

export const enrol = (over: Partial<EnrolDevice> = {}): EnrolDevice => ({
  type: 'EnrolDevice',
  now,
  compliance: null,
  enrolmentId: idOf('enr', 1),
  requestId: 'r1',
  tokenHash: digestOf('d'),
  name: 'Phone',
  platform: identity.platform,
  ownership: identity.ownership,
  userEmail: identity.userEmail,
  groupId: null,
  ...over,
});

export const checkIn = (over: Partial<CheckIn> = {}): CheckIn => ({
  type: 'CheckIn',
  now,
  compliance: null,
  checkInId: 'c1',
  ...over,
});

/** A compliance policy for Android with a sync gap of 60 minutes, on request with the rule `managed`. */
export const compliancePolicy = (
  options: { managed?: boolean; version?: number; more?: RuleSetting[] } = {},
): EffectiveCompliancePolicy => ({
  compliancePolicyId: idOf('cmp', 1),
  version: options.version ?? 1,
  settings: {
    android: [
      { rule: 'maximum-sync-gap', parameters: { minutes: 60 }, actions: [] },
      ...(options.managed ? [{ rule: 'managed' as const, parameters: {}, actions: [] }] : []),
      ...(options.more ?? []),
    ],
  },
});

/** The verdict `compliant` under a policy. */
export const under = ({ compliancePolicyId, version }: EffectiveCompliancePolicy): Verdict => ({
  status: 'compliant',
  compliancePolicyId,
  compliancePolicyVersion: version,
  violations: [],
});
