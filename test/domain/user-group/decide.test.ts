/** Specifications of the user group decider, and its bound on members. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideUserGroup, userGroupDecider } from '../../../domain/user-group/decide.ts';
import { mostMembers, mostPerChange } from '../../../domain/user-group/user-group.ts';
import { casesOf, foldOn } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const created = { type: 'UserGroupCreated', data: { name: 'Staff', description: null } } as const;
const [ann, bob] = [idOf('usr', 1), idOf('usr', 101)];
const added = { type: 'UsersAddedToGroup' as const, data: { userIds: [ann, bob] } };
const deleted = { type: 'UserGroupDeleted', data: {} } as const;
const missing = { refused: 'user-group-missing', field: 'userGroupId' } as const;

const cases = casesOf(userGroupDecider, {
  CreateUserGroup: {
    accepts: [
      {
        given: [],
        when: { type: 'CreateUserGroup', name: 'Staff', description: null },
        events: [created],
      },
    ],
    refuses: [
      {
        given: [created],
        when: { type: 'CreateUserGroup', name: 'Other', description: null },
        refused: 'name-taken',
        field: 'name',
      },
    ],
  },
  RenameUserGroup: {
    accepts: [
      {
        given: [created],
        when: { type: 'RenameUserGroup', name: 'Crew' },
        events: [{ type: 'UserGroupRenamed', data: { name: 'Crew' } }],
      },
    ],
    refuses: [{ given: [], when: { type: 'RenameUserGroup', name: 'Crew' }, ...missing }],
  },
  DescribeUserGroup: {
    accepts: [
      {
        given: [created],
        when: { type: 'DescribeUserGroup', description: 'All' },
        events: [{ type: 'UserGroupDescribed', data: { description: 'All' } }],
      },
    ],
    refuses: [{ given: [], when: { type: 'DescribeUserGroup', description: null }, ...missing }],
  },
  AddUsersToGroup: {
    accepts: [
      { given: [created], when: { type: 'AddUsersToGroup', userIds: [ann, bob, ann] }, events: [added] },
    ],
    refuses: [{ given: [created, deleted], when: { type: 'AddUsersToGroup', userIds: [ann] }, ...missing }],
  },
  RemoveUsersFromGroup: {
    accepts: [
      {
        given: [created, added],
        when: { type: 'RemoveUsersFromGroup', userIds: [bob, idOf('usr', 3)] },
        events: [{ type: 'UsersRemovedFromGroup', data: { userIds: [bob] } }],
      },
    ],
    refuses: [{ given: [], when: { type: 'RemoveUsersFromGroup', userIds: [ann] }, ...missing }],
  },
  DeleteUserGroup: {
    accepts: [{ given: [created, added], when: { type: 'DeleteUserGroup' }, events: [deleted] }],
    refuses: [{ given: [], when: { type: 'DeleteUserGroup' }, ...missing }],
  },
});

for (const [name, run] of cases) test(name, run);

test('a group takes so many users and no more', () => {
  const batches = Array.from({ length: mostMembers / mostPerChange }, (_, batch) => ({
    type: 'UsersAddedToGroup' as const,
    data: {
      userIds: Array.from({ length: mostPerChange }, (_, n) => idOf('usr', batch * mostPerChange + n)),
    },
  }));
  const full = foldOn(userGroupDecider, userGroupDecider.initial, [created, ...batches]);
  assert.ok(full.status === 'active' && full.memberCount === mostMembers);
  const more = idOf('usr', mostMembers);
  assert.deepEqual(decideUserGroup({ type: 'AddUsersToGroup', userIds: [ann] }, full), []);
  assert.deepEqual(decideUserGroup({ type: 'AddUsersToGroup', userIds: [ann, more] }, full), {
    refused: 'user-group-full',
    field: 'userIds',
    detail: `at most ${mostMembers} users`,
  });
});
