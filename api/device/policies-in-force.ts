/**
 * What is in force for a device at a check-in: its tenant, its compliance policy, the policies it must still apply.
 * Called by enrol.ts and sync.ts. Aggregates come from the handler's cache; none is older than two seconds.
 */
import type { EffectiveCompliancePolicy } from '../../domain/compliance/evaluate.ts';
import type { DeviceState } from '../../domain/device/device.ts';
import type { PolicyId, TenantId } from '../../domain/ids.ts';
import { policyDecider } from '../../domain/policy/decide.ts';
import type { PolicyType } from '../../domain/policy/policy.ts';
import type { PolicySettings } from '../../domain/policy/settings.ts';
import { type Refusal, refuse } from '../../domain/refusals.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import type { ExistingTenant } from '../../domain/tenant/tenant.ts';
import type { Ownership } from '../../domain/text.ts';
import { complianceInForce } from '../../platform/compliance-in-force.ts';
import type { Handler } from '../../platform/handle.ts';

/** Age in ms up to which policies and tenants are used as cached: a change reaches every check-in within it. */
const maxAgeMs = 2000;

/** The tenant when its devices are served; refuses `tenant-suspended` and `tenant-deleted`. */
export const servedTenant = async (
  handler: Handler,
  tenantId: TenantId,
): Promise<ExistingTenant | Refusal> => {
  const { state } = await handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs });
  // Whoever has a credential of a tenant that is not there had it from one that was.
  if (state.status === 'none' || state.status === 'deleted') return refuse('tenant-deleted');
  return state.status === 'suspended' ? refuse('tenant-suspended') : state;
};

/**
 * The compliance policy in force for a device. When the device's verdict was reached under another policy or a later
 * version than the cached one, the cache is behind: the log is read.
 */
export const complianceFor = async (
  handler: Handler,
  tenantId: TenantId,
  { groupId, verdict }: Pick<DeviceState, 'groupId' | 'verdict'>,
): Promise<EffectiveCompliancePolicy | null> => {
  const cached = await complianceInForce(handler, tenantId, groupId, maxAgeMs);
  const behind =
    verdict !== null &&
    (verdict.compliancePolicyId !== (cached?.compliancePolicyId ?? null) ||
      (verdict.compliancePolicyVersion ?? 0) > (cached?.version ?? 0));
  return behind ? complianceInForce(handler, tenantId, groupId, 0) : cached;
};

/** Whether the tenant's privacy lets the apps of a device of that ownership be stored. */
export const mayStoreApps = ({ privacy }: Pick<ExistingTenant, 'privacy'>, ownership: Ownership): boolean =>
  privacy.showApps || ownership !== 'personal';

/** A policy as sent to a device. */
export interface PendingPolicy {
  readonly policyId: PolicyId;
  readonly policyType: PolicyType;
  readonly version: number;
  readonly settings: PolicySettings;
}

/** The assigned policies whose present version the device has not confirmed. A retired one stays in force. */
export const pendingPolicies = async (
  handler: Handler,
  tenantId: TenantId,
  { policies }: Pick<DeviceState, 'policies'>,
): Promise<PendingPolicy[]> => {
  const pending: PendingPolicy[] = [];
  for (const { policyId, appliedVersion } of Object.values(policies)) {
    const { state } = await handler.load(policyDecider, { tenantId, id: policyId }, { maxAgeMs });
    if (state.status === 'none' || state.version === appliedVersion) continue;
    const { policyType, version, settings } = state;
    pending.push({ policyId, policyType, version, settings });
  }
  return pending;
};
