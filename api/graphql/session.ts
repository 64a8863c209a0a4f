/**
 * Signing in and out, and the signed-in account itself, in GraphQL. Listed in schema.ts.
 */
import { z } from 'zod';
import {
  type AccountState,
  type AnyRole,
  hasSecondFactor,
  type SecondFactor,
  secondFactorKinds,
} from '../../domain/account/account.ts';
import { accountDecider } from '../../domain/account/decide.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { factorDue } from '../../domain/sign-in/second-factor.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { operatorTenantId, type TenantState } from '../../domain/tenant/tenant.ts';
import { MusterError } from '../../platform/errors.ts';
import { countedAddress } from '../address.ts';
import { type AccountCredential, actorOf } from '../credentials.ts';
import { signInSettings } from '../sign-in/door.ts';
import { endSession, endSessions } from '../sign-in/end-sessions.ts';
import { openSession, type Proven, prove, requireTurn } from '../sign-in/enter.ts';
import { providerFor } from '../sign-in/identity-provider.ts';
import { openProvider } from '../sign-in/oidc/single-sign-on.ts';
import { type PasswordDue, refusePassword } from '../sign-in/password.ts';
import { type Asked, askSecondFactor, proveCode } from '../sign-in/second-factor.ts';
import { leaveTenant } from '../support.ts';
import { chosenPassword } from '../vault/passwords.ts';
import { builder, RefusedError } from './builder.ts';
import { type ApiContext, signedInAccount } from './context.ts';
import { act, type Effect, EffectInterface, refuseIf, settle, stateOf } from './effect.ts';
import { ChallengeProvider, PasswordDueEnum, Permission, SecondFactorKind, SignInStep } from './enums.ts';
import { mutation } from './mutation.ts';
import { Role } from './refs.ts';
import { findRoleView } from './role-view.ts';

interface Viewer {
  readonly account: Exclude<AccountState, { status: 'none' }>;
  readonly tenant: Exclude<TenantState, { status: 'none' }>;
}

const ViewerFactor = builder
  .objectRef<Pick<Viewer, 'account'> & { readonly due: boolean }>('ViewerSecondFactor')
  .implement({
    fields: (t) => ({
      enabled: t.boolean({ resolve: ({ account }) => hasSecondFactor(account) }),
      kinds: t.field({
        type: [SecondFactorKind],
        resolve: ({ account }) => secondFactorKinds(account),
      }),
      due: t.exposeBoolean('due', {
        description: 'True: nothing but setting it up is possible before.',
      }),
      recoveryCodesLeft: t.int({
        resolve: (_factor, _args, context) => {
          const { tenantId, accountId } = signedInAccount(context);
          return context.credentials.secondFactors.recoveryCodesLeft({ tenantId, accountId });
        },
      }),
    }),
  });

export const ViewerType = builder.objectRef<Viewer>('Viewer').implement({
  description: 'The signed-in account.',
  fields: (t) => ({
    accountId: t.id({ resolve: (_viewer, _args, context) => signedInAccount(context).accountId }),
    email: t.string({ resolve: ({ account }) => account.email }),
    name: t.string({ resolve: ({ account }) => account.name }),
    role: t.field({
      type: Role,
      nullable: true,
      description: 'Of support, the role that its access is like.',
      resolve: ({ account }, _args, context) => {
        const { support, role } = signedInAccount(context);
        return findRoleView(context, support ? (role as AnyRole) : account.role);
      },
    }),
    permissions: t.field({
      type: [Permission],
      description: 'What the role allows.',
      resolve: (_viewer, _args, context) => [...signedInAccount(context).permissions].sort(),
    }),
    support: t.boolean({
      description: 'True: an operator within a tenant that grants support access.',
      resolve: (_viewer, _args, context) => signedInAccount(context).support,
    }),
    mustChangePassword: t.boolean({
      description: 'True: nothing but changePassword and signOut is possible before.',
      resolve: (_viewer, _args, context) => signedInAccount(context).mustChangePassword,
    }),
    passwordDue: t.field({
      type: PasswordDueEnum,
      nullable: true,
      description: 'Why the password must be changed.',
      resolve: (_viewer, _args, context) => signedInAccount(context).passwordDue,
    }),
    secondFactor: t.field({
      type: ViewerFactor,
      description: 'Whether signing in takes a code besides the password.',
      resolve: ({ account }, _args, context) => ({ account, due: signedInAccount(context).factorDue }),
    }),
    tenantId: t.id({ resolve: (_viewer, _args, context) => signedInAccount(context).tenantId }),
    tenantName: t.string({ resolve: ({ tenant }) => tenant.name }),
    tenantSlug: t.string({ resolve: ({ tenant }) => tenant.slug }),
  }),
});

