/**
 * The second factor of accounts in GraphQL: set-up, recovery codes, turning it off, reset by an administrator.
 * Listed in schema.ts. Signing in with it: session.ts.
 */
import { z } from 'zod';
import { type AccountState, hasSecondFactor } from '../../domain/account/account.ts';
import { type AccountCommand, accountDecider } from '../../domain/account/decide.ts';
import { type AccountId, accountId } from '../../domain/ids.ts';
import { refuse } from '../../domain/refusals.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { MusterError } from '../../platform/errors.ts';
import { type AccountRow, findAccount } from '../../projections/accounts.ts';
import { type AccountCredential, actorOf } from '../credentials.ts';
import { endSessions } from '../sign-in/end-sessions.ts';
import { confirmCode, requireCode } from '../sign-in/second-factor.ts';
import type { PasswordOwner } from '../vault/passwords.ts';
import type { Seed } from '../vault/second-factors.ts';
import { requireAccount } from './account.ts';
import { builder } from './builder.ts';
import { type ApiContext, signedIn, signedInAccount } from './context.ts';
import { act, type Effect, EffectInterface, payloadOf, refuseIf, settle, stateOf } from './effect.ts';
import { mutation } from './mutation.ts';
import { Account } from './refs.ts';
import { factorCode, requireOwnPassword } from './session.ts';

/** The signed-in account as the owner of its second factor. */
export interface Own extends PasswordOwner {
  readonly credential: AccountCredential;
  readonly account: Exclude<AccountState, { status: 'none' }>;
}

/** Support has none within a tenant. */
export const ownOf = async (context: ApiContext): Promise<Own> => {
  const credential = signedInAccount(context);
  const { tenantId, accountId, support } = credential;
  if (support) throw new MusterError('forbidden', 'support has no second factor here');
  const account = await stateOf(context, accountDecider, accountId);
  if (account.status === 'none') throw new MusterError('unauthenticated', 'the account is gone');
  return { tenantId, accountId, credential, account };
};

const requireOn = ({ account }: Own): void => {
  if (!hasSecondFactor(account)) refuseIf(refuse('second-factor-off'));
};

/** Tells what became of the factor, and ends the sessions that were opened before it: but for this one. */
export const changeFactor = async (context: ApiContext, own: Own, command: AccountCommand) => {
  const { tenantId, accountId, credential } = own;
  const done = await act(context, accountDecider, accountId, command);
  const ending = { reason: 'second-factor-changed', by: actorOf(credential) } as const;
  await endSessions(context, { tenantId, accountId }, ending, credential.token);
  return done;
};

const SeedType = builder.objectRef<Seed>('BeginTotpPayload').implement({
  description: 'What an authenticator app needs. Shown this once.',
  fields: (t) => ({
    secret: t.exposeString('secret', { description: 'To be typed: base 32.' }),
    uri: t.exposeString('uri', { description: 'To be shown as a QR code: `otpauth://totp/…`.' }),
  }),
});

const currentPassword = z.string().max(256);

const justMs = 600_000;
const hasJustEntered = ({ deps }: ApiContext, { method, enteredAt }: AccountCredential): boolean =>
  method === 'identity-provider' && deps.clock() - enteredAt.getTime() < justMs;

mutation('beginTotp', {
  description:
    'Begins to set up a second factor (TOTP, RFC 6238) for the signed-in account. It waits 15 minutes for confirmTotp.',
  scope: 'ownPassword',
  type: SeedType,
  input: (t) => ({
    currentPassword: t
      .string({ description: 'Not needed within ten minutes of a sign-in by the identity provider.' })
      .validate(currentPassword.nullish()),
  }),
  run: async (input, context) => {
    const { account, tenantId, accountId, credential } = await ownOf(context);
    if (account.totp) refuseIf(refuse('second-factor-on'));
    // Accounts that sign in by the provider may have no password; that they just did proves as much.
    if (input.currentPassword || !hasJustEntered(context, credential))
      await requireOwnPassword(context, input.currentPassword ?? '');
    const tenant = await stateOf(context, tenantDecider, tenantId);
    const issuer = `Muster ${tenant.status === 'none' ? '' : tenant.name.replaceAll(':', ' ')}`.trim();
    const label = { issuer, account: account.email };
    return context.credentials.secondFactors.begin({ tenantId, accountId }, label);
  },
});

