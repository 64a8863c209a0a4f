/**
 * Finds the compliance policy that applies to a device: its group's, else its tenant's, as a value for decisions.
 * Called by api/device/ (enrolment, check-in) and api/graphql/ and workers/ (reviews).
 */
import type { EffectiveCompliancePolicy } from '../domain/compliance/evaluate.ts';
import { compliancePolicyDecider } from '../domain/compliance-policy/decide.ts';
import { groupDecider } from '../domain/group/decide.ts';
import type { CompliancePolicyId, GroupId, TenantId } from '../domain/ids.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import type { Handler } from './handle.ts';

/** The id of the compliance policy that a group (null: no group) of a tenant is under; null when there is none. */
const assignedPolicyId = async (
  handler: Handler,
  tenantId: TenantId,
  groupId: GroupId | null,
  maxAgeMs: number,
): Promise<CompliancePolicyId | null> => {
  if (groupId !== null) {
    const { state } = await handler.load(groupDecider, { tenantId, id: groupId }, { maxAgeMs });
    if (state.status === 'active' && state.compliancePolicyId !== null) return state.compliancePolicyId;
  }
  const { state } = await handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs });
  return state.status === 'none' ? null : state.compliancePolicyId;
};

/**
 * The compliance policy in force for a device of `tenantId` in `groupId` (null: in no group), or null when none is
 * assigned. What was proven current within `maxAgeMs` is used without reading the log; 0 reads what is there now.
 * A retired policy that is still assigned stays in force, so that retiring one never leaves a fleet unchecked.
 * Throws `dependency-unavailable` when the event store is away.
 */
export const complianceInForce = async (
  handler: Handler,
  tenantId: TenantId,
  groupId: GroupId | null,
  maxAgeMs: number,
): Promise<EffectiveCompliancePolicy | null> => {
  const compliancePolicyId = await assignedPolicyId(handler, tenantId, groupId, maxAgeMs);
  if (compliancePolicyId === null) return null;
  const { state } = await handler.load(
    compliancePolicyDecider,
    { tenantId, id: compliancePolicyId },
    { maxAgeMs },
  );
  if (state.status === 'none') return null;
  return { compliancePolicyId, version: state.version, settings: state.settings };
};
