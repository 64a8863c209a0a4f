/**
 * The commands of a device. Times (`now`, ISO 8601 UTC), new ids and the policies in force arrive as values.
 * Decided by decide.ts; sent through platform/handle.ts by api/device/, api/graphql/device.ts and workers/.
 */
import type { EffectiveCompliancePolicy } from '../compliance/evaluate.ts';
import type { EnrolmentId, GroupId, PolicyId, TaskBundleId, TaskId, TransferId } from '../ids.ts';
import type { PolicyState } from '../policy/policy.ts';
import type { Task } from '../task-bundle/tasks/index.ts';
import type { TenantStanding } from '../tenant/standing.ts';
import type { Ownership, Platform } from '../text.ts';
import type { MailAccess, PushAddress, PushProviderName } from './device.ts';
import type { AppsDelta, Inventory } from './inventory.ts';

/** What a device reports, at enrolment and at each check-in. */
export interface Report {
  readonly inventory?: Inventory | undefined;
  readonly apps?: AppsDelta | undefined;
  /** null withdraws the address. */
  readonly push?: PushAddress | null | undefined;
}

/** What a device says about a task that it was sent. A failure with `retry` is sent again later, up to five times. */
export interface TaskResult {
  readonly taskId: TaskId;
  readonly status: 'completed' | 'failed';
  readonly retry?: boolean | undefined;
  readonly message?: string | undefined;
}

interface Evaluated {
  readonly now: string;
  /** The compliance policy in force for the device; null when none is assigned. */
  readonly compliance: EffectiveCompliancePolicy | null;
}

export interface RegisterDevice {
  readonly type: 'RegisterDevice';
  readonly name: string;
  readonly platform: Platform;
  readonly ownership: Ownership;
  readonly userEmail: string | null;
  readonly groupId: GroupId | null;
  readonly serialNumber: string | null;
}

export interface EnrolDevice extends Evaluated, Report {
  readonly type: 'EnrolDevice';
  readonly enrolmentId: EnrolmentId;
  readonly requestId: string;
  readonly tokenHash: string;
  readonly name: string;
  readonly platform: Platform;
  readonly ownership: Ownership;
  readonly userEmail: string | null;
  readonly groupId: GroupId | null;
}

export interface CheckIn extends Evaluated, Report {
  readonly type: 'CheckIn';
  readonly checkInId: string;
  readonly taskResults?: readonly TaskResult[] | undefined;
  readonly appliedPolicies?: readonly { readonly policyId: PolicyId; readonly version: number }[] | undefined;
}

export interface QueueTasks {
  readonly type: 'QueueTasks';
  readonly now: string;
  readonly transferId: TransferId;
  readonly taskBundleId: TaskBundleId | null;
  readonly tasks: readonly (Task & { readonly taskId: TaskId })[];
  /** The policies that tasks of type `assign-policy` name, by id. */
  readonly policies: ReadonlyMap<string, PolicyState>;
  /** What the tenant may still begin. */
  readonly standing?: TenantStanding | undefined;
}

export type DeviceCommand =
  | RegisterDevice
  | EnrolDevice
  | CheckIn
  | QueueTasks
  | { readonly type: 'RenameDevice'; readonly name: string }
  | { readonly type: 'AssignPolicy'; readonly policyId: PolicyId; readonly policy: PolicyState }
  | { readonly type: 'UnassignPolicy'; readonly policyId: PolicyId }
  | { readonly type: 'CancelTask'; readonly taskId: TaskId; readonly reason: string }
  /** null takes the device off its user. */
  | { readonly type: 'AssignDeviceUser'; readonly userEmail: string | null }
  | { readonly type: 'SetMailAccess'; readonly access: MailAccess }
  /** The id that its mail app was seen with. */
  | { readonly type: 'BindEasId'; readonly easDeviceId: string }
  | ({ readonly type: 'JoinGroup'; readonly groupId: GroupId | null } & Evaluated)
  /** Reaches the verdict again and expires tasks: by schedule, or after the compliance policy changed. */
  | ({ readonly type: 'ReviewDevice' } & Evaluated)
  | ({ readonly type: 'UnenrolDevice' } & Evaluated)
  | {
      readonly type: 'RecordPushTokenDead';
      readonly provider: PushProviderName;
      readonly token: string;
      readonly reason: string;
    }
  | {
      readonly type: 'RecordWake';
      readonly provider: PushProviderName;
      readonly messageId: string;
      readonly throughRevision: number;
    };
