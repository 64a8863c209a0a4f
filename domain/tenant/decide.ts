/**
 * Commands and decisions of a tenant. Called through platform/handle.ts by api/graphql/tenant.ts and the CLI.
 */
import type { Decider, Decision } from '../decider.ts';
import { never } from '../decider.ts';
import type { CompliancePolicyId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import {
  evolveTenant,
  initialTenant,
  type TenantEvent,
  type TenantKind,
  type TenantState,
  tenantEvents,
} from './tenant.ts';

export type TenantCommand =
  | { readonly type: 'CreateTenant'; readonly name: string; readonly slug: string; readonly kind: TenantKind }
  | { readonly type: 'RenameTenant'; readonly name: string }
  | { readonly type: 'SuspendTenant'; readonly reason: string }
  | { readonly type: 'ReactivateTenant' }
  | { readonly type: 'AssignTenantCompliancePolicy'; readonly compliancePolicyId: CompliancePolicyId };

/** Decides one command: see the refusals it names. */
export const decideTenant = (command: TenantCommand, state: TenantState): Decision<TenantEvent> => {
  if (command.type === 'CreateTenant') {
    const { type: _, ...data } = command;
    if (state.status === 'none') return [{ type: 'TenantCreated', data }];
    return state.slug === data.slug && state.kind === data.kind ? [] : refuse('tenant-exists');
  }
  if (state.status === 'none') return refuse('tenant-missing');
  switch (command.type) {
    case 'RenameTenant':
      return state.name === command.name ? [] : [{ type: 'TenantRenamed', data: { name: command.name } }];
    case 'SuspendTenant':
      return state.status === 'suspended'
        ? []
        : [{ type: 'TenantSuspended', data: { reason: command.reason } }];
    case 'ReactivateTenant':
      return state.status === 'active' ? [] : [{ type: 'TenantReactivated', data: {} }];
    case 'AssignTenantCompliancePolicy':
      if (state.compliancePolicyId === command.compliancePolicyId) return [];
      return [
        { type: 'TenantCompliancePolicyAssigned', data: { compliancePolicyId: command.compliancePolicyId } },
      ];
    default:
      return never(command);
  }
};

export const tenantDecider: Decider<TenantState, TenantCommand, TenantEvent> = {
  events: tenantEvents,
  stateVersion: 1,
  initial: initialTenant,
  evolve: evolveTenant,
  decide: decideTenant,
};
