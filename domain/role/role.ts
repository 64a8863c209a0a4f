/**
 * Facts and state of a tenant's own role: a name for a list of permissions. The built-in roles are in account/roles.ts.
 * Decided by decide.ts beside this file; read by projections/roles.ts.
 */
import { z } from 'zod';
import { type Permission, permission } from '../account/permissions.ts';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { line, name } from '../text.ts';

/** Permissions of a role: at least one, each once. */
export const rolePermissions = z
  .array(permission)
  .min(1)
  .refine((list) => new Set(list).size === list.length, 'names a permission twice');

export const roleEvents = defineEvents('role', {
  RoleCreated: z.strictObject({ name, description: line(500), permissions: rolePermissions }),
  RoleRenamed: z.strictObject({ name, description: line(500) }),
  RolePermissionsChanged: z.strictObject({ permissions: rolePermissions }),
  RoleRetired: z.strictObject({}),
});

export type RoleEvent = EventOf<typeof roleEvents>;

export type RoleState =
  | { readonly status: 'none' }
  | {
      readonly status: 'active' | 'retired';
      readonly name: string;
      readonly description: string;
      readonly permissions: readonly Permission[];
    };

export const initialRole: RoleState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveRole = (state: RoleState, { type, data }: Fact<RoleEvent>): RoleState => {
  if (type === 'RoleCreated') return { status: 'active', ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'RoleRenamed':
    case 'RolePermissionsChanged':
      return { ...state, ...data };
    case 'RoleRetired':
      return { ...state, status: 'retired' };
    default:
      return never(type);
  }
};
