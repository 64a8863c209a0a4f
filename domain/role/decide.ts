/**
 * Commands and decisions of a tenant's own role. Called through platform/handle.ts by api/graphql/role.ts.
 */
import { type Permission, readOf } from '../account/permissions.ts';
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import { evolveRole, initialRole, type RoleEvent, type RoleState, roleEvents } from './role.ts';

export type RoleCommand =
  | {
      readonly type: 'CreateRole';
      readonly name: string;
      readonly description: string;
      readonly permissions: readonly Permission[];
    }
  | { readonly type: 'RenameRole'; readonly name: string; readonly description: string }
  | { readonly type: 'ChangeRolePermissions'; readonly permissions: readonly Permission[] }
  /** `holders`: accounts that have the role now, as the read model says. */
  | { readonly type: 'RetireRole'; readonly holders: number };

/** In one order, so that the same permissions are the same list; whoever may change something may read it. */
const complete = (list: readonly Permission[]): Permission[] =>
  [...new Set([...list, ...list.flatMap(readOf)])].sort();

/** Decides one command: see the refusals it names. */
export const decideRole = (command: RoleCommand, state: RoleState): Decision<RoleEvent> => {
  if (command.type === 'CreateRole') {
    const { name, description } = command;
    const permissions = complete(command.permissions);
    if (state.status === 'none') return [{ type: 'RoleCreated', data: { name, description, permissions } }];
    return state.name === name && same(state.permissions, permissions)
      ? []
      : refuse('name-taken', { field: 'name' });
  }
  if (state.status === 'none') return refuse('role-missing', { field: 'roleId' });
  if (command.type === 'RetireRole') {
    if (state.status === 'retired') return [];
    if (command.holders > 0)
      return refuse('role-in-use', { field: 'roleId', detail: `${command.holders} accounts have it` });
    return [{ type: 'RoleRetired', data: {} }];
  }
  if (state.status === 'retired') return refuse('role-retired', { field: 'roleId' });
  switch (command.type) {
    case 'RenameRole': {
      const { name, description } = command;
      if (state.name === name && state.description === description) return [];
      return [{ type: 'RoleRenamed', data: { name, description } }];
    }
    case 'ChangeRolePermissions': {
      const permissions = complete(command.permissions);
      if (same(state.permissions, permissions)) return [];
      return [{ type: 'RolePermissionsChanged', data: { permissions } }];
    }
    default:
      return never(command);
  }
};

export const roleDecider: Decider<RoleState, RoleCommand, RoleEvent> = {
  events: roleEvents,
  stateVersion: 1,
  initial: initialRole,
  evolve: evolveRole,
  decide: decideRole,
};
