/**
 * What a role allows now. Called by account.ts beside this file and by api/graphql/account.ts.
 */
import type { AnyRole } from '../../domain/account/account.ts';
import type { Permission } from '../../domain/account/permissions.ts';
import { role as builtInRole, permissionsOf } from '../../domain/account/roles.ts';
import type { TenantId } from '../../domain/ids.ts';
import { roleDecider } from '../../domain/role/decide.ts';
import type { Deps } from '../../platform/deps.ts';
import { credentialMaxAgeMs as maxAgeMs } from '../credentials.ts';

const nothingAllowed: ReadonlySet<Permission> = new Set();

/** Title and permissions of a role. One of the tenant's own that is retired, or not there, allows nothing. */
export const roleInForce = async (
  deps: Pick<Deps, 'handler'>,
  tenantId: TenantId,
  given: AnyRole,
): Promise<{ readonly role: string; readonly permissions: ReadonlySet<Permission> }> => {
  const builtIn = builtInRole.safeParse(given);
  if (builtIn.success) return { role: builtIn.data, permissions: permissionsOf(builtIn.data) };
  const { state } = await deps.handler.load(roleDecider, { tenantId, id: given }, { maxAgeMs });
  return state.status === 'active'
    ? { role: state.name, permissions: new Set(state.permissions) }
    : { role: given, permissions: nothingAllowed };
};
