/**
 * Every job: what its data is, and what it runs with. Data refers to events and aggregates and never copies what is
 * in them. Made by react.ts, queued by queues.ts, run by the file of the queue's name.
 */
import type {
  CompliancePolicyId,
  DeploymentId,
  DeviceId,
  GroupId,
  HandoutId,
  ImportId,
  MailSightingId,
  PolicyId,
  TaskBundleId,
  TenantId,
  TransferId,
} from '../domain/ids.ts';
import type { ServerConfig } from '../platform/config.ts';
import type { Deps } from '../platform/deps.ts';
import type { QueueName } from '../platform/queue.ts';
import type { SealedSecrets } from '../platform/sealed-secrets.ts';
import type { ProjectionWaiter } from '../projections/await.ts';
import type { Pauses } from './exchange/pauses.ts';
import type { PushServices } from './push/index.ts';

/** What led to a job, for the metadata of the events that follow from it. */
export interface Origin {
  readonly tenantId: TenantId;
  /** Id and log position (decimal: JSON has no bigint) of the event that was reacted to. */
  readonly eventId: string;
  readonly position: string;
  readonly correlationId: string;
}

/** A wake that the push service took but that could not be recorded yet. */
export interface SentWake {
  readonly messageId: string;
  readonly throughRevision: number;
}

/** Which devices of the tenant a review of the fleet concerns. */
export type ReviewScope =
  | { readonly kind: 'tenant' }
  | { readonly kind: 'group'; readonly groupId: GroupId }
  | { readonly kind: 'compliance-policy'; readonly compliancePolicyId: CompliancePolicyId };

export interface JobData {
  'wake-device': {
    readonly origin: Origin;
    readonly deviceId: DeviceId;
    /** Revision of the device's event that asks for the wake; null when another aggregate's event does. */
    readonly revision: number | null;
    readonly sent?: SentWake;
  };
  'wake-policy-devices': { readonly origin: Origin; readonly policyId: PolicyId };
  'transfer-task-bundle': {
    readonly origin: Origin;
    readonly taskBundleId: TaskBundleId;
    /** Revision of TaskBundleTransferred in the bundle's stream. */
    readonly revision: number;
  };
  'act-on-verdict': {
    readonly origin: Origin;
    readonly deviceId: DeviceId;
    readonly rule: string;
    readonly since: string;
    readonly taskBundleId: TaskBundleId;
    readonly transferId: TransferId;
  };
  'deploy-template': {
    readonly origin: Origin;
    readonly deploymentId: DeploymentId;
    readonly tenantId: TenantId;
  };
  'purge-tenants': Record<string, never>;
  'review-devices': Record<string, never>;
  'bind-mail-device': { readonly origin: Origin; readonly sightingId: MailSightingId };
  'release-seat': { readonly origin: Origin; readonly deviceId: DeviceId };
  'review-seats': Record<string, never>;
  'review-licence': Record<string, never>;
  'review-fleet': { readonly origin: Origin; readonly scope: ReviewScope };
  'run-import': { readonly origin: Origin; readonly importId: ImportId };
  'issue-handout': { readonly origin: Origin; readonly handoutId: HandoutId };
  'review-directories': Record<string, never>;
  'sync-directory': { readonly tenantId: TenantId };
  'switch-mail-access': { readonly origin: Origin; readonly deviceId: DeviceId };
  'review-exchange': Record<string, never>;
  'reconcile-exchange': {
    readonly tenantId: TenantId;
    readonly name: string;
    readonly dryRun: boolean;
    /** Absent when it is due by schedule. */
    readonly origin?: Origin;
  };
}

/** A job to queue. `jobId` is made from the event's id: the same event delivered twice makes the same job. */
export type JobRequest = {
  [Name in QueueName]: {
    readonly queue: Name;
    readonly jobId: string;
    readonly data: JobData[Name];
  };
}[QueueName];

/** Where jobs are added. */
export interface JobQueues {
  /** Queues jobs; one whose id is known already (waiting, running, finished within a day, dead) is not added again. */
  add(requests: readonly JobRequest[]): Promise<void>;
  /** Runs a job of the queue every `everyMs`, in one process at a time however many schedule it. */
  schedule(queue: QueueName, everyMs: number): Promise<void>;
  close(): Promise<void>;
}

/** What jobs run with. */
export interface Parts {
  readonly config: Pick<
    ServerConfig,
    'workerConcurrency' | 'reviewIntervalSeconds' | 'directoryAllowLoopback' | 'exchangeAllowLoopback'
  >;
  readonly deps: Deps;
  readonly push: PushServices;
  /** Secrets of tenants that are read back. */
  readonly secrets: SealedSecrets;
  /** Rests that Exchange servers asked for. */
  readonly pauses: Pauses;
  /** Knows how far the read models have come. */
  readonly projected: ProjectionWaiter;
  readonly queues: JobQueues;
  /** Aborts when the process stops: a long job then gives its place back and is run again from its start. */
  readonly stopping: AbortSignal;
}

/** A job that is being run. */
export interface RunningJob<Data> {
  readonly id: string;
  readonly data: Data;
  /** Stores data for the next attempt. */
  keep(data: Data): Promise<void>;
  /** Shows how far a long job has come. */
  progress(counts: Readonly<Record<string, number>>): Promise<void>;
}

/** A kind of job: the result is kept with the finished job, for those who look. */
export interface JobKind<Name extends QueueName> {
  readonly queue: Name;
  /** Jobs of this kind that one process runs at once; without it, the configured number. */
  readonly concurrency?: number;
  readonly run: (job: RunningJob<JobData[Name]>, parts: Parts) => Promise<unknown>;
}
