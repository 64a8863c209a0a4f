/**
 * Roles as accounts have them: built-in or the tenant's own, under one shape. Called by role.ts and account.ts.
 */
import type { AnyRole } from '../../domain/account/account.ts';
import type { Permission } from '../../domain/account/permissions.ts';
import { type Role as BuiltInRole, role as builtInRole, roles } from '../../domain/account/roles.ts';
import type { RoleId } from '../../domain/ids.ts';
import { refuse } from '../../domain/refusals.ts';
import { roleDecider } from '../../domain/role/decide.ts';
import { MusterError } from '../../platform/errors.ts';
import { findRole, type RoleRow } from '../../projections/roles.ts';
import { RefusedError } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { stateOf } from './effect.ts';

/** A role. `roleId` is the name of a built-in one, such as `helpdesk`, else an id. */
export interface RoleView {
  readonly roleId: AnyRole;
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly Permission[];
  readonly status: 'active' | 'retired';
  readonly builtIn: boolean;
}

const builtInView = (name: BuiltInRole): RoleView => {
  const { title, description, permissions } = roles[name];
  return { roleId: name, name: title, description, permissions, status: 'active', builtIn: true };
};

/** A role of the tenant's own as a role. */
export const ownView = ({ roleId, name, description, permissions, status }: RoleRow): RoleView => ({
  roleId,
  name,
  description,
  permissions,
  status,
  builtIn: false,
});

/** The built-in roles that exist for the caller: `operator` only in the operator tenant. */
export const builtInViews = (context: ApiContext): RoleView[] =>
  (Object.keys(roles) as BuiltInRole[])
    .filter((name) => name !== 'operator' || signedIn(context).permissions.has('operator.tenants'))
    .map(builtInView);

/** The role that an account has; null while one just created cannot be read yet. */
export const findRoleView = async (context: ApiContext, role: AnyRole): Promise<RoleView | null> => {
  const known = builtInRole.safeParse(role);
  if (known.success) return builtInView(known.data);
  const row = await findRole(context.deps.sql, signedIn(context).tenantId, role as RoleId);
  return row ? ownView(row) : null;
};

/** What a role allows now; refuses `role-missing` and `role-retired`. */
const permissionsIn = async (context: ApiContext, role: AnyRole): Promise<readonly Permission[]> => {
  const known = builtInRole.safeParse(role);
  if (known.success) return roles[known.data].permissions;
  const state = await stateOf(context, roleDecider, role);
  if (state.status === 'none') throw new RefusedError(refuse('role-missing', { field: 'role' }));
  if (state.status === 'retired') throw new RefusedError(refuse('role-retired', { field: 'role' }));
  return state.permissions;
};

/** Throws `forbidden` unless the caller may do all of it: nobody gives away more than they have. */
export const requireOwn = (context: ApiContext, wanted: Iterable<Permission>, field: string): void => {
  const { permissions } = signedIn(context);
  const missing = [...wanted].find((permission) => !permissions.has(permission));
  if (missing) throw new MusterError('forbidden', `it allows ${missing}, which you may not do`, { field });
};

/** The same of a role that is about to be given. */
export const requireGrantable = async (context: ApiContext, role: AnyRole): Promise<void> =>
  requireOwn(context, await permissionsIn(context, role), 'role');
