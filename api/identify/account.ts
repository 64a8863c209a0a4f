/**
 * Identifies a signed-in account by the token of its session. Called by index.ts and by what lists sessions.
 */
import { accountDecider } from '../../domain/account/decide.ts';
import { factorDue } from '../../domain/sign-in/second-factor.ts';
import type { Portal, SessionPolicy, SignInState } from '../../domain/sign-in/sign-in.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { isoTime } from '../../platform/clock.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import { isAllowed } from '../address.ts';
import {
  type AccountCredential,
  type Caller,
  type Credentials,
  credentialMaxAgeMs as maxAgeMs,
} from '../credentials.ts';
import { signInSettings } from '../sign-in/door.ts';
import { passwordDue } from '../sign-in/password.ts';
import type { Session } from '../vault/sessions.ts';
import { roleInForce } from './role.ts';

/** A use within this time of the last recorded one is not recorded again, unless sessions idle sooner. */
const useRecordedEveryMs = 60_000;

/** How long sessions of a portal last in a tenant. */
export const sessionPolicyOf = (
  credentials: Pick<Credentials, 'defaultSessionPolicy'>,
  settings: SignInState,
  portal: Portal,
): SessionPolicy => settings.sessionPolicies[portal] ?? credentials.defaultSessionPolicy;

/** How finely uses are recorded: short idle times are measured more finely than once a minute. */
export const recordEveryMs = ({ idleMinutes }: SessionPolicy): number =>
  Math.min(useRecordedEveryMs, (idleMinutes * 60_000) / 4);

/** When a session ends however much it is used, ISO 8601 UTC. */
export const sessionEndsAt = ({ createdAt }: Pick<Session, 'createdAt'>, policy: SessionPolicy): string =>
  isoTime(createdAt.getTime() + policy.absoluteHours * 3_600_000);

/** Whether a session has ended by time. */
export const isOver = (
  session: Pick<Session, 'createdAt' | 'usedAt'>,
  policy: SessionPolicy,
  now: number,
): boolean =>
  isoTime(now) >= sessionEndsAt(session, policy) ||
  now - session.usedAt.getTime() >= policy.idleMinutes * 60_000;

/**
 * The account that a session token stands for; null when the session, its account or its tenant has ended, or it is
 * another portal's. Throws `address-refused` when the tenant does not allow the address. Counts as a use of the
 * session unless `use` is false: a stream that is only watched does not keep one alive.
 */
export const identifyAccount = async (
  deps: Pick<Deps, 'handler'>,
  credentials: Credentials,
  { token, address }: Caller,
  options: { readonly use?: boolean; readonly portal?: Portal } = {},
): Promise<AccountCredential | null> => {
  const { use = true, portal = 'admin' } = options;
  const session = token === undefined ? null : await credentials.sessions.find(token);
  if (!session || token === undefined || session.portal !== portal) return null;
  const { tenantId, accountId, sessionId } = session;
  const [tenant, account, settings] = await Promise.all([
    deps.handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs }),
    deps.handler.load(accountDecider, { tenantId, id: accountId }, { maxAgeMs }),
    signInSettings(deps, tenantId),
  ]);
  const now = credentials.clock();
  const policy = sessionPolicyOf(credentials, settings, portal);
  if (isOver(session, policy, now)) return null;
  if (tenant.state.status !== 'active' || account.state.status !== 'enabled') return null;
  if (!isAllowed(address, settings.addresses[portal]))
    throw new MusterError('address-refused', `${address} is not in the list of allowed addresses`);
  if (use) await credentials.sessions.use(session, token, address, recordEveryMs(policy));
  const since = { mustChange: session.mustChangePassword, since: session.passwordSince };
  // Whoever the identity provider let in needed no password: what is due about it waits until it is used.
  const due = session.method === 'password' ? passwordDue(settings.passwordPolicy, since, now) : null;
  const { role, permissions } = await roleInForce(deps, tenantId, account.state.role);
  return {
    kind: 'account',
    tenantId,
    accountId,
    role,
    permissions,
    mustChangePassword: due !== null,
    passwordDue: due,
    factorDue: !session.vouched && factorDue(settings, account.state, portal),
    token,
    sessionId,
    portal,
    method: session.method,
    enteredAt: session.createdAt,
    support: false,
  };
};