builder.queryField('viewer', (t) =>
  t.field({
    type: ViewerType,
    description: 'The signed-in account.',
    authScopes: { signedIn: true },
    resolve: async (_root, _args, context) => {
      const { tenantId, accountId, support } = signedInAccount(context);
      const home = { tenantId: support ? operatorTenantId : tenantId, id: accountId };
      const { state: account } = await context.deps.handler.load(accountDecider, home);
      const tenant = await stateOf(context, tenantDecider, tenantId);
      if (account.status === 'none' || tenant.status === 'none')
        throw new MusterError('unauthenticated', 'the account is gone');
      return { account, tenant };
    },
  }),
);

/** A sign-in ends in a session, or in the step that has to come before it. */
interface SignIn {
  readonly step: 'signed-in' | 'challenge' | 'second-factor';
  readonly token: string | null;
  readonly expiresAt: string | null;
  readonly clientToken: string | null;
  readonly passwordDue: PasswordDue | null;
  readonly secondFactorDue: boolean;
  readonly challenge: { readonly provider: 'recaptcha'; readonly siteKey: string } | null;
  readonly secondFactors: readonly SecondFactor[];
  readonly pending: Asked | null;
}

const ChallengeType = builder.objectRef<NonNullable<SignIn['challenge']>>('SignInChallenge').implement({
  description: 'A question that tells people from programs.',
  fields: (t) => ({
    provider: t.expose('provider', { type: ChallengeProvider }),
    siteKey: t.exposeString('siteKey', { description: 'What the page gives to the provider.' }),
  }),
});

export const SignInType = builder.objectRef<SignIn>('SignInPayload').implement({
  description: 'A session, or the step that has to come before it.',
  fields: (t) => ({
    step: t.expose('step', { type: SignInStep, description: 'Anything but SIGNED_IN: nobody is signed in.' }),
    token: t.exposeString('token', {
      nullable: true,
      description: 'Send it as `Authorization: Bearer <token>`. Null when the browser keeps it as a cookie.',
    }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the session ends at the latest; it ends earlier when it is not used.',
    }),
    clientToken: t.exposeString('clientToken', {
      nullable: true,
      description:
        'Keep it and give it to the next signIn: a program that is known never waits for strangers.',
    }),
    mustChangePassword: t.boolean({
      description: 'True: call changePassword before anything else.',
      resolve: ({ passwordDue }) => passwordDue !== null,
    }),
    passwordDue: t.expose('passwordDue', {
      type: PasswordDueEnum,
      nullable: true,
      description: 'Why the password must be changed.',
    }),
    secondFactorDue: t.exposeBoolean('secondFactorDue', {
      description: 'True: set up a second factor with beginTotp before anything else but changePassword.',
    }),
    secondFactors: t.field({
      type: [SecondFactorKind],
      description:
        'With step SECOND_FACTOR: what the account has. TOTP and recovery codes: signInWithCode; PASSKEY: signInWithPasskey.',
      resolve: ({ secondFactors }) => [...secondFactors],
    }),
    pendingToken: t.string({
      nullable: true,
      description:
        'With step SECOND_FACTOR: give it to signInWithCode or beginPasskeySignIn, from the same address and program.',
      resolve: ({ pending }) => pending?.token ?? null,
    }),
    pendingUntil: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'Until when `pendingToken` is good.',
      resolve: ({ pending }) => pending?.expiresAt ?? null,
    }),
    challenge: t.field({
      type: ChallengeType,
      nullable: true,
      description: 'With step CHALLENGE: solve it, then call signIn again with `challengeAnswer`.',
      resolve: ({ challenge }) => challenge,
    }),
  }),
});

/** Anything that a person may type; what is no valid address or name simply names nobody. */
export const typed = z.string().max(254);

interface Input {
  readonly tenantSlug: string;
  readonly email: string;
  readonly password: string;
  readonly cookie: boolean;
  readonly clientToken?: string | null | undefined;
  readonly challengeAnswer?: string | null | undefined;
}

const nobody = {
  token: null,
  expiresAt: null,
  clientToken: null,
  passwordDue: null,
  secondFactorDue: false,
  challenge: null,
  secondFactors: [],
  pending: null,
} as const;

