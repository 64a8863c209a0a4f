/**
 * What the licence permits: pure questions about its state, a tenant and the time. Called by the edges that enrol,
 * queue tasks and compose what manages apps, and by whoever shows the licence.
 */
import type { TenantId } from '../ids.ts';
import type { PolicyType } from '../policy/policy.ts';
import type { PolicySettings } from '../policy/settings.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { findIn } from '../shards.ts';
import type { Task, TaskTypeName } from '../task-bundle/tasks/index.ts';
import type { Allotment, Edition, Grant, LicenceState } from './licence.ts';

const dayMs = 24 * 3_600_000;
/** From this many days before its end the licence is `expiring`. */
export const warningDays = 30;

/** How long a licence lasts. */
export interface Validity {
  readonly state: 'valid' | 'expiring' | 'expired';
  /** Whole days until it expires; 0 on the last day and afterwards. */
  readonly daysLeft: number;
}

/** Validity at a time (ISO 8601, UTC). */
export const validityAt = ({ expiresAt }: Pick<Grant, 'expiresAt'>, now: string): Validity => {
  const leftMs = Date.parse(expiresAt) - Date.parse(now);
  if (leftMs <= 0) return { state: 'expired', daysLeft: 0 };
  return {
    state: leftMs <= warningDays * dayMs ? 'expiring' : 'valid',
    daysLeft: Math.floor(leftMs / dayMs),
  };
};

/** What is in force at a time: refuses `licence-missing`, `trial-unregistered` and `licence-expired`. */
const inForce = (licence: LicenceState, now: string): Grant | Refusal => {
  if (licence.status === 'none' || licence.grant === null) return refuse('licence-missing');
  const { grant } = licence;
  if (grant.kind === 'trial' && licence.registrationEmail === null) return refuse('trial-unregistered');
  return validityAt(grant, now).state === 'expired'
    ? refuse('licence-expired', {
        detail: `the ${grant.kind === 'trial' ? 'trial' : 'licence'} expired at ${grant.expiresAt}`,
      })
    : grant;
};

/** What a tenant may use. Its edition is never above the licence's; without an allotment it has no seats. */
export const allotmentOf = (licence: LicenceState, tenantId: TenantId): Allotment => {
  const allotted = licence.status === 'none' ? undefined : findIn(licence.allotments, tenantId);
  if (licence.status === 'none' || !allotted) return { seats: 0, edition: 'standard' };
  return { ...allotted, edition: licence.grant?.edition === 'standard' ? 'standard' : allotted.edition };
};

/** Why a tenant may enrol no device now, whatever its seats; undefined when it may. */
export const mayEnrol = (licence: LicenceState, tenantId: TenantId, now: string): Refusal | undefined => {
  const grant = inForce(licence, now);
  if ('refused' in grant) return grant;
  return allotmentOf(licence, tenantId).seats === 0
    ? refuse('seats-exhausted', { detail: 'no seats are allotted to the tenant' })
    : undefined;
};

/** A device can always be let go, licence or not. */
const alwaysQueued: readonly TaskTypeName[] = ['unenrol', 'wipe'];

/** Why a tenant may queue no such tasks now; undefined when it may. Tasks already queued are not concerned. */
export const mayQueueTasks = (
  licence: LicenceState,
  _tenantId: TenantId,
  tasks: readonly Pick<Task, 'type'>[],
  now: string,
): Refusal | undefined => {
  if (tasks.every(({ type }) => alwaysQueued.includes(type))) return undefined;
  const grant = inForce(licence, now);
  return 'refused' in grant ? grant : undefined;
};

/** Every text within a JSON value. */
const textsIn = (value: unknown): string[] => {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
};

/** Why an edition may not manage what `settings` name, if that is a container app; undefined when it may. */
export const mayManage = (
  edition: Edition,
  containerApps: readonly string[],
  settings: unknown,
  field: string,
): Refusal | undefined => {
  if (edition === 'advanced' || containerApps.length === 0) return undefined;
  const app = textsIn(settings).find((text) => containerApps.includes(text));
  return app === undefined
    ? undefined
    : refuse('edition-required', { field, detail: `${app} is a container app` });
};

/** The same for a policy: those of type `container` configure container apps and nothing else. */
export const mayManageByPolicy = (
  edition: Edition,
  containerApps: readonly string[],
  policy: { readonly policyType: PolicyType; readonly settings: PolicySettings },
  field: string,
): Refusal | undefined =>
  policy.policyType === 'container' && edition !== 'advanced'
    ? refuse('edition-required', { field, detail: 'container policies are for container apps' })
    : mayManage(edition, containerApps, policy.settings, field);

/** The same for tasks: what they install and remove. */
export const mayManageByTasks = (
  edition: Edition,
  containerApps: readonly string[],
  tasks: readonly Task[],
  field: string,
): Refusal | undefined =>
  mayManage(
    edition,
    containerApps,
    tasks.map(({ parameters }) => parameters['appId']),
    field,
  );
