/**
 * Passkeys (W3C WebAuthn, npm @simplewebauthn/server): registration by a signed-in account, and signing in, either with
 * the passkey alone or after the password. Called by api/graphql/passkey.ts.
 *
 * A passkey is bound to the host of MUSTER_PUBLIC_URL: another host means other passkeys.
 */
import { isIP } from 'node:net';
import {
  type AuthenticationResponseJSON,
  generateAuthenticationOptions,
  generateRegistrationOptions,
  type PublicKeyCredentialCreationOptionsJSON,
  type PublicKeyCredentialRequestOptionsJSON,
  type RegistrationResponseJSON,
  type VerifiedAuthenticationResponse,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
} from '@simplewebauthn/server';
import { accountDecider } from '../../domain/account/decide.ts';
import type { AccountId, PasskeyId } from '../../domain/ids.ts';
import { isRefusal, type Refusal, refuse } from '../../domain/refusals.ts';
import { MusterError } from '../../platform/errors.ts';
import { isLoopback } from '../../platform/listening.ts';
import { hashSecret, newId } from '../../platform/new-id.ts';
import { countedAddress } from '../address.ts';
import type { Attempt } from '../vault/attempts.ts';
import type { StoredPasskey } from '../vault/passkeys.ts';
import type { PasswordOwner } from '../vault/passwords.ts';
import { signInSettings } from './door.ts';
import {
  type EnterParts,
  insiderOf,
  type Proven,
  requireAddress,
  requireTurn,
  subjectOf,
  tenantOf,
} from './enter.ts';
import { isPasswordClosed } from './identity-provider.ts';
import { passwordDue } from './password.ts';

/** The relying party: what authenticators know this server by. */
interface Party {
  readonly id: string;
  readonly origins: string[];
}

/** Addresses cannot be relying parties; browsers let a server on this machine be `localhost`. */
const partyOf = ({ door }: Pick<EnterParts, 'door'>): Party => {
  const { hostname, origin, protocol, port } = new URL(door.publicUrl());
  const host = hostname.replace(/^\[|\]$/g, '');
  if (!isLoopback(host)) {
    // Pages of bare addresses, and pages without TLS, have no passkeys (WebAuthn §5.1.3).
    if (isIP(host) !== 0 || protocol !== 'https:')
      throw new MusterError('passkeys-off', `${origin} can have none`);
    return { id: host, origins: [origin] };
  }
  return { id: 'localhost', origins: [`${protocol}//localhost${port === '' ? '' : `:${port}`}`] };
};

/** Asks the browser to make a passkey for a signed-in account. */
export const beginRegistration = async (
  parts: EnterParts,
  owner: PasswordOwner,
  account: { readonly email: string; readonly name: string },
): Promise<PublicKeyCredentialCreationOptionsJSON> => {
  const { passkeys } = parts.credentials;
  const known = await passkeys.list(owner);
  return generateRegistrationOptions({
    rpName: 'Muster',
    rpID: partyOf(parts).id,
    userName: account.email,
    userDisplayName: account.name,
    userID: new Uint8Array(Buffer.from(owner.accountId)),
    challenge: new Uint8Array(
      Buffer.from(await passkeys.challenge(`register/${owner.accountId}`), 'base64url'),
    ),
    attestationType: 'none',
    excludeCredentials: known.map(({ credentialId, transports }) => ({
      id: credentialId,
      transports: [...transports],
    })),
    authenticatorSelection: { residentKey: 'preferred', userVerification: 'preferred' },
  });
};

const refused = (detail: string): MusterError =>
  new MusterError('unauthenticated', detail, { field: 'response' });

/** What a library says against an answer is said to its sender: nothing of it is secret. */
const verified = async <T extends { readonly verified: boolean }>(verification: Promise<T>): Promise<T> => {
  const result = await verification.catch((error: Error) => {
    throw refused(error.message.slice(0, 200));
  });
  if (!result.verified) throw refused('the passkey’s answer does not verify');
  return result;
};

