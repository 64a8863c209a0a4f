/**
 * Commands and decisions of a device group. Called through platform/handle.ts by api/graphql/group.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import type { CompliancePolicyId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import { evolveGroup, type GroupEvent, type GroupState, groupEvents, initialGroup } from './group.ts';

export type GroupCommand =
  | { readonly type: 'CreateGroup'; readonly name: string; readonly description?: string | null }
  | { readonly type: 'RenameGroup'; readonly name: string }
  | { readonly type: 'DescribeGroup'; readonly description: string | null }
  /** `devices`: how many are in the group; any keep it from being deleted. */
  | { readonly type: 'DeleteGroup'; readonly devices: number }
  | { readonly type: 'AssignGroupCompliancePolicy'; readonly compliancePolicyId: CompliancePolicyId | null };

/** Decides one command: see the refusals it names. */
export const decideGroup = (command: GroupCommand, state: GroupState): Decision<GroupEvent> => {
  if (command.type === 'CreateGroup') {
    const { name, description = null } = command;
    if (state.status === 'none')
      return [
        { type: 'GroupCreated', data: { name } },
        ...(description === null ? [] : [{ type: 'GroupDescribed' as const, data: { description } }]),
      ];
    return state.status === 'active' && state.name === name ? [] : refuse('name-taken', { field: 'name' });
  }
  if (command.type === 'DeleteGroup' && state.status === 'deleted') return [];
  if (state.status !== 'active') return refuse('group-missing', { field: 'groupId' });
  switch (command.type) {
    case 'RenameGroup':
      return state.name === command.name ? [] : [{ type: 'GroupRenamed', data: { name: command.name } }];
    case 'DescribeGroup': {
      const { description } = command;
      return state.description === description ? [] : [{ type: 'GroupDescribed', data: { description } }];
    }
    case 'DeleteGroup':
      return command.devices === 0
        ? [{ type: 'GroupDeleted', data: {} }]
        : refuse('group-not-empty', { field: 'groupId', detail: `there are ${command.devices}` });
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
  stateVersion: 2,
  initial: initialGroup,
  evolve: evolveGroup,
  decide: decideGroup,
};
