/**
 * User groups in GraphQL: users under one name. Listed in schema.ts.
 */
import { z } from 'zod';
import { type UserGroupId, userGroupId, userId } from '../../domain/ids.ts';
import { line, name } from '../../domain/text.ts';
import { userGroupDecider } from '../../domain/user-group/decide.ts';
import { mostPerChange } from '../../domain/user-group/user-group.ts';
import { newId } from '../../platform/new-id.ts';
import {
  findUserGroup,
  listMembers,
  listUserGroups,
  type UserGroupRow,
} from '../../projections/user-groups.ts';
import { searchText } from './app.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { signedIn } from './context.ts';
import { act, payloadOf, settle } from './effect.ts';
import { mutation } from './mutation.ts';
import { requireUser, requireUserGroup } from './references.ts';
import { User, UserGroup } from './refs.ts';
import { UserGroupConnection } from './user-group-type.ts';

builder.node(UserGroup, {
  description: 'Users who are sent things together.',
  id: { resolve: (group) => group.userGroupId },
  fields: (t) => ({
    name: t.exposeString('name'),
    description: t.exposeString('description', { nullable: true }),
    memberCount: t.exposeInt('memberCount'),
    members: t.field({
      type: connectionOf('Member', User),
      description: 'In the order they were created as users.',
      args: pageArgs,
      resolve: (group, args, context) =>
        listMembers(context.deps.sql, signedIn(context).tenantId, group.userGroupId, pageOf(args)),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
  }),
});

builder.queryField('userGroups', (t) =>
  t.field({
    type: UserGroupConnection,
    description: 'User groups by name.',
    authScopes: { permission: 'user.read' },
    args: {
      ...pageArgs,
      search: t.arg.string({ description: 'Start of the name.' }).validate(searchText.nullish()),
    },
    resolve: (_root, { search, ...page }, context) =>
      listUserGroups(
        context.deps.sql,
        signedIn(context).tenantId,
        { search: search ?? undefined },
        pageOf(page),
      ),
  }),
);

const Payload = payloadOf<UserGroupId, UserGroupRow>('UserGroup', 'userGroup', UserGroup, findUserGroup);
const description = line(500);
const userIds = z.array(userId).min(1).max(mostPerChange);

mutation('createUserGroup', {
  description: 'Creates a user group without members.',
  permission: 'user.manage',
  type: Payload,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    description: t.string().validate(description.nullish()),
  }),
  run: async (input, context) => {
    const id = newId('ugr');
    const done = await act(context, userGroupDecider, id, {
      type: 'CreateUserGroup',
      name: input.name,
      description: input.description ?? null,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('changeUserGroup', {
  description: 'Renames a user group or says what it is for: what is left out stays, null clears.',
  permission: 'user.manage',
  type: Payload,
  input: (t) => ({
    userGroupId: t.id({ required: true }).validate(userGroupId),
    name: t.string().validate(name.nullish()),
    description: t.string().validate(description.nullish()),
  }),
  run: async (input, context) => {
    const id = input.userGroupId;
    await requireUserGroup(context, id);
    const commands = [
      ...(input.name ? [{ type: 'RenameUserGroup' as const, name: input.name }] : []),
      ...(input.description === undefined
        ? []
        : [{ type: 'DescribeUserGroup' as const, description: input.description }]),
    ];
    const done: { position: bigint | undefined }[] = [];
    for (const command of commands) done.push(await act(context, userGroupDecider, id, command));
    return { id, ...(await settle(context, ...done)) };
  },
});

mutation('addUsersToGroup', {
  description: 'Puts up to 500 users into a user group; those that are in it already stay.',
  permission: 'user.manage',
  type: Payload,
  input: (t) => ({
    userGroupId: t.id({ required: true }).validate(userGroupId),
    userIds: t.idList({ required: true }).validate(userIds),
  }),
  run: async (input, context) => {
    const id = input.userGroupId;
    await requireUserGroup(context, id);
    for (const user of new Set(input.userIds)) await requireUser(context, user, 'userIds');
    const done = await act(context, userGroupDecider, id, {
      type: 'AddUsersToGroup',
      userIds: input.userIds,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('removeUsersFromGroup', {
  description: 'Takes up to 500 users out of a user group.',
  permission: 'user.manage',
  type: Payload,
  input: (t) => ({
    userGroupId: t.id({ required: true }).validate(userGroupId),
    userIds: t.idList({ required: true }).validate(userIds),
  }),
  run: async (input, context) => {
    const id = input.userGroupId;
    const done = await act(context, userGroupDecider, id, {
      type: 'RemoveUsersFromGroup',
      userIds: input.userIds,
    });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('deleteUserGroup', {
  description: 'Deletes a user group; its users stay.',
  permission: 'user.manage',
  type: Payload,
  input: (t) => ({ userGroupId: t.id({ required: true }).validate(userGroupId) }),
  run: async (input, context) => {
    const id = input.userGroupId;
    const done = await act(context, userGroupDecider, id, { type: 'DeleteUserGroup' });
    return { id, ...(await settle(context, done)) };
  },
});
