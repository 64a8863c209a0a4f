/** Specifications of the role decider. */
import { test } from 'node:test';
import type { Permission } from '../../../domain/account/permissions.ts';
import { roleDecider } from '../../../domain/role/decide.ts';
import { casesOf } from '../../support/given.ts';

const create = {
  type: 'CreateRole',
  name: 'Night shift',
  description: 'Locks devices at night.',
  permissions: ['device.act'],
} as const;
const permissions: Permission[] = ['device.act', 'device.read'];
const { name, description } = create;
const created = { type: 'RoleCreated', data: { name, description, permissions } } as const;
const retired = { type: 'RoleRetired', data: {} } as const;
const rename = { type: 'RenameRole', name: 'Day shift', description } as const;
const change = { type: 'ChangeRolePermissions', permissions: ['group.manage', 'group.manage'] } as const;

const cases = casesOf(roleDecider, {
  CreateRole: {
    accepts: [{ given: [], when: create, events: [created] }],
    refuses: [
      { given: [created], when: { ...create, name: 'Other' }, refused: 'name-taken', field: 'name' },
      {
        given: [created],
        when: { ...create, permissions: ['group.read'] },
        refused: 'name-taken',
        field: 'name',
      },
    ],
  },
  RenameRole: {
    accepts: [
      {
        given: [created],
        when: rename,
        events: [{ type: 'RoleRenamed', data: { name: 'Day shift', description } }],
      },
    ],
    refuses: [
      { given: [], when: rename, refused: 'role-missing', field: 'roleId' },
      { given: [created, retired], when: rename, refused: 'role-retired', field: 'roleId' },
    ],
  },
  ChangeRolePermissions: {
    accepts: [
      {
        given: [created],
        when: change,
        events: [{ type: 'RolePermissionsChanged', data: { permissions: ['group.manage', 'group.read'] } }],
      },
    ],
    refuses: [{ given: [created, retired], when: change, refused: 'role-retired', field: 'roleId' }],
  },
  RetireRole: {
    accepts: [{ given: [created], when: { type: 'RetireRole', holders: 0 }, events: [retired] }],
    refuses: [
      { given: [created], when: { type: 'RetireRole', holders: 1 }, refused: 'role-in-use', field: 'roleId' },
      { given: [], when: { type: 'RetireRole', holders: 0 }, refused: 'role-missing', field: 'roleId' },
    ],
  },
});

for (const [title, run] of cases) test(title, run);
