/** Specifications of the device decider: every command accepted, repeated and refused. */
import { test } from 'node:test';
import type { DeviceCommand } from '../../../domain/device/commands.ts';
import { deviceDecider } from '../../../domain/device/decide.ts';
import type { DeviceEvent } from '../../../domain/device/device.ts';
import type { PolicyState } from '../../../domain/policy/policy.ts';
import { casesOf } from '../../support/given.ts';
import { digestOf, idOf } from '../../support/ids.ts';
import {
  checkedIn,
  checkIn,
  compliancePolicy,
  enrol,
  enrolled,
  now,
  queued,
  registered,
  sent,
  unchecked,
  under,
  unenrolled,
} from './facts.ts';

const deviceId = 'deviceId';
const policy = (over: Partial<Exclude<PolicyState, { status: 'none' }>> = {}): PolicyState => ({
  status: 'active',
  name: 'P',
  policyType: 'device',
  platforms: ['android'],
  version: 1,
  settings: { restrictions: { camera: false } },
  ...over,
});
const assigned: DeviceEvent = {
  type: 'DevicePolicyAssigned',
  data: { policyId: idOf('pol', 1), policyType: 'device' },
};
const push = { provider: 'fcm', token: 'tok' } as const;
const pushKnown: DeviceEvent = { type: 'DevicePushAddressChanged', data: { push } };
const queue = (over: Partial<Extract<DeviceCommand, { type: 'QueueTasks' }>> = {}) =>
  ({
    type: 'QueueTasks',
    now,
    transferId: idOf('trf', 1),
    taskBundleId: null,
    tasks: [{ taskId: idOf('tsk', 1), type: 'lock', parameters: {} }],
    policies: new Map(),
    ...over,
  }) as const;
const easIdBound = { type: 'DeviceEasIdBound', data: { easDeviceId: 'SEC1' } } as const;
const verdict = under(compliancePolicy());
const due = '2026-03-01T13:00:00.000Z';

