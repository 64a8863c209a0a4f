/**
 * The step between a proven password and a session, for accounts with a second factor: a code of an authenticator app
 * (TOTP, RFC 6238) or a recovery code. Called by api/graphql/session.ts and api/graphql/second-factor.ts.
 */
import { accountDecider } from '../../domain/account/decide.ts';
import { isRefusal, type Refusal, refuse } from '../../domain/refusals.ts';
import { MusterError } from '../../platform/errors.ts';
import { countedAddress } from '../address.ts';
import type { Attempt } from '../vault/attempts.ts';
import type { PasswordOwner } from '../vault/passwords.ts';
import type { Holder } from '../vault/pending-sign-ins.ts';
import type { CodeProof } from '../vault/second-factors.ts';
import { signInSettings } from './door.ts';
import { type EnterParts, insiderOf, type Proven, requireAddress, requireTurn, subjectOf } from './enter.ts';

/** What to bring along with the code. */
export interface Asked {
  readonly token: string;
  readonly expiresAt: string;
}

/** Asks a proven owner for a code: nobody is signed in yet. */
export const askSecondFactor = (
  { credentials }: Pick<EnterParts, 'credentials'>,
  { owner, portal, known, passwordDue, attempt, method }: Proven,
): Promise<Asked> =>
  credentials.pendingSignIns.issue(
    { ...owner, portal, known, passwordDue, method },
    { address: attempt.address, clientToken: attempt.clientToken },
  );

/**
 * Looks at a code in the turn of whoever sends it; throws `too-many-attempts`, and `unauthenticated` when it is wrong.
 * `known` clients never queue with strangers. Codes are counted apart from passwords: those of somebody who has the
 * password slow down nobody else's way to it.
 */
const requireTurnFor = async <T>(
  parts: EnterParts,
  owner: PasswordOwner,
  known: boolean,
  look: () => Promise<T | undefined>,
): Promise<T> => {
  const { tenantId, accountId } = owner;
  const { attempts } = parts.credentials;
  const attempt = { account: `code/${accountId}`, address: countedAddress(parts.address), trusted: known };
  await requireTurn(parts, attempt, owner);
  const found = await look();
  if (found === undefined) {
    parts.door.recorder.count('failed', tenantId, accountId, attempt.address);
    throw new MusterError('unauthenticated', 'the code is wrong, or was used before', { field: 'code' });
  }
  await attempts.succeed(attempt);
  return found;
};

/** Says in the log that a recovery code was used: its owner has one less, and may not have been the one. */
const recordUse = async (parts: EnterParts, owner: PasswordOwner, proof: CodeProof): Promise<void> => {
  if (proof?.by !== 'recovery-code') return;
  const { tenantId, accountId } = owner;
  const told = await parts.deps.handler.handle(
    accountDecider,
    { tenantId, id: accountId },
    { type: 'UseRecoveryCode', left: proof.left },
    // What the code was used for may be told to the same stream by the same request.
    {
      actor: { kind: 'account', id: accountId },
      commandId: `${parts.requestId}-recovery-code`,
      correlationId: parts.requestId,
    },
  );
  if (isRefusal(told)) throw new MusterError('internal', `UseRecoveryCode: ${told.refused}`);
};

/** Uses up a code of the signed-in owner; throws `unauthenticated` unless it is right, and `too-many-attempts`. */
export const requireCode = async (parts: EnterParts, owner: PasswordOwner, code: string): Promise<void> => {
  const proof = await requireTurnFor(parts, owner, true, () =>
    parts.credentials.secondFactors.use(owner, code),
  );
  await recordUse(parts, owner, proof);
};

/** Puts the waiting seed in force; throws as `requireCode`. Refuses `totp-not-begun`. */
export const confirmCode = async (
  parts: EnterParts,
  owner: PasswordOwner,
  code: string,
): Promise<Refusal | undefined> => {
  const confirmed = await requireTurnFor(parts, owner, true, async () => {
    const right = await parts.credentials.secondFactors.confirm(owner, code);
    if (right === null) return 'not-begun';
    return right ? 'confirmed' : undefined;
  });
  return confirmed === 'confirmed' ? undefined : refuse('totp-not-begun', { field: 'code' });
};

/** A code on its way in. */
export interface CodeEntry {
  readonly pendingToken: string;
  readonly code: string;
  readonly clientToken: string | undefined;
}

/**
 * Proves the code after the password. Refuses `sign-in-over`, whatever ended the pending sign-in, and what keeps out
 * an owner whose password was right. Throws `address-refused`, `too-many-attempts`, and `unauthenticated` when the
 * code is wrong.
 */
export const proveCode = async (parts: EnterParts, entry: CodeEntry): Promise<Proven | Refusal> => {
  const { deps, credentials, address } = parts;
  const { pendingSignIns, secondFactors } = credentials;
  const { pendingToken, code, clientToken } = entry;
  const over = refuse('sign-in-over', { field: 'pendingToken' });
  const holder: Holder = { address: countedAddress(address), clientToken };
  const pending = await pendingSignIns.find(pendingToken, holder);
  if (!pending) return over;
  const { tenantId, accountId, portal, known, passwordDue, method } = pending;
  const owner = { tenantId, accountId };
  const settings = await signInSettings(deps, tenantId);
  requireAddress(settings, portal, address);
  const insider = await insiderOf(parts, owner);
  if ('refused' in insider) return insider;
  const { account, tenantSlug } = insider;
  const proof = await requireTurnFor(parts, owner, known, async () =>
    (await pendingSignIns.attempt(pendingToken)) ? secondFactors.use(owner, code) : undefined,
  );
  await recordUse(parts, owner, proof);
  if (!(await pendingSignIns.take(pendingToken))) return over;
  const attempt: Attempt = { account: subjectOf(tenantSlug, account.email), ...holder };
  return {
    step: 'proven',
    owner,
    account,
    settings,
    passwordDue,
    portal,
    attempt,
    known,
    method,
    vouched: false,
  };
};
