/**
 * What an event leads to: pure, from one event to the jobs it asks for. Called by reactor.ts.
 */
import type { CompliancePolicyEvent } from '../domain/compliance-policy/compliance-policy.ts';
import type { DeploymentEvent } from '../domain/deployment/deployment.ts';
import type { DeviceEvent } from '../domain/device/device.ts';
import type { ExchangeEvent } from '../domain/exchange/exchange.ts';
import type { GroupEvent } from '../domain/group/group.ts';
import type { HandoutEvent } from '../domain/handout/handout.ts';
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
} from '../domain/ids.ts';
import type { ImportEvent } from '../domain/import/import.ts';
import type { MailSightingEvent } from '../domain/mail-sighting/mail-sighting.ts';
import type { PolicyEvent } from '../domain/policy/policy.ts';
import type { TaskBundleEvent } from '../domain/task-bundle/task-bundle.ts';
import type { TenantEvent } from '../domain/tenant/tenant.ts';
import { derivedId } from '../platform/derived-id.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import type { JobRequest, Origin, ReviewScope } from './jobs.ts';

/** Categories whose events lead to jobs. */
export const reactedCategories = [
  'device',
  'task-bundle',
  'policy',
  'tenant',
  'group',
  'compliance-policy',
  'deployment',
  'import',
  'handout',
  'exchange',
  'mail-sighting',
] as const;

const originOf = (event: StoredEvent): Origin => ({
  tenantId: event.tenantId,
  eventId: event.id,
  position: event.position.toString(),
  correlationId: event.metadata.$correlationId,
});

/** One transfer for each violation and bundle, known by the violation's beginning: once however often it is seen. */
const actOnVerdict = (
  event: StoredEvent,
  { verdict }: Extract<DeviceEvent, { type: 'ComplianceVerdictReached' }>['data'],
): JobRequest[] =>
  verdict.violations.flatMap(({ rule, since, actions }) =>
    actions.flatMap((action): JobRequest[] => {
      if (action.action !== 'transfer-task-bundle') return [];
      const { taskBundleId } = action;
      const deviceId = event.entityId as DeviceId;
      const transferId = derivedId('trf', since, `${deviceId}/${rule}/${since}/${taskBundleId}`);
      return [
        {
          queue: 'act-on-verdict',
          jobId: `${event.id}.${rule}.${taskBundleId}`,
          data: { origin: originOf(event), deviceId, rule, since, taskBundleId, transferId },
        },
      ];
    }),
  );

/** Whoever has no Exchange connection makes short work of the job: the event alone does not tell. */
const switchMail = (event: StoredEvent): JobRequest[] => [
  {
    queue: 'switch-mail-access',
    jobId: event.id,
    data: { origin: originOf(event), deviceId: event.entityId as DeviceId },
  },
];

const reconcileExchange = (
  event: StoredEvent,
  { name, dryRun }: Extract<ExchangeEvent, { type: 'ExchangeReconciliationRequested' }>['data'],
): JobRequest[] => [
  {
    queue: 'reconcile-exchange',
    jobId: event.id,
    data: { tenantId: event.tenantId, name, dryRun, origin: originOf(event) },
  },
];

const reactToDevice = (event: StoredEvent): JobRequest[] => {
  const { type, data } = event as unknown as DeviceEvent;
  switch (type) {
    case 'TaskQueued':
    case 'DevicePolicyAssigned':
      return [
        {
          queue: 'wake-device',
          jobId: event.id,
          data: {
            origin: originOf(event),
            deviceId: event.entityId as DeviceId,
            revision: Number(event.revision),
          },
        },
      ];
    case 'ComplianceVerdictReached':
      return [...actOnVerdict(event, data), ...switchMail(event)];
    case 'DeviceEnrolled':
    case 'DeviceUserAssigned':
    case 'DeviceMailAccessSet':
    // Exchange knows the device by that id.
    case 'DeviceEasIdBound':
      return switchMail(event);
    case 'DeviceUnenrolled':
      return [
        {
          queue: 'release-seat',
          jobId: event.id,
          data: { origin: originOf(event), deviceId: event.entityId as DeviceId },
        },
        ...switchMail(event),
      ];
    default:
      return [];
  }
};

const reviewFleet = (event: StoredEvent, scope: ReviewScope): JobRequest[] => [
  { queue: 'review-fleet', jobId: event.id, data: { origin: originOf(event), scope } },
];

/** One job for each tenant, so that one that fails keeps no other waiting. */
const deployTemplate = (event: StoredEvent): JobRequest[] =>
  (event.data as { readonly tenantIds: readonly TenantId[] }).tenantIds.map((tenantId) => ({
    queue: 'deploy-template',
    jobId: `${event.id}.${tenantId}`,
    data: { origin: originOf(event), deploymentId: event.entityId as DeploymentId, tenantId },
  }));

/** The jobs that an event asks for; most events ask for none. */
export const react = (event: StoredEvent): JobRequest[] => {
  const type = event.type as (
    | DeviceEvent
    | TaskBundleEvent
    | PolicyEvent
    | TenantEvent
    | GroupEvent
    | CompliancePolicyEvent
    | DeploymentEvent
    | ImportEvent
    | HandoutEvent
    | ExchangeEvent
    | MailSightingEvent
  )['type'];
  switch (type) {
    case 'TaskBundleTransferred':
      return [
        {
          queue: 'transfer-task-bundle',
          jobId: event.id,
          data: {
            origin: originOf(event),
            taskBundleId: event.entityId as TaskBundleId,
            revision: Number(event.revision),
          },
        },
      ];
    case 'DeploymentStarted':
      return deployTemplate(event);
    case 'PolicyRevised':
      return [
        {
          queue: 'wake-policy-devices',
          jobId: event.id,
          data: { origin: originOf(event), policyId: event.entityId as PolicyId },
        },
      ];
    case 'TenantCompliancePolicyAssigned':
      return reviewFleet(event, { kind: 'tenant' });
    case 'GroupCompliancePolicyAssigned':
      return reviewFleet(event, { kind: 'group', groupId: event.entityId as GroupId });
    case 'CompliancePolicyRevised':
      return reviewFleet(event, {
        kind: 'compliance-policy',
        compliancePolicyId: event.entityId as CompliancePolicyId,
      });
    case 'ImportRequested':
      return [
        {
          queue: 'run-import',
          jobId: event.id,
          data: { origin: originOf(event), importId: event.entityId as ImportId },
        },
      ];
    case 'ExchangeReconciliationRequested':
      return reconcileExchange(event, event.data as Parameters<typeof reconcileExchange>[1]);
    case 'MailDeviceSighted':
      return [
        {
          queue: 'bind-mail-device',
          jobId: event.id,
          data: { origin: originOf(event), sightingId: event.entityId as MailSightingId },
        },
      ];
    case 'HandoutRequested':
      return [
        {
          queue: 'issue-handout',
          jobId: event.id,
          data: { origin: originOf(event), handoutId: event.entityId as HandoutId },
        },
      ];
    default:
      return reactToDevice(event);
  }
};
