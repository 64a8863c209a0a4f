/**
 * Identifies a user of the self-service portal. Called by index.ts.
 */
import type { SessionPolicy, SignInState } from '../../domain/sign-in/sign-in.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { userDecider } from '../../domain/user/decide.ts';
import type { Deps } from '../../platform/deps.ts';
import {
  type Caller,
  type Credentials,
  credentialMaxAgeMs as maxAgeMs,
  type UserCredential,
} from '../credentials.ts';
import { signInSettings } from '../sign-in/door.ts';
import { requireAddress } from '../sign-in/enter.ts';
import { isOver, recordEveryMs } from './account.ts';

/** Of a tenant that did not choose: people look at their devices for minutes, on machines that others use too. */
const defaultPolicy: SessionPolicy = { idleMinutes: 30, absoluteHours: 4 };

/** How long sessions of users last in a tenant. */
export const portalSessionPolicyOf = (settings: SignInState): SessionPolicy =>
  settings.sessionPolicies['self-service'] ?? defaultPolicy;

/**
 * The user that a token of the portal stands for; null when the session, its user or its tenant has ended. Throws
 * `address-refused` when the tenant does not allow the address. Counts as a use unless `use` is false.
 */
export const identifyUser = async (
  deps: Pick<Deps, 'handler'>,
  credentials: Credentials,
  { token, address }: Caller,
  use: boolean,
): Promise<UserCredential | null> => {
  const session = token === undefined ? null : await credentials.portalSessions.find(token);
  if (!session || token === undefined) return null;
  const { tenantId, userId } = session;
  const [tenant, user, settings] = await Promise.all([
    deps.handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs }),
    deps.handler.load(userDecider, { tenantId, id: userId }, { maxAgeMs }),
    signInSettings(deps, tenantId),
  ]);
  const policy = portalSessionPolicyOf(settings);
  if (isOver(session, policy, credentials.clock())) return null;
  if (tenant.state.status !== 'active' || user.state.status !== 'active') return null;
  requireAddress(settings, 'self-service', address);
  if (use) await credentials.portalSessions.use(session, token, recordEveryMs(policy));
  return { kind: 'user', tenantId, userId, token };
};
