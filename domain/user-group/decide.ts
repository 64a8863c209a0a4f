/**
 * Commands and decisions of a user group. Called through platform/handle.ts by api/graphql/user-group.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import type { UserId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import {
  evolveUserGroup,
  initialUserGroup,
  isMember,
  mostMembers,
  type UserGroupEvent,
  type UserGroupState,
  userGroupEvents,
} from './user-group.ts';

export type UserGroupCommand =
  | { readonly type: 'CreateUserGroup'; readonly name: string; readonly description: string | null }
  | { readonly type: 'RenameUserGroup'; readonly name: string }
  | { readonly type: 'DescribeUserGroup'; readonly description: string | null }
  /** Those that are members already are passed over; at most `mostPerChange` at once. */
  | { readonly type: 'AddUsersToGroup'; readonly userIds: readonly UserId[] }
  | { readonly type: 'RemoveUsersFromGroup'; readonly userIds: readonly UserId[] }
  | { readonly type: 'DeleteUserGroup' };

/** Decides one command: see the refusals it names. */
export const decideUserGroup = (
  command: UserGroupCommand,
  state: UserGroupState,
): Decision<UserGroupEvent> => {
  if (command.type === 'CreateUserGroup') {
    const { type: _, ...data } = command;
    if (state.status === 'none') return [{ type: 'UserGroupCreated', data }];
    return state.status === 'active' && state.name === data.name
      ? []
      : refuse('name-taken', { field: 'name' });
  }
  if (command.type === 'DeleteUserGroup' && state.status === 'deleted') return [];
  if (state.status !== 'active') return refuse('user-group-missing', { field: 'userGroupId' });
  switch (command.type) {
    case 'RenameUserGroup':
      return state.name === command.name ? [] : [{ type: 'UserGroupRenamed', data: { name: command.name } }];
    case 'DescribeUserGroup': {
      const { description } = command;
      return state.description === description ? [] : [{ type: 'UserGroupDescribed', data: { description } }];
    }
    case 'AddUsersToGroup': {
      const userIds = [...new Set(command.userIds)].filter((id) => !isMember(state.members, id));
      if (userIds.length === 0) return [];
      if (state.memberCount + userIds.length > mostMembers)
        return refuse('user-group-full', { field: 'userIds', detail: `at most ${mostMembers} users` });
      return [{ type: 'UsersAddedToGroup', data: { userIds } }];
    }
    case 'RemoveUsersFromGroup': {
      const userIds = [...new Set(command.userIds)].filter((id) => isMember(state.members, id));
      return userIds.length === 0 ? [] : [{ type: 'UsersRemovedFromGroup', data: { userIds } }];
    }
    case 'DeleteUserGroup':
      return [{ type: 'UserGroupDeleted', data: {} }];
    default:
      return never(command);
  }
};

export const userGroupDecider: Decider<UserGroupState, UserGroupCommand, UserGroupEvent> = {
  events: userGroupEvents,
  stateVersion: 1,
  initial: initialUserGroup,
  evolve: evolveUserGroup,
  decide: decideUserGroup,
};
