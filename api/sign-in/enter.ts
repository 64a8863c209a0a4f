/**
 * Signing in: from what was typed to a proven owner, and from there to a session. Called by
 * api/graphql/session.ts and oidc/.
 *
 * `prove` ends in a proven password or a step that comes before it; `openSession` makes the session. Whatever else an
 * account has to prove belongs between the two: second-factor.ts.
 */
import type { AccountState } from '../../domain/account/account.ts';
import { accountDecider } from '../../domain/account/decide.ts';
import type { AccountId, TenantId } from '../../domain/ids.ts';
import { type Refusal, refuse } from '../../domain/refusals.ts';
import type { Portal, SignInMethod, SignInState } from '../../domain/sign-in/sign-in.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { slug } from '../../domain/tenant/tenant.ts';
import { email } from '../../domain/text.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import { countedAddress, isAllowed } from '../address.ts';
import type { Credentials } from '../credentials.ts';
import { sessionEndsAt, sessionPolicyOf } from '../identify/account.ts';
import { findAccountOf, findTenantOf } from '../reservation.ts';
import type { Attempt } from '../vault/attempts.ts';
import type { PasswordOwner } from '../vault/passwords.ts';
import type { AskingProvider } from './challenge/challenge.ts';
import { type Door, signInSettings } from './door.ts';
import { isPasswordClosed } from './identity-provider.ts';
import { type PasswordDue, passwordDue } from './password.ts';

/** What sign-in works with. */
export interface EnterParts {
  readonly deps: Pick<Deps, 'handler' | 'clock' | 'log'>;
  readonly credentials: Credentials;
  readonly door: Door;
  readonly requestId: string;
  readonly address: string;
}

/** What was typed, and what the program brings along. */
export interface Entry {
  readonly tenantSlug: string;
  readonly email: string;
  readonly password: string;
  readonly portal: Portal;
  readonly clientToken: string | undefined;
  readonly challengeAnswer: string | undefined;
}

/** An owner who is proven, by the password or by the identity provider; nobody is signed in yet. */
export interface Proven {
  readonly step: 'proven';
  readonly owner: PasswordOwner;
  readonly account: Exclude<AccountState, { status: 'none' }>;
  readonly settings: SignInState;
  readonly passwordDue: PasswordDue | null;
  readonly portal: Portal;
  readonly attempt: Attempt;
  /** Whether the account was signed in to before from this address or program. */
  readonly known: boolean;
  readonly method: SignInMethod;
  /** Whether the identity provider answers for a second factor. */
  readonly vouched: boolean;
}

/** A challenge must be solved first: call again with its answer. */
export interface Challenged {
  readonly step: 'challenge';
  readonly provider: AskingProvider;
  readonly siteKey: string;
}

/** The session that a sign-in ends in. */
export interface Entered {
  readonly sessionId: string;
  readonly token: string;
  readonly expiresAt: string;
  readonly clientToken: string;
}

const wrong = () => new MusterError('unauthenticated', 'tenant, e-mail or password is wrong');

/** Throws `too-many-attempts` unless the attempt may go on; answers whether the client is known. */
export const requireTurn = async (
  { credentials, door }: Pick<EnterParts, 'credentials' | 'door'>,
  attempt: Attempt,
  of: { readonly tenantId: TenantId; readonly accountId: AccountId | null } | null,
): Promise<boolean> => {
  const { waitSeconds, known } = await credentials.attempts.begin(attempt);
  if (waitSeconds === 0) return known;
  if (of) door.recorder.count('paused', of.tenantId, of.accountId, attempt.address);
  throw new MusterError('too-many-attempts', `the next attempt is possible in ${waitSeconds} seconds`, {
    retryAfterMs: waitSeconds * 1000,
  });
};

/** How the tenant's challenge stands: not needed, solved, or to be asked. */
const challengeOf = async (
  parts: EnterParts,
  tenantId: TenantId,
  { challenge }: SignInState,
  attempt: Attempt,
  answer: string | undefined,
): Promise<'none' | 'solved' | Challenged> => {
  const { credentials, door, address } = parts;
  const { provider, siteKey, afterFailures } = challenge;
  if (provider === 'none' || siteKey === null) return 'none';
  const { failures } = await credentials.attempts.standing(attempt);
  if (failures < afterFailures) return 'none';
  const asked = { step: 'challenge', provider, siteKey } as const;
  if (answer === undefined) return asked;
  const secret = await credentials.secrets.get(tenantId, provider);
  if (secret === null) return 'none';
  // Each answer is a call to somebody else's server: wrong ones are slowed down like wrong passwords.
  const answering = { account: `challenge/${tenantId}`, address: attempt.address, trusted: true };
  await requireTurn(parts, answering, null);
  const verdict = await door.challenges.of(provider).verify({ answer, address, secret });
  if (verdict !== 'refused') await credentials.attempts.succeed(answering);
  if (verdict === 'refused') return asked;
  return verdict === 'solved' ? 'solved' : 'none';
};

