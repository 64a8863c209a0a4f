/**
 * Facts and state of a user group: users under one name, added and removed one by one or in batches. Decided by
 * decide.ts beside this file; read by projections/user-groups.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { type UserId, userId } from '../ids.ts';
import { line, name } from '../text.ts';

/** Users that one command, and so one event, may add or remove. */
export const mostPerChange = 500;
/** Users in one group. */
export const mostMembers = 20_000;

const description = line(500).nullable();
const userIds = z.array(userId).min(1).max(mostPerChange);

export const userGroupEvents = defineEvents('user-group', {
  UserGroupCreated: z.strictObject({ name, description }),
  UserGroupRenamed: z.strictObject({ name }),
  UserGroupDescribed: z.strictObject({ description }),
  UsersAddedToGroup: z.strictObject({ userIds }),
  UsersRemovedFromGroup: z.strictObject({ userIds }),
  UserGroupDeleted: z.strictObject({}),
});

export type UserGroupEvent = EventOf<typeof userGroupEvents>;

/** Members by the last two characters of their ids: a change copies a small part of a large group. */
type Members = Readonly<Record<string, readonly UserId[]>>;

export type UserGroupState =
  | { readonly status: 'none' }
  | { readonly status: 'deleted' }
  | {
      readonly status: 'active';
      readonly name: string;
      readonly description: string | null;
      readonly members: Members;
      readonly memberCount: number;
    };

export const initialUserGroup: UserGroupState = { status: 'none' };

const partOf = (id: UserId): string => id.slice(-2);

/** Whether a user is a member. */
export const isMember = (members: Members, id: UserId): boolean => members[partOf(id)]?.includes(id) ?? false;

const changed = (members: Members, ids: readonly UserId[], present: boolean): Members => {
  const parts: Record<string, readonly UserId[]> = { ...members };
  for (const id of ids) {
    const others = (parts[partOf(id)] ?? []).filter((known) => known !== id);
    parts[partOf(id)] = present ? [...others, id] : others;
  }
  return parts;
};

/** Folds one fact into the state. */
export const evolveUserGroup = (
  state: UserGroupState,
  { type, data }: Fact<UserGroupEvent>,
): UserGroupState => {
  if (type === 'UserGroupCreated') return { status: 'active', members: {}, memberCount: 0, ...data };
  if (state.status !== 'active') return state;
  switch (type) {
    case 'UserGroupRenamed':
      return { ...state, name: data.name };
    case 'UserGroupDescribed':
      return { ...state, description: data.description };
    case 'UsersAddedToGroup': {
      const members = changed(state.members, data.userIds, true);
      return { ...state, members, memberCount: state.memberCount + data.userIds.length };
    }
    case 'UsersRemovedFromGroup': {
      const members = changed(state.members, data.userIds, false);
      return { ...state, members, memberCount: state.memberCount - data.userIds.length };
    }
    case 'UserGroupDeleted':
      return { status: 'deleted' };
    default:
      return never(type);
  }
};