/** A page of another site must not sign a browser in to an account of its own choice. */
export const requireOwnPages = ({ browser }: ApiContext, cookie: boolean): void => {
  if (cookie && browser.crossSite) throw browser.crossSite;
};

/** Signs in whoever has proven everything, and has the browser keep it where that was asked for. */
export const enter = async (context: ApiContext, proven: Proven, cookie: boolean): Promise<SignIn> => {
  const { browser, credentials } = context;
  const { settings, account, portal, passwordDue } = proven;
  const entered = await openSession(context, proven, browser.userAgent);
  const secondFactorDue = !proven.vouched && factorDue(settings, account, portal);
  const signed = { ...nobody, ...entered, step: 'signed-in', passwordDue, secondFactorDue } as const;
  if (!cookie) return signed;
  // The session that the browser had before does not live on beside the new one.
  if (browser.sessionToken !== undefined) await credentials.sessions.end(browser.sessionToken);
  browser.keepSession(entered.token);
  browser.keepClient(entered.clientToken);
  return { ...signed, token: null, clientToken: null };
};

const signIn = async (input: Input, context: ApiContext): Promise<SignIn> => {
  const { browser } = context;
  requireOwnPages(context, input.cookie);
  const proven = await prove(context, {
    ...input,
    portal: 'admin',
    clientToken: input.clientToken ?? browser.clientToken,
    challengeAnswer: input.challengeAnswer ?? undefined,
  });
  if (isRefusal(proven)) throw new RefusedError(proven);
  if (proven.step === 'challenge') return { ...nobody, step: 'challenge', challenge: proven };
  if (hasSecondFactor(proven.account))
    return {
      ...nobody,
      step: 'second-factor',
      secondFactors: secondFactorKinds(proven.account),
      pending: await askSecondFactor(context, proven),
    };
  return enter(context, proven, input.cookie);
};

/** How the browser is to keep a session, and which program it is, in every mutation that opens one. */
export const keepsSession = 'True: the browser keeps the session as a cookie that no script can read.';
export const ofEarlier = 'Of an earlier sign-in; browsers send theirs as a cookie.';
export const clientToken = z.string().max(200).nullish();

mutation('signIn', {
  description: 'Opens a session, or names the step that has to come before it.',
  scope: 'public',
  type: SignInType,
  input: (t) => ({
    tenantSlug: t.string({ required: true }).validate(typed),
    email: t.string({ required: true }).validate(typed),
    password: t.string({ required: true }).validate(z.string().max(256)),
    cookie: t.boolean({
      required: true,
      defaultValue: false,
      description: keepsSession,
    }),
    clientToken: t.string({ description: ofEarlier }).validate(clientToken),
    challengeAnswer: t
      .string({ description: 'What the provider of the challenge gave to the page.' })
      .validate(z.string().max(4096).nullish()),
  }),
  run: (input, context) => signIn(input, context),
});

/** A code as typed: of an authenticator app, or a recovery code. */
export const factorCode = z.string().min(1).max(64);

mutation('signInWithCode', {
  description: 'Opens the session of a sign-in that was answered with step SECOND_FACTOR.',
  scope: 'public',
  type: SignInType,
  input: (t) => ({
    pendingToken: t.string({ required: true }).validate(z.string().max(200)),
    code: t
      .string({ required: true, description: 'Of the authenticator app, or a recovery code.' })
      .validate(factorCode),
    cookie: t.boolean({ required: true, defaultValue: false, description: keepsSession }),
    clientToken: t.string({ description: 'The same as was given to signIn.' }).validate(clientToken),
  }),
  run: async ({ pendingToken, code, cookie, ...input }, context) => {
    requireOwnPages(context, cookie);
    const clientToken = input.clientToken ?? context.browser.clientToken;
    const proven = await proveCode(context, { pendingToken, code, clientToken });
    if (isRefusal(proven)) throw new RefusedError(proven);
    return enter(context, proven, cookie);
  },
});

interface SignedOut {
  readonly signedOut: boolean;
  readonly providerSignOutUrl: string | null;
}

const SignOutPayload = builder.objectRef<SignedOut>('SignOutPayload').implement({
  fields: (t) => ({
    signedOut: t.exposeBoolean('signedOut'),
    providerSignOutUrl: t.exposeString('providerSignOutUrl', {
      nullable: true,
      description:
        'Where to send the browser to sign out of the identity provider too; null when the session was not opened by it.',
    }),
  }),
});