/** Whose entry it is. What cannot be anybody's is not looked up. */
export const accountIn = async (
  deps: Pick<Deps, 'handler'>,
  tenantId: TenantId | null,
  typed: string,
): Promise<AccountId | null> => {
  const address = email.safeParse(typed.trim());
  return tenantId === null || !address.success ? null : findAccountOf(deps.handler, tenantId, address.data);
};

/** The tenant of a short name as typed. */
export const tenantOf = async (deps: Pick<Deps, 'handler'>, typed: string): Promise<TenantId | null> => {
  const name = slug.safeParse(typed.trim().toLowerCase());
  return name.success ? findTenantOf(deps.handler, name.data) : null;
};

/** Throws `address-refused`, before anything is looked at that a guesser could learn from. */
export const requireAddress = (settings: SignInState | null, portal: Portal, address: string): void => {
  if (settings && !isAllowed(address, settings.addresses[portal]))
    throw new MusterError('address-refused', `${address} is not in the list of allowed addresses`);
};

/** Whose account it is, and in which tenant. */
export interface Insider {
  readonly account: Proven['account'];
  readonly tenantSlug: string;
}

/** Loads whose password was right; a refusal says why it does not help. */
export const insiderOf = async (
  { deps }: Pick<EnterParts, 'deps'>,
  { tenantId, accountId }: PasswordOwner,
): Promise<Insider | Refusal> => {
  const [tenant, account] = await Promise.all([
    deps.handler.load(tenantDecider, { tenantId, id: tenantId }),
    deps.handler.load(accountDecider, { tenantId, id: accountId }),
  ]);
  if (tenant.state.status === 'none' || account.state.status === 'none') throw wrong();
  if (tenant.state.status === 'suspended') return refuse('tenant-suspended');
  if (account.state.status === 'disabled') return refuse('account-disabled');
  return { account: account.state, tenantSlug: tenant.state.slug };
};

/** What was typed, as attempts are counted: accounts that do not exist are counted like others. */
export const subjectOf = (tenantSlug: string, typedEmail: string): string =>
  `${tenantSlug.trim().toLowerCase()}/${typedEmail.trim().toLowerCase()}`;

/**
 * Proves the password. Throws `too-many-attempts`, `address-refused` and, whatever is wrong with what was typed, the
 * same `unauthenticated`; a refusal is of an owner whose password was right.
 */
export const prove = async (parts: EnterParts, entry: Entry): Promise<Proven | Challenged | Refusal> => {
  const { deps, credentials, door, address } = parts;
  const { portal, clientToken } = entry;
  const tenantId = await tenantOf(deps, entry.tenantSlug);
  const settings = tenantId && (await signInSettings(deps, tenantId));
  requireAddress(settings, portal, address);
  const attempt: Attempt = {
    account: subjectOf(entry.tenantSlug, entry.email),
    address: countedAddress(address),
    clientToken,
  };
  const challenge =
    tenantId && settings
      ? await challengeOf(parts, tenantId, settings, attempt, entry.challengeAnswer)
      : 'none';
  if (typeof challenge === 'object') return challenge;
  const accountId = await accountIn(deps, tenantId, entry.email);
  const of = tenantId && { tenantId, accountId };
  const known = await requireTurn(parts, { ...attempt, solved: challenge === 'solved' }, of);
  const owner = tenantId && accountId ? { tenantId, accountId } : null;
  const password = await credentials.passwords.check(owner, entry.password);
  if (!owner || !settings || !password.valid) {
    if (of) door.recorder.count('failed', of.tenantId, of.accountId, attempt.address);
    throw wrong();
  }
  const insider = await insiderOf(parts, owner);
  await credentials.attempts.succeed(attempt);
  if ('refused' in insider) return insider;
  if (await isPasswordClosed(deps, owner.tenantId, portal, owner.accountId))
    return refuse('single-sign-on-required');
  const { account } = insider;
  const due = passwordDue(settings.passwordPolicy, password, deps.clock());
  return {
    step: 'proven',
    owner,
    account,
    settings,
    passwordDue: due,
    portal,
    attempt,
    known,
    method: 'password',
    vouched: false,
  };
};

/** Opens the session of a proven owner, and remembers address and program. The fact is in the log before. */
export const openSession = async (
  { credentials, door, requestId, address }: EnterParts,
  { owner, settings, portal, attempt, known, method, vouched }: Proven,
  userAgent: string | null,
): Promise<Entered> => {
  const { sessions, attempts, passwords } = credentials;
  const clientToken = await attempts.remember(attempt);
  const opened = await sessions.open({ ...owner, portal, address, userAgent, method, vouched });
  const { sessionId, token } = opened;
  try {
    await door.recorder.tell(
      owner.tenantId,
      {
        type: 'AccountSignedIn',
        data: { accountId: owner.accountId, portal, sessionId, address, userAgent, known, method },
      },
      { actor: { kind: 'account', id: owner.accountId }, requestId },
    );
  } catch (error) {
    await sessions.end(token);
    throw error;
  }
  await passwords.recordSignIn(owner);
  const expiresAt = sessionEndsAt(opened, sessionPolicyOf(credentials, settings, portal));
  return { sessionId, token, expiresAt, clientToken };
};