const cases = casesOf(deviceDecider, {
  RegisterDevice: {
    accepts: [{ given: [], when: { type: 'RegisterDevice', ...registered.data }, events: [registered] }],
    refuses: [
      {
        given: [registered],
        when: { type: 'RegisterDevice', ...registered.data, name: 'Other' },
        refused: 'device-exists',
      },
    ],
  },
  EnrolDevice: {
    accepts: [
      {
        given: [],
        when: enrol(),
        events: [
          { type: 'DeviceRegistered', data: { ...registered.data, serialNumber: null, groupId: null } },
          { ...enrolled, data: { ...enrolled.data, groupId: null } },
          unchecked,
        ],
      },
      // A registered device keeps the group and the person it was given when the code names none.
      { given: [registered], when: enrol({ userEmail: null }), events: [enrolled, unchecked] },
      // The reply was lost: the same request again, with the new token it is given.
      {
        given: [registered, enrolled, unchecked],
        when: enrol({ tokenHash: digestOf('e') }),
        events: [{ type: 'DeviceTokenReplaced', data: { tokenHash: digestOf('e') } }],
      },
      // Enrolled anew: what the earlier enrolment reported is withdrawn, the hardware stays known.
      {
        given: [
          registered,
          enrolled,
          { type: 'DeviceInventoryChanged', data: { changes: { encrypted: true, model: 'P9' } } },
          checkedIn('c0'),
          unenrolled,
          unchecked,
        ],
        when: enrol({ enrolmentId: idOf('enr', 2), requestId: 'r2', inventory: { osVersion: '15' } }),
        events: [
          { ...enrolled, data: { ...enrolled.data, enrolmentId: idOf('enr', 2), requestId: 'r2' } },
          { type: 'DeviceInventoryChanged', data: { changes: { encrypted: null, osVersion: '15' } } },
        ],
      },
    ],
    refuses: [
      {
        given: [registered],
        when: enrol({ platform: 'ios' }),
        refused: 'platform-mismatch',
        field: 'platform',
      },
      {
        given: [registered, enrolled, unchecked, unenrolled],
        when: enrol(),
        refused: 'enrolment-used',
        field: 'code',
      },
      {
        given: [registered, enrolled],
        when: enrol({ requestId: 'another' }),
        refused: 'device-already-enrolled',
      },
      {
        given: [registered, enrolled],
        when: enrol({ enrolmentId: idOf('enr', 2) }),
        refused: 'device-already-enrolled',
      },
      {
        given: [registered, enrolled, checkedIn('c0')],
        when: enrol({ tokenHash: digestOf('e') }),
        refused: 'device-already-enrolled',
      },
    ],
  },
  CheckIn: {
    accepts: [
      {
        given: [registered, enrolled, unchecked],
        when: checkIn(),
        events: [{ type: 'DeviceCheckedIn', data: { checkInId: 'c1', dueAt: null } }],
      },
      {
        given: [registered, enrolled, unchecked, assigned, queued(1)],
        when: checkIn({
          inventory: { osVersion: '14' },
          apps: { installed: [{ id: 'a.b', name: 'A', version: '1' }] },
          push,
          appliedPolicies: [
            { policyId: idOf('pol', 1), version: 3 },
            { policyId: idOf('pol', 9), version: 1 },
          ],
          compliance: compliancePolicy(),
        }),
        events: [
          { type: 'DeviceCheckedIn', data: { checkInId: 'c1', dueAt: due } },
          { type: 'DeviceInventoryChanged', data: { changes: { osVersion: '14' } } },
          {
            type: 'DeviceAppsChanged',
            data: { installed: [{ id: 'a.b', name: 'A', version: '1' }], removed: [] },
          },
          pushKnown,
          {
            type: 'DevicePolicyApplied',
            data: { policyId: idOf('pol', 1), policyType: 'device', version: 3 },
          },
          { type: 'ComplianceVerdictReached', data: { verdict, dueAt: due } },
          sent(1, 1),
        ],
      },
      // The list of apps is known, though empty, once it was reported whole.
      {
        given: [registered, enrolled, unchecked],
        when: checkIn({ apps: { complete: true, installed: [] } }),
        events: [
          { type: 'DeviceCheckedIn', data: { checkInId: 'c1', dueAt: null } },
          { type: 'DeviceAppsChanged', data: { installed: [], removed: [] } },
        ],
      },
      // Withdrawing an address that nobody knows is no change.
      {
        given: [registered, enrolled, unchecked],
        when: checkIn({ push: null, inventory: { encrypted: null }, apps: { removed: ['x.y'] } }),
        events: [{ type: 'DeviceCheckedIn', data: { checkInId: 'c1', dueAt: null } }],
      },
    ],
    refuses: [
      { given: [], when: checkIn(), refused: 'device-missing' },
      { given: [registered], when: checkIn(), refused: 'device-not-enrolled' },
      { given: [registered, enrolled, unenrolled], when: checkIn(), refused: 'device-retired' },
    ],
  },
  QueueTasks: {
    accepts: [
      {
        given: [registered, enrolled],
        when: queue(),
        events: [queued(1)],
      },
      {
        given: [registered, enrolled],
        when: queue({
          tasks: [
            { taskId: idOf('tsk', 1), type: 'assign-policy', parameters: { policyId: idOf('pol', 1) } },
            { taskId: idOf('tsk', 2), type: 'assign-policy', parameters: { policyId: idOf('pol', 2) } },
            { taskId: idOf('tsk', 3), type: 'assign-policy', parameters: { policyId: idOf('pol', 1) } },
          ],
          policies: new Map([
            [idOf('pol', 1), policy()],
            [idOf('pol', 2), policy()],
          ]),
        }),
        // The last task wins, although the policy of the first was assigned before.
        events: [1, 2, 1].flatMap((number, index): DeviceEvent[] => [
          { type: 'DevicePolicyAssigned', data: { policyId: idOf('pol', number), policyType: 'device' } },
          queued(index + 1, { type: 'assign-policy', parameters: { policyId: idOf('pol', number) } }),
        ]),
      },
    ],
    refuses: [
      { given: [], when: queue(), refused: 'device-missing', field: deviceId },
      { given: [registered], when: queue(), refused: 'device-not-enrolled', field: deviceId },
      {
        given: [registered, enrolled, unenrolled],
        when: queue(),
        refused: 'device-retired',
        field: deviceId,
      },
      {
        given: [{ ...registered, data: { ...registered.data, platform: 'macos' } }, enrolled],
        when: queue({ tasks: [{ taskId: idOf('tsk', 1), type: 'reset-passcode', parameters: {} }] }),
        refused: 'platform-mismatch',
        field: 'tasks',
      },
      {
        given: [registered, enrolled],
        when: queue({
          tasks: [
            { taskId: idOf('tsk', 1), type: 'assign-policy', parameters: { policyId: idOf('pol', 1) } },
          ],
        }),
        refused: 'policy-missing',
        field: 'policyId',
      },
    ],
  },
  RenameDevice: {
    accepts: [
      {
        given: [registered],
        when: { type: 'RenameDevice', name: 'New' },
        events: [{ type: 'DeviceRenamed', data: { name: 'New' } }],
      },
    ],
    refuses: [
      { given: [], when: { type: 'RenameDevice', name: 'New' }, refused: 'device-missing', field: deviceId },
    ],
  },
  AssignPolicy: {
    accepts: [
      {
        given: [registered, enrolled],
        when: { type: 'AssignPolicy', policyId: idOf('pol', 1), policy: policy() },
        events: [assigned],
      },
      {
        given: [registered, assigned],
        when: { type: 'AssignPolicy', policyId: idOf('pol', 2), policy: policy() },
        events: [{ type: 'DevicePolicyAssigned', data: { policyId: idOf('pol', 2), policyType: 'device' } }],
      },
    ],
    refuses: [
      {
        given: [registered],
        when: { type: 'AssignPolicy', policyId: idOf('pol', 1), policy: { status: 'none' } },
        refused: 'policy-missing',
        field: 'policyId',
      },
      {
        given: [registered],
        when: { type: 'AssignPolicy', policyId: idOf('pol', 1), policy: policy({ status: 'retired' }) },
        refused: 'policy-retired',
        field: 'policyId',
      },
      {
        given: [registered],
        when: { type: 'AssignPolicy', policyId: idOf('pol', 1), policy: policy({ platforms: ['ios'] }) },
        refused: 'platform-mismatch',
        field: 'policyId',
      },
      {
        given: [registered, enrolled, unenrolled],
        when: { type: 'AssignPolicy', policyId: idOf('pol', 1), policy: policy() },
        refused: 'device-retired',
        field: deviceId,
      },
    ],
  },
  UnassignPolicy: {
    accepts: [
      {
        given: [registered, assigned],
        when: { type: 'UnassignPolicy', policyId: idOf('pol', 1) },
        events: [
          { type: 'DevicePolicyUnassigned', data: { policyId: idOf('pol', 1), policyType: 'device' } },
        ],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'UnassignPolicy', policyId: idOf('pol', 1) },
        refused: 'device-missing',
        field: deviceId,
      },
    ],
  },
  CancelTask: {
    accepts: [
      {
        given: [registered, enrolled, queued(1)],
        when: { type: 'CancelTask', taskId: idOf('tsk', 1), reason: 'mistake' },
        events: [{ type: 'TaskCancelled', data: { taskId: idOf('tsk', 1), reason: 'mistake' } }],
      },
    ],
    refuses: [
      {
        given: [registered, enrolled],
        when: { type: 'CancelTask', taskId: idOf('tsk', 1), reason: 'mistake' },
        refused: 'task-missing',
        field: 'taskId',
      },
      {
        given: [
          registered,
          enrolled,
          queued(1),
          { type: 'TaskCompleted', data: { taskId: idOf('tsk', 1), message: null } },
        ],
        when: { type: 'CancelTask', taskId: idOf('tsk', 1), reason: 'mistake' },
        refused: 'task-finished',
        field: 'taskId',
      },
    ],
  },
  AssignDeviceUser: {
    accepts: [
      {
        given: [registered],
        when: { type: 'AssignDeviceUser', userEmail: 'bob@example.org' },
        events: [{ type: 'DeviceUserAssigned', data: { userEmail: 'bob@example.org' } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'AssignDeviceUser', userEmail: null },
        refused: 'device-missing',
        field: deviceId,
      },
    ],
  },
  SetMailAccess: {
    accepts: [
      {
        given: [registered],
        when: { type: 'SetMailAccess', access: 'deny' },
        events: [{ type: 'DeviceMailAccessSet', data: { access: 'deny' } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'SetMailAccess', access: 'deny' },
        refused: 'device-missing',
        field: deviceId,
      },
    ],
  },
  BindEasId: {
    accepts: [
      {
        given: [registered, enrolled],
        when: { type: 'BindEasId', easDeviceId: 'SEC1' },
        events: [easIdBound],
      },
      {
        given: [registered, enrolled, easIdBound],
        when: { type: 'BindEasId', easDeviceId: 'sec1' },
        events: [],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'BindEasId', easDeviceId: 'SEC1' },
        refused: 'device-missing',
        field: deviceId,
      },
      {
        given: [registered],
        when: { type: 'BindEasId', easDeviceId: 'SEC1' },
        refused: 'device-not-enrolled',
        field: deviceId,
      },
    ],
  },
  JoinGroup: {
    accepts: [
      {
        given: [registered],
        when: { type: 'JoinGroup', groupId: idOf('grp', 2), now, compliance: compliancePolicy() },
        events: [{ type: 'DeviceJoinedGroup', data: { groupId: idOf('grp', 2) } }],
      },
      {
        given: [registered, { ...enrolled, at: now }, unchecked],
        when: { type: 'JoinGroup', groupId: null, now, compliance: compliancePolicy() },
        events: [
          { type: 'DeviceJoinedGroup', data: { groupId: null } },
          { type: 'ComplianceVerdictReached', data: { verdict, dueAt: due } },
        ],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'JoinGroup', groupId: null, now, compliance: null },
        refused: 'device-missing',
        field: deviceId,
      },
    ],
  },
  ReviewDevice: {
    accepts: [
      {
        given: [registered, enrolled, queued(1, undefined, '2026-02-01T00:00:00.000Z')],
        when: { type: 'ReviewDevice', now, compliance: compliancePolicy() },
        events: [
          { type: 'TaskExpired', data: { taskId: idOf('tsk', 1) } },
          {
            type: 'ComplianceVerdictReached',
            data: {
              verdict: {
                ...verdict,
                status: 'non-compliant',
                violations: [
                  {
                    rule: 'maximum-sync-gap',
                    severity: 'medium',
                    why: 'The device has not synced for more than 60 minutes.',
                    since: '2026-01-01T01:00:00.000Z',
                    actions: [],
                  },
                ],
              },
              dueAt: null,
            },
          },
        ],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'ReviewDevice', now, compliance: null },
        refused: 'device-missing',
        field: deviceId,
      },
    ],
  },
  UnenrolDevice: {
    accepts: [
      {
        given: [
          registered,
          enrolled,
          { type: 'ComplianceVerdictReached', data: { verdict, dueAt: due } },
          queued(1),
          queued(2),
        ],
        when: { type: 'UnenrolDevice', now, compliance: compliancePolicy({ managed: true }) },
        events: [
          unenrolled,
          ...[1, 2].map(
            (number): DeviceEvent => ({
              type: 'TaskCancelled',
              data: { taskId: idOf('tsk', number), reason: 'the device was unenrolled' },
            }),
          ),
          {
            type: 'ComplianceVerdictReached',
            data: {
              verdict: {
                ...verdict,
                status: 'non-compliant',
                violations: [
                  {
                    rule: 'maximum-sync-gap',
                    severity: 'medium',
                    why: 'The device has not synced for more than 60 minutes.',
                    since: '2026-01-01T01:00:00.000Z',
                    actions: [],
                  },
                  {
                    rule: 'managed',
                    severity: 'high',
                    why: 'The device is not managed.',
                    since: now,
                    actions: [],
                  },
                ],
              },
              dueAt: null,
            },
          },
        ],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'UnenrolDevice', now, compliance: null },
        refused: 'device-missing',
        field: deviceId,
      },
      {
        given: [registered],
        when: { type: 'UnenrolDevice', now, compliance: null },
        refused: 'device-not-enrolled',
        field: deviceId,
      },
    ],
  },
  RecordPushTokenDead: {
    accepts: [
      {
        given: [registered, enrolled, pushKnown],
        when: { type: 'RecordPushTokenDead', ...push, reason: 'UNREGISTERED' },
        events: [{ type: 'DevicePushTokenDied', data: { ...push, reason: 'UNREGISTERED' } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'RecordPushTokenDead', ...push, reason: 'UNREGISTERED' },
        refused: 'device-missing',
        field: deviceId,
      },
    ],
  },
  RecordWake: {
    accepts: [
      {
        given: [registered, enrolled, pushKnown],
        when: { type: 'RecordWake', provider: 'fcm', messageId: 'm1', throughRevision: 3 },
        events: [{ type: 'DeviceWoken', data: { provider: 'fcm', messageId: 'm1', throughRevision: 3 } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'RecordWake', provider: 'fcm', messageId: 'm1', throughRevision: 3 },
        refused: 'device-missing',
        field: deviceId,
      },
    ],
  },
});

for (const [name, run] of cases) test(name, run);