/** Signing out here works whether the provider can be asked or not. */
const providerSignOutUrl = async (
  context: ApiContext,
  { tenantId, portal, method }: AccountCredential,
): Promise<string | null> => {
  const settings = method === 'password' ? undefined : await providerFor(context.deps, tenantId, portal);
  if (!settings) return null;
  const provider = await openProvider(context, tenantId, settings).catch(() => null);
  return provider?.signOutUrl(`${context.door.publicUrl()}/`) ?? null;
};

mutation('signOut', {
  description: 'Ends this session, or every session of the account.',
  scope: 'signedIn',
  type: SignOutPayload,
  input: (t) => ({ everywhere: t.boolean({ required: true, defaultValue: false }) }),
  run: async (input, context) => {
    const credential = signedInAccount(context);
    const { tenantId, accountId, sessionId } = credential;
    const owner = { tenantId, accountId };
    const ending = { reason: 'signed-out', by: actorOf(credential) } as const;
    if (credential.support) await leaveTenant(context, credential, context.requestId);
    else if (input.everywhere) await endSessions(context, owner, ending);
    else await endSession(context, owner, sessionId, ending);
    if (context.browser.sessionToken !== undefined) context.browser.keepSession(null);
    return { signedOut: true, providerSignOutUrl: await providerSignOutUrl(context, credential) };
  },
});

interface ChangedPassword extends Effect {
  readonly token: string | null;
}

const ChangedType = builder.objectRef<ChangedPassword>('ChangePasswordPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    token: t.exposeString('token', {
      nullable: true,
      description: 'Takes the place of the token that was sent, which has ended. Null with the cookie.',
    }),
  }),
});

/** Throws unless `password` is the signed-in account's; guesses are slowed down. */
export const requireOwnPassword = async (context: ApiContext, password: string): Promise<void> => {
  const { tenantId, accountId } = signedInAccount(context);
  const { attempts, passwords } = context.credentials;
  const owner = { tenantId, accountId };
  const attempt = { account: accountId, address: countedAddress(context.address), trusted: true };
  await requireTurn(context, attempt, owner);
  if (!(await passwords.check(owner, password)).valid) {
    context.door.recorder.count('failed', tenantId, accountId, attempt.address);
    throw new MusterError('unauthenticated', 'the current password is wrong', { field: 'currentPassword' });
  }
  await attempts.succeed(attempt);
};

/** Gives the session a new token, to the browser where the cookie was the credential. */
const rotate = async ({ credentials, browser }: ApiContext, token: string): Promise<string | null> => {
  const rotated = await credentials.sessions.rotate(token);
  if (rotated === undefined) throw new MusterError('unauthenticated', 'the session has ended');
  if (token !== browser.sessionToken) return rotated;
  browser.keepSession(rotated);
  return null;
};

mutation('changePassword', {
  description:
    'Changes the password of the signed-in account; its other sessions end, this one gets a new token.',
  scope: 'signedIn',
  type: ChangedType,
  input: (t) => ({
    currentPassword: t.string({ required: true }).validate(z.string().max(256)),
    newPassword: t
      .string({ required: true, description: 'As signInSettings asks.' })
      .validate(chosenPassword),
  }),
  run: async ({ currentPassword, newPassword }, context) => {
    const credential = signedInAccount(context);
    const { tenantId, accountId, token, support } = credential;
    if (support) throw new MusterError('forbidden', 'support has no password here');
    const owner = { tenantId, accountId };
    await requireOwnPassword(context, currentPassword);
    const account = await stateOf(context, accountDecider, accountId);
    if (account.status === 'none') throw new MusterError('unauthenticated', 'the account is gone');
    const { passwordPolicy: policy } = await signInSettings(context.deps, tenantId, { fresh: true });
    const { passwords, links } = context.credentials;
    const choice = { owner, account, policy, password: newPassword };
    refuseIf(await refusePassword(choice, context.door.lists, passwords));
    await passwords.choose(owner, newPassword);
    await links.endAll(tenantId, accountId);
    await endSessions(context, owner, { reason: 'password-changed', by: actorOf(credential) }, token);
    const done = await act(context, accountDecider, accountId, {
      type: 'ChangeAccountPassword',
      mustChange: false,
    });
    return { ...(await settle(context, done)), token: await rotate(context, token) };
  },
});