/** Verifies and stores the passkey that the browser made; throws `unauthenticated`. */
export const finishRegistration = async (
  parts: EnterParts,
  owner: PasswordOwner,
  response: RegistrationResponseJSON,
): Promise<PasskeyId> => {
  const { passkeys } = parts.credentials;
  const { id, origins } = partyOf(parts);
  const { registrationInfo } = await verified(
    verifyRegistrationResponse({
      response,
      expectedChallenge: (challenge) => passkeys.take(challenge, `register/${owner.accountId}`),
      expectedOrigin: origins,
      expectedRPID: id,
      requireUserVerification: false,
    }),
  );
  if (!registrationInfo) throw refused('the passkey’s answer does not verify');
  const { credential, credentialBackedUp } = registrationInfo;
  const passkeyId = newId('pky');
  const added = await passkeys.add({
    ...owner,
    passkeyId,
    credentialId: credential.id,
    publicKey: credential.publicKey,
    counter: credential.counter,
    transports: (credential.transports ?? []).filter((one) => /^[a-z-]{1,20}$/.test(one)).slice(0, 8),
    backedUp: credentialBackedUp,
  });
  if (!added) throw refused('the passkey is registered already');
  return passkeyId;
};

/** Who asks to sign in: somebody with a proven password, or a stranger in a named tenant. */
export type PasskeyCaller = { readonly pendingToken: string } | { readonly tenantSlug: string };

const subjectOfCaller = (caller: PasskeyCaller): string =>
  'pendingToken' in caller
    ? `pending/${hashSecret(caller.pendingToken)}`
    : `sign-in/${caller.tenantSlug.trim().toLowerCase()}`;

const holderOf = ({ address }: EnterParts, clientToken: string | undefined) => ({
  address: countedAddress(address),
  clientToken,
});

/** Counted per address alone: a signature cannot be guessed, and nobody is to be kept out by strangers. */
const turnOf = ({ address }: EnterParts): Attempt => {
  const counted = countedAddress(address);
  return { account: `passkey/${counted}`, address: counted };
};

/**
 * Asks the browser for a passkey. A stranger learns nothing about the tenant; of a pending sign-in the account's own
 * passkeys are named. Refuses `sign-in-over`.
 */
export const beginPasskeySignIn = async (
  parts: EnterParts,
  caller: PasskeyCaller,
  clientToken: string | undefined,
): Promise<PublicKeyCredentialRequestOptionsJSON | Refusal> => {
  const { pendingSignIns, passkeys } = parts.credentials;
  let allowed: readonly StoredPasskey[] = [];
  if ('pendingToken' in caller) {
    const pending = await pendingSignIns.find(caller.pendingToken, holderOf(parts, clientToken));
    if (!pending) return refuse('sign-in-over', { field: 'pendingToken' });
    allowed = await passkeys.list(pending);
  }
  const challenge = await passkeys.challenge(subjectOfCaller(caller));
  return generateAuthenticationOptions({
    rpID: partyOf(parts).id,
    challenge: new Uint8Array(Buffer.from(challenge, 'base64url')),
    // After the password the passkey is the second factor; alone it has to be both.
    userVerification: 'pendingToken' in caller ? 'preferred' : 'required',
    allowCredentials: allowed.map(({ credentialId, transports }) => ({
      id: credentialId,
      transports: [...transports],
    })),
  });
};

/** A counter that does not go up means a copy of the passkey (WebAuthn §6.1.1); 0 means that it does not count. */
const wentBack = ({ counter: known }: StoredPasskey, counter: number): boolean =>
  (known > 0 || counter > 0) && counter <= known;

/** Says in the owner's log that there may be a copy. */
const suspect = async ({ deps, requestId }: EnterParts, passkey: StoredPasskey): Promise<never> => {
  const { tenantId, accountId, passkeyId } = passkey;
  await deps.handler.handle(
    accountDecider,
    { tenantId, id: accountId },
    { type: 'SuspectPasskey', passkeyId },
    {
      actor: { kind: 'system', id: 'sign-in' },
      commandId: `${requestId}-passkey`,
      correlationId: requestId,
    },
  );
  throw refused('the passkey’s counter went back: there may be a copy of it');
};

/** Verifies an answer against the passkey that it names, and records the use; throws `unauthenticated`. */
const verifyAnswer = async (
  parts: EnterParts,
  caller: PasskeyCaller,
  response: AuthenticationResponseJSON,
  passkey: StoredPasskey,
): Promise<void> => {
  const { passkeys } = parts.credentials;
  const { id, origins } = partyOf(parts);
  const { authenticationInfo } = await verified<VerifiedAuthenticationResponse>(
    verifyAuthenticationResponse({
      response,
      expectedChallenge: (challenge) => passkeys.take(challenge, subjectOfCaller(caller)),
      expectedOrigin: origins,
      expectedRPID: id,
      // Counters are compared here, to tell a copy from a mistake.
      credential: { id: passkey.credentialId, publicKey: passkey.publicKey, counter: 0 },
      requireUserVerification: !('pendingToken' in caller),
    }),
  );
  const { newCounter, credentialBackedUp } = authenticationInfo;
  if (wentBack(passkey, newCounter)) await suspect(parts, passkey);
  if (!(await passkeys.use(passkey, newCounter, credentialBackedUp)))
    throw refused('the passkey was used by somebody else at this moment: try again');
};

