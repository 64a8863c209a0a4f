/**
 * Checks that what an input names exists in the account's own tenant; another tenant's ids are missing like any other.
 * Called by the mutations of api/graphql/<noun>.ts before they act.
 */
import type { ComplianceSettings } from '../../domain/compliance/settings.ts';
import { compliancePolicyDecider } from '../../domain/compliance-policy/decide.ts';
import type { Decider } from '../../domain/decider.ts';
import { deviceDecider } from '../../domain/device/decide.ts';
import type { DeviceState } from '../../domain/device/device.ts';
import { groupDecider } from '../../domain/group/decide.ts';
import type {
  CompliancePolicyId,
  DeviceId,
  GroupId,
  PolicyId,
  TaskBundleId,
  TemplateId,
  UserGroupId,
  UserId,
} from '../../domain/ids.ts';
import { policyDecider } from '../../domain/policy/decide.ts';
import type { PolicyState } from '../../domain/policy/policy.ts';
import { type RefusalCode, refuse } from '../../domain/refusals.ts';
import { taskBundleDecider } from '../../domain/task-bundle/decide.ts';
import { type Task, taskTypeOf } from '../../domain/task-bundle/tasks/index.ts';
import { templateDecider } from '../../domain/template/decide.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { standingFault, standingOf, type TenantStanding } from '../../domain/tenant/standing.ts';
import type { Platform } from '../../domain/text.ts';
import { userDecider } from '../../domain/user/decide.ts';
import type { UserState } from '../../domain/user/user.ts';
import { userGroupDecider } from '../../domain/user-group/decide.ts';
import { isoTime } from '../../platform/clock.ts';
import type { TemplateVersion } from '../../platform/deploy-template.ts';
import { RefusedError } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { type AnyEvent, stateOf } from './effect.ts';
import { requireEditionOfRules } from './entitlements.ts';
import { refuseAccess } from './scopes.ts';

/** Refuses an aggregate that does not exist, with the code and input field by which it is missing. */
export const requireExisting = async <
  State extends { readonly status: string },
  Command,
  Event extends AnyEvent,
>(
  context: ApiContext,
  decider: Decider<State, Command, Event>,
  id: string,
  code: RefusalCode,
  field: string,
): Promise<State> => {
  const state = await stateOf(context, decider, id);
  if (state.status === 'none') throw new RefusedError(refuse(code, { field }));
  return state;
};

/** The device, whatever its status; refuses `device-missing`. */
export const requireDevice = async (
  context: ApiContext,
  deviceId: DeviceId,
  field = 'deviceId',
): Promise<DeviceState> => requireExisting(context, deviceDecider, deviceId, 'device-missing', field);

/** Refuses `group-missing`; null names no group and is fine. */
export const requireGroup = async (
  context: ApiContext,
  groupId: GroupId | null,
  field = 'groupId',
): Promise<void> => {
  if (groupId === null) return;
  const state = await stateOf(context, groupDecider, groupId);
  if (state.status !== 'active') throw new RefusedError(refuse('group-missing', { field }));
};

/** The user; refuses `user-missing`, and `user-removed` for one that was. */
export const requireUser = async (
  context: ApiContext,
  userId: UserId,
  field = 'userId',
): Promise<Exclude<UserState, { status: 'none' }>> => {
  const state = await stateOf(context, userDecider, userId);
  if (state.status === 'none') throw new RefusedError(refuse('user-missing', { field }));
  if (state.status === 'removed') throw new RefusedError(refuse('user-removed', { field }));
  return state;
};

/** Refuses `user-group-missing`. */
export const requireUserGroup = async (context: ApiContext, userGroupId: UserGroupId): Promise<void> => {
  const { status } = await stateOf(context, userGroupDecider, userGroupId);
  if (status !== 'active') throw new RefusedError(refuse('user-group-missing', { field: 'userGroupId' }));
};

/**
 * Refuses `compliance-policy-missing`, `compliance-policy-retired` and, when it manages container apps without the
 * Advanced edition, `edition-required`; null names none and is fine.
 */