interface Codes extends Effect {
  readonly recoveryCodes: readonly string[];
}

const CodesType = builder.objectRef<Codes>('RecoveryCodesPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    recoveryCodes: t.stringList({
      description: 'Each is good once in place of a code of the app. Shown this once.',
      resolve: ({ recoveryCodes }) => [...recoveryCodes],
    }),
  }),
});

mutation('confirmTotp', {
  description:
    'Turns the second factor on, with a code that the app shows; answers recovery codes. Other sessions of the account end.',
  scope: 'ownPassword',
  type: CodesType,
  input: (t) => ({ code: t.string({ required: true }).validate(factorCode) }),
  run: async ({ code }, context) => {
    const own = await ownOf(context);
    if (own.account.totp) refuseIf(refuse('second-factor-on'));
    refuseIf(await confirmCode(context, own, code));
    const done = await changeFactor(context, own, { type: 'EnableTotp' });
    // Confirmed twice at once: the codes of whoever was first stay good.
    if (done.position === undefined) refuseIf(refuse('second-factor-on'));
    const recoveryCodes = await context.credentials.secondFactors.renewRecoveryCodes(own);
    return { recoveryCodes, ...(await settle(context, done)) };
  },
});

mutation('renewRecoveryCodes', {
  description: 'Answers new recovery codes; those before are no longer good.',
  scope: 'ownPassword',
  type: CodesType,
  input: (t) => ({ code: t.string({ required: true }).validate(factorCode) }),
  run: async ({ code }, context) => {
    const own = await ownOf(context);
    requireOn(own);
    await requireCode(context, own, code);
    const done = await act(context, accountDecider, own.accountId, { type: 'RenewRecoveryCodes' });
    const recoveryCodes = await context.credentials.secondFactors.renewRecoveryCodes(own);
    return { recoveryCodes, ...(await settle(context, done)) };
  },
});

const DisabledType = builder.objectRef<Effect>('DisableTotpPayload').implement({
  interfaces: [EffectInterface],
});

mutation('disableTotp', {
  description: 'Turns the second factor of the signed-in account off; its other sessions end.',
  scope: 'ownPassword',
  type: DisabledType,
  input: (t) => ({
    currentPassword: t.string({ required: true }).validate(currentPassword),
    code: t.string({ required: true, description: 'Of the app, or a recovery code.' }).validate(factorCode),
  }),
  run: async ({ currentPassword, code }, context) => {
    const own = await ownOf(context);
    if (!own.account.totp) refuseIf(refuse('second-factor-off'));
    await requireOwnPassword(context, currentPassword);
    await requireCode(context, own, code);
    const done = await changeFactor(context, own, { type: 'DisableTotp' });
    // Recovery codes stay as long as there is a passkey that may be lost.
    if (own.account.passkeys.length > 0) await context.credentials.secondFactors.removeTotp(own);
    else await context.credentials.secondFactors.remove(own);
    return settle(context, done);
  },
});

const ResetPayload = payloadOf<AccountId, AccountRow>('ResetSecondFactor', 'account', Account, findAccount);

mutation('resetSecondFactor', {
  description:
    'Turns off the second factor of an account whose owner lost it; its sessions end. Nobody resets an own one.',
  permission: 'account.manage',
  type: ResetPayload,
  input: (t) => ({ accountId: t.id({ required: true }).validate(accountId) }),
  run: async ({ accountId: id }, context) => {
    const credential = signedIn(context);
    const { tenantId } = credential;
    await requireAccount(context, id);
    if (credential.kind === 'account' && id === credential.accountId)
      throw new MusterError('invalid-input', 'the own second factor is turned off with disableTotp', {
        field: 'accountId',
      });
    const owner = { tenantId, accountId: id };
    const done = await act(context, accountDecider, id, { type: 'ResetSecondFactor' });
    await context.credentials.secondFactors.remove(owner);
    await context.credentials.passkeys.removeAll(owner);
    await endSessions(context, owner, { reason: 'second-factor-changed', by: actorOf(credential) });
    return { id, ...(await settle(context, done)) };
  },
});
