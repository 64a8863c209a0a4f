/**
 * Commands and decisions of a device group. Called through platform/handle.ts by api/graphql/group.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import type { CompliancePolicyId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import { evolveGroup, type GroupEvent, type GroupState, groupEvents, initialGroup } from './group.ts';

export type GroupCommand =
  | { readonly type: 'CreateGroup'; readonly name: string }
  | { readonly type: 'RenameGroup'; readonly name: string }
  | { readonly type: 'AssignGroupCompliancePolicy'; readonly compliancePolicyId: CompliancePolicyId | null };

/** Decides one command: see the refusals it names. */
export const decideGroup = (command: GroupCommand, state: GroupState): Decision<GroupEvent> => {
  if (command.type === 'CreateGroup') {
    if (state.status === 'none') return [{ type: 'GroupCreated', data: { name: command.name } }];
    return state.name === command.name ? [] : refuse('name-taken', { field: 'name' });
  }
  if (state.status === 'none') return refuse('group-missing', { field: 'groupId' });
  switch (command.type) {
    case 'RenameGroup':
      return state.name === command.name ? [] : [{ type: 'GroupRenamed', data: { name: command.name } }];
    case 'AssignGroupCompliancePolicy':
      if (state.compliancePolicyId === command.compliancePolicyId) return [];
      return [
        { type: 'GroupCompliancePolicyAssigned', data: { compliancePolicyId: command.compliancePolicyId } },
      ];
    default:
      return never(command);
  }
};

export const groupDecider: Decider<GroupState, GroupCommand, GroupEvent> = {
  events: groupEvents,
  stateVersion: 1,
  initial: initialGroup,
  evolve: evolveGroup,
  decide: decideGroup,
};
