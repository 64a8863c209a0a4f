/**
 * Refuses what the licence does not permit the account's tenant: new tasks after it expired, and what manages container
 * apps without the Advanced edition. What a tenant has already goes on.
 * Called by the mutations of device.ts, policy.ts, compliance-policy.ts and task-bundle.ts, and by references.ts.
 */
import type { ComplianceSettings } from '../../domain/compliance/settings.ts';
import type { PolicyId } from '../../domain/ids.ts';
import { licenceDecider } from '../../domain/licence/decide.ts';
import {
  allotmentOf,
  mayManage,
  mayManageByPolicy,
  mayManageByTasks,
  mayQueueTasks,
} from '../../domain/licence/entitlement.ts';
import type { Edition, LicenceState } from '../../domain/licence/licence.ts';
import { policyDecider } from '../../domain/policy/decide.ts';
import type { PolicyState } from '../../domain/policy/policy.ts';
import { taskBundleDecider } from '../../domain/task-bundle/decide.ts';
import type { Task } from '../../domain/task-bundle/tasks/index.ts';
import { isoTime } from '../../platform/clock.ts';
import { theLicence } from '../../platform/licence.ts';
import { type ApiContext, signedIn } from './context.ts';
import { refuseIf, stateOf } from './effect.ts';

/** What changed on another node counts here after this many ms. */
const maxAgeMs = 2000;

/** The licence of the installation, at most two seconds old. */
export const licenceOf = async ({ deps }: Pick<ApiContext, 'deps'>): Promise<LicenceState> =>
  (await deps.handler.load(licenceDecider, theLicence, { maxAgeMs })).state;

const editionOf = async (context: ApiContext): Promise<Edition> =>
  allotmentOf(await licenceOf(context), signedIn(context).tenantId).edition;

type ManagedPolicy = Pick<Exclude<PolicyState, { status: 'none' }>, 'policyType' | 'settings'>;

/** Refuses `edition-required` for a policy that configures container apps. */
export const requireEditionOfPolicy = async (
  context: ApiContext,
  policy: PolicyState | ManagedPolicy,
  field = 'policyId',
): Promise<void> => {
  if ('status' in policy && policy.status === 'none') return;
  const { containerApps } = context.config;
  refuseIf(mayManageByPolicy(await editionOf(context), containerApps, policy as ManagedPolicy, field));
};

/** Refuses `edition-required` for tasks that install, remove or configure container apps. */
export const requireEditionOfTasks = async (
  context: ApiContext,
  tasks: readonly Task[],
  field = 'tasks',
): Promise<void> => {
  refuseIf(mayManageByTasks(await editionOf(context), context.config.containerApps, tasks, field));
  for (const { type, parameters } of tasks) {
    if (type !== 'assign-policy') continue;
    const policy = await stateOf(context, policyDecider, parameters['policyId'] as PolicyId);
    await requireEditionOfPolicy(context, policy, field);
  }
};

/** Refuses tasks that may not be queued now: `licence-expired` and what else stops new tasks, and `edition-required`. */
export const requireQueueable = async (
  context: ApiContext,
  tasks: readonly Task[],
  field: string,
): Promise<void> => {
  const { tenantId } = signedIn(context);
  const now = isoTime(context.deps.clock());
  refuseIf(mayQueueTasks(await licenceOf(context), tenantId, tasks, now));
  await requireEditionOfTasks(context, tasks, field);
};

/** Refuses `edition-required` for rules about container apps, and for actions that manage them. */
export const requireEditionOfRules = async (
  context: ApiContext,
  settings: ComplianceSettings,
  field: string,
): Promise<void> => {
  refuseIf(mayManage(await editionOf(context), context.config.containerApps, settings, field));
  for (const { actions } of Object.values(settings).flatMap((rules) => rules ?? [])) {
    for (const taken of actions) {
      if (taken.action !== 'transfer-task-bundle') continue;
      const bundle = await stateOf(context, taskBundleDecider, taken.taskBundleId);
      if (bundle.status !== 'none') await requireEditionOfTasks(context, bundle.tasks, field);
    }
  }
};
