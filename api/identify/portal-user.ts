/**
 * Identifies a user of the self-service portal. Called by index.ts.
 */
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { userDecider } from '../../domain/user/decide.ts';
import type { Deps } from '../../platform/deps.ts';
import { type Credentials, credentialMaxAgeMs as maxAgeMs, type UserCredential } from '../credentials.ts';

/** The user that a token of the portal stands for; null when the session, its user or its tenant has ended. */
export const identifyUser = async (
  deps: Pick<Deps, 'handler'>,
  credentials: Credentials,
  token: string | undefined,
): Promise<UserCredential | null> => {
  const session = token === undefined ? null : await credentials.portalSessions.find(token);
  if (!session || token === undefined) return null;
  const { tenantId, userId } = session;
  const [tenant, user] = await Promise.all([
    deps.handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs }),
    deps.handler.load(userDecider, { tenantId, id: userId }, { maxAgeMs }),
  ]);
  if (tenant.state.status !== 'active' || user.state.status !== 'active') return null;
  return { kind: 'user', tenantId, userId, token };
};