export const requireCompliancePolicy = async (
  context: ApiContext,
  compliancePolicyId: CompliancePolicyId | null,
): Promise<void> => {
  if (compliancePolicyId === null) return;
  const field = 'compliancePolicyId';
  const policy = await stateOf(context, compliancePolicyDecider, compliancePolicyId);
  if (policy.status === 'none') throw new RefusedError(refuse('compliance-policy-missing', { field }));
  if (policy.status === 'retired') throw new RefusedError(refuse('compliance-policy-retired', { field }));
  await requireEditionOfRules(context, policy.settings, field);
};

/**
 * Refuses `bundle-missing` for an action that names no task bundle of the tenant. One whose bundle ends enrolments
 * needs `device.wipe`; how many devices it concerns an hour is bounded in workers/act-on-verdict.ts.
 */
export const requireActions = async (context: ApiContext, settings: ComplianceSettings): Promise<void> => {
  for (const [platform, rules] of Object.entries(settings)) {
    for (const [index, { actions }] of (rules ?? []).entries()) {
      for (const taken of actions) {
        if (taken.action !== 'transfer-task-bundle') continue;
        await requireTaskBundle(context, taken.taskBundleId, `settings.${platform}.${index}.actions`);
      }
    }
  }
};

const requireTaskBundle = async (
  context: ApiContext,
  taskBundleId: TaskBundleId,
  field: string,
): Promise<void> => {
  const bundle = await stateOf(context, taskBundleDecider, taskBundleId);
  if (bundle.status === 'none') throw new RefusedError(refuse('bundle-missing', { field }));
  if (bundle.status === 'retired') throw new RefusedError(refuse('bundle-retired', { field }));
  requireWipe(context, bundle.tasks, 'transfer-task-bundle');
};

/** Throws `forbidden` for tasks that end enrolments unless the caller may wipe. */
export const requireWipe = (context: ApiContext, tasks: readonly Task[], operation: string): void => {
  if (tasks.some(({ type }) => taskTypeOf(type).endsEnrolment))
    refuseAccess(context, 'device.wipe', operation);
};

/** The policies that tasks of type `assign-policy` name, by id; refuses `policy-missing` and `policy-retired`. */
export const requirePolicies = async (
  context: ApiContext,
  tasks: readonly Task[],
): Promise<ReadonlyMap<string, PolicyState>> => {
  const policies = new Map<string, PolicyState>();
  for (const { type, parameters } of tasks) {
    if (type !== 'assign-policy') continue;
    const policyId = parameters['policyId'] as PolicyId;
    policies.set(policyId, await requirePolicy(context, policyId, 'tasks'));
  }
  return policies;
};

/** The policy; refuses `policy-missing` and `policy-retired`. */
export const requirePolicy = async (
  context: ApiContext,
  policyId: PolicyId,
  field = 'policyId',
): Promise<PolicyState> => {
  const state = await stateOf(context, policyDecider, policyId);
  if (state.status === 'none') throw new RefusedError(refuse('policy-missing', { field }));
  if (state.status === 'retired') throw new RefusedError(refuse('policy-retired', { field }));
  return state;
};

/** What the tenant may still begin: for decisions on tasks and enrolments. */
export const requireStanding = async (context: ApiContext): Promise<TenantStanding | undefined> =>
  standingOf(await stateOf(context, tenantDecider, signedIn(context).tenantId));

/** Refuses `tenant-expired`, and `platform-disabled` when a platform is named. */
export const requireAbleToBegin = async (context: ApiContext, platform: Platform | null): Promise<void> => {
  const now = isoTime(context.deps.clock());
  const fault = standingFault(await requireStanding(context), now, platform);
  if (fault) throw new RefusedError(fault);
};

/** The present version of a template of the own tenant; refuses `template-missing` and `template-retired`. */
export const requireTemplate = async (
  context: ApiContext,
  templateId: TemplateId,
): Promise<TemplateVersion> => {
  const state = await stateOf(context, templateDecider, templateId);
  const field = 'templateId';
  if (state.status === 'none') throw new RefusedError(refuse('template-missing', { field }));
  if (state.status === 'retired') throw new RefusedError(refuse('template-retired', { field }));
  return { templateId, version: state.version, content: state.content };
};