/** What belongs to a caller: whose passkeys count, and what is known of the sign-in so far. */
interface Standing {
  readonly tenantId: PasswordOwner['tenantId'] | null;
  readonly accountId: AccountId | null;
  readonly portal: Proven['portal'];
  readonly known: boolean;
  readonly method: Proven['method'];
}

const standingOf = async (
  parts: EnterParts,
  caller: PasskeyCaller,
  clientToken: string | undefined,
): Promise<Standing | Refusal> => {
  const { credentials, deps } = parts;
  if ('tenantSlug' in caller)
    return {
      tenantId: await tenantOf(deps, caller.tenantSlug),
      accountId: null,
      portal: 'admin',
      known: false,
      method: 'passkey',
    };
  const pending = await credentials.pendingSignIns.find(caller.pendingToken, holderOf(parts, clientToken));
  return pending ?? refuse('sign-in-over', { field: 'pendingToken' });
};

/** The passkey that an answer proves, where it is one of those that count; throws `unauthenticated`. */
const proofOf = async (
  parts: EnterParts,
  caller: PasskeyCaller,
  response: AuthenticationResponseJSON,
  { tenantId, accountId }: Pick<Standing, 'tenantId' | 'accountId'>,
): Promise<StoredPasskey> => {
  const found = await parts.credentials.passkeys.find(response.id);
  const counts =
    found !== undefined &&
    found.tenantId === tenantId &&
    (accountId === null || found.accountId === accountId);
  if (!counts) throw refused('no such passkey');
  await verifyAnswer(parts, caller, response, found);
  return found;
};

/**
 * Proves a passkey, alone or after the password. Refuses `sign-in-over` and what keeps out an owner who proved it all.
 * Throws `address-refused`, `too-many-attempts`, and `unauthenticated` whatever is wrong with the answer.
 */
export const provePasskey = async (
  parts: EnterParts,
  caller: PasskeyCaller,
  response: AuthenticationResponseJSON,
  clientToken: string | undefined,
): Promise<Proven | Refusal> => {
  const { credentials, deps, door, address } = parts;
  const standing = await standingOf(parts, caller, clientToken);
  if (isRefusal(standing)) return standing;
  const { tenantId, accountId, portal } = standing;
  const turn = turnOf(parts);
  if (tenantId === null) {
    await requireTurn(parts, turn, null);
    throw refused('no such passkey');
  }
  const settings = await signInSettings(deps, tenantId);
  requireAddress(settings, portal, address);
  await requireTurn(parts, turn, { tenantId, accountId });
  const passkey = await proofOf(parts, caller, response, { ...standing, tenantId }).catch(
    (error: unknown) => {
      door.recorder.count('failed', tenantId, accountId, turn.address);
      throw error;
    },
  );
  await credentials.attempts.succeed(turn);
  const owner = { tenantId, accountId: passkey.accountId };
  const insider = await insiderOf(parts, owner);
  if ('refused' in insider) return insider;
  // The log says which passkeys an account has; what was taken away a moment ago counts no more.
  if (!insider.account.passkeys.some(({ passkeyId }) => passkeyId === passkey.passkeyId))
    throw refused('no such passkey');
  if ('tenantSlug' in caller && (await isPasswordClosed(deps, tenantId, portal, owner.accountId)))
    return refuse('single-sign-on-required');
  if ('pendingToken' in caller && !(await credentials.pendingSignIns.take(caller.pendingToken)))
    return refuse('sign-in-over', { field: 'pendingToken' });
  const { account, tenantSlug } = insider;
  const password = await credentials.passwords.standing(owner);
  return {
    step: 'proven',
    owner,
    account,
    settings,
    passwordDue: passwordDue(settings.passwordPolicy, password, deps.clock()),
    portal,
    attempt: { account: subjectOf(tenantSlug, account.email), ...holderOf(parts, clientToken) },
    known: standing.known,
    method: standing.method,
    vouched: false,
  };
};
