/**
 * Identifies an operator within a tenant that grants support access. Called by index.ts.
 */
import { accountDecider } from '../../domain/account/decide.ts';
import { supportPermissionsOf } from '../../domain/account/roles.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { standingSupport } from '../../domain/tenant/standing.ts';
import { operatorTenantId } from '../../domain/tenant/tenant.ts';
import { isoTime } from '../../platform/clock.ts';
import type { Deps } from '../../platform/deps.ts';
import { type AccountCredential, type Credentials, credentialMaxAgeMs as maxAgeMs } from '../credentials.ts';

/** The role that support has in a tenant, by the level of its access. */
const supportRoles = { read: 'read-only', change: 'administrator' } as const;

/**
 * The operator that a support token stands for, within the tenant that it entered; null when the tenant's grant, the
 * operator's account or the session has ended. A suspended tenant can be entered, one that was deleted cannot.
 */
export const identifySupport = async (
  { handler }: Pick<Deps, 'handler'>,
  credentials: Credentials,
  token: string,
): Promise<AccountCredential | null> => {
  const session = await credentials.supportSessions.find(token);
  if (!session) return null;
  const { tenantId, accountId } = session;
  const [tenant, account] = await Promise.all([
    handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs }),
    handler.load(accountDecider, { tenantId: operatorTenantId, id: accountId }, { maxAgeMs }),
  ]);
  const grant = standingSupport(tenant.state, isoTime(credentials.clock()));
  if (grant === null || account.state.status !== 'enabled' || account.state.role !== 'operator') return null;
  const role = supportRoles[grant.level];
  const permissions = supportPermissionsOf(role);
  return {
    kind: 'account',
    tenantId,
    accountId,
    role,
    permissions,
    mustChangePassword: false,
    passwordDue: null,
    factorDue: false,
    token,
    sessionId: '',
    portal: 'admin',
    method: 'password',
    enteredAt: new Date(0),
    support: true,
  };
};
