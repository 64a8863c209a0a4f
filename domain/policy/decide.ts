/**
 * Commands and decisions of a policy. Called through platform/handle.ts by api/graphql/policy.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import type { Platform } from '../text.ts';
import {
  evolvePolicy,
  initialPolicy,
  type PolicyEvent,
  type PolicyState,
  type PolicyType,
  policyEvents,
} from './policy.ts';
import type { PolicySettings } from './settings.ts';

export type PolicyCommand =
  | {
      readonly type: 'CreatePolicy';
      readonly name: string;
      readonly policyType: PolicyType;
      readonly platforms: readonly Platform[];
      readonly settings: PolicySettings;
    }
  | { readonly type: 'RenamePolicy'; readonly name: string }
  /** `expectedVersion` is the version that the editor saw; another one refuses instead of overwriting. */
  | {
      readonly type: 'RevisePolicy';
      readonly settings: PolicySettings;
      readonly expectedVersion?: number | undefined;
    }
  | { readonly type: 'RetirePolicy' };

/** Decides one command: see the refusals it names. */
export const decidePolicy = (command: PolicyCommand, state: PolicyState): Decision<PolicyEvent> => {
  if (command.type === 'CreatePolicy') {
    const { type: _, platforms, ...data } = command;
    if (state.status === 'none')
      return [{ type: 'PolicyCreated', data: { ...data, platforms: [...platforms] } }];
    return same(state.settings, command.settings) && state.policyType === command.policyType
      ? []
      : refuse('name-taken');
  }
  if (state.status === 'none') return refuse('policy-missing', { field: 'policyId' });
  switch (command.type) {
    case 'RenamePolicy':
      return state.name === command.name ? [] : [{ type: 'PolicyRenamed', data: { name: command.name } }];
    case 'RevisePolicy':
      if (state.status === 'retired') return refuse('policy-retired', { field: 'policyId' });
      if (same(state.settings, command.settings)) return [];
      if (command.expectedVersion !== undefined && command.expectedVersion !== state.version) {
        return refuse('version-conflict', {
          field: 'expectedVersion',
          detail: `the policy is at version ${state.version}`,
        });
      }
      return [{ type: 'PolicyRevised', data: { version: state.version + 1, settings: command.settings } }];
    case 'RetirePolicy':
      return state.status === 'retired' ? [] : [{ type: 'PolicyRetired', data: {} }];
    default:
      return never(command);
  }
};

export const policyDecider: Decider<PolicyState, PolicyCommand, PolicyEvent> = {
  events: policyEvents,
  stateVersion: 1,
  initial: initialPolicy,
  evolve: evolvePolicy,
  decide: decidePolicy,
};
