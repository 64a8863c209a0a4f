/**
 * Commands and decisions of a compliance policy. Called through platform/handle.ts by api/graphql/compliance-policy.ts.
 */
import type { ComplianceSettings } from '../compliance/settings.ts';
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import {
  type CompliancePolicyEvent,
  type CompliancePolicyState,
  compliancePolicyEvents,
  evolveCompliancePolicy,
  initialCompliancePolicy,
} from './compliance-policy.ts';

export type CompliancePolicyCommand =
  | { readonly type: 'CreateCompliancePolicy'; readonly name: string; readonly settings: ComplianceSettings }
  | { readonly type: 'RenameCompliancePolicy'; readonly name: string }
  /** `expectedVersion` is the version that the editor saw; another one refuses instead of overwriting. */
  | {
      readonly type: 'ReviseCompliancePolicy';
      readonly settings: ComplianceSettings;
      readonly expectedVersion?: number | undefined;
    }
  /** `assigned` tells whether the tenant or a group still uses the policy. */
  | { readonly type: 'RetireCompliancePolicy'; readonly assigned: boolean };

/** Decides one command: see the refusals it names. */
export const decideCompliancePolicy = (
  command: CompliancePolicyCommand,
  state: CompliancePolicyState,
): Decision<CompliancePolicyEvent> => {
  if (command.type === 'CreateCompliancePolicy') {
    const { type: _, ...data } = command;
    if (state.status === 'none') return [{ type: 'CompliancePolicyCreated', data }];
    return same(state.settings, command.settings) ? [] : refuse('name-taken');
  }
  if (state.status === 'none') return refuse('compliance-policy-missing', { field: 'compliancePolicyId' });
  switch (command.type) {
    case 'RenameCompliancePolicy':
      return state.name === command.name
        ? []
        : [{ type: 'CompliancePolicyRenamed', data: { name: command.name } }];
    case 'ReviseCompliancePolicy':
      if (state.status === 'retired')
        return refuse('compliance-policy-retired', { field: 'compliancePolicyId' });
      if (same(state.settings, command.settings)) return [];
      if (command.expectedVersion !== undefined && command.expectedVersion !== state.version) {
        return refuse('version-conflict', {
          field: 'expectedVersion',
          detail: `the compliance policy is at version ${state.version}`,
        });
      }
      return [
        { type: 'CompliancePolicyRevised', data: { version: state.version + 1, settings: command.settings } },
      ];
    case 'RetireCompliancePolicy':
      if (state.status === 'retired') return [];
      return command.assigned
        ? refuse('compliance-policy-in-use')
        : [{ type: 'CompliancePolicyRetired', data: {} }];
    default:
      return never(command);
  }
};

export const compliancePolicyDecider: Decider<
  CompliancePolicyState,
  CompliancePolicyCommand,
  CompliancePolicyEvent
> = {
  events: compliancePolicyEvents,
  stateVersion: 1,
  initial: initialCompliancePolicy,
  evolve: evolveCompliancePolicy,
  decide: decideCompliancePolicy,
};
