/**
 * Invitations and password resets in GraphQL. Listed in schema.ts; the work is in api/sign-in/links.ts.
 */
import { z } from 'zod';
import { anyRole } from '../../domain/account/account.ts';
import { type AccountId, accountId } from '../../domain/ids.ts';
import { isRefusal, type Refusal } from '../../domain/refusals.ts';
import type { LinkKind } from '../../domain/sign-in/sign-in.ts';
import { email, name } from '../../domain/text.ts';
import { findAccount } from '../../projections/accounts.ts';
import { actorOf } from '../credentials.ts';
import { issueLink, redeemLink, requestReset } from '../sign-in/links.ts';
import { chosenPassword } from '../vault/passwords.ts';
import { newAccount, requireAccount } from './account.ts';
import { builder, RefusedError } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { type Changed, type Effect, EffectInterface, settle } from './effect.ts';
import { mutation } from './mutation.ts';
import { Account } from './refs.ts';

interface LinkPayload extends Changed<AccountId> {
  readonly link: string | null;
  readonly mailed: boolean;
  readonly expiresAt: string;
}

const LinkType = builder.objectRef<LinkPayload>('SignInLinkPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    mailed: t.exposeBoolean('mailed', { description: 'True: the mail server took the mail with the link.' }),
    link: t.exposeString('link', {
      nullable: true,
      description: 'When it was not mailed: shown this once, for you to hand on.',
    }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime' }),
    account: t.field({
      type: Account,
      nullable: true,
      resolve: async ({ id }, _args, context) =>
        (await findAccount(context.deps.sql, signedIn(context).tenantId, id)) ?? null,
    }),
  }),
});

const accepted = <T>(outcome: T | Refusal): T => {
  if (isRefusal(outcome)) throw new RefusedError(outcome);
  return outcome;
};

const issue = async (
  context: ApiContext,
  id: AccountId,
  kind: LinkKind,
  ...done: readonly { readonly position: bigint | undefined }[]
): Promise<LinkPayload> => {
  const credential = signedIn(context);
  const owner = { tenantId: credential.tenantId, accountId: id };
  const issued = accepted(await issueLink(context, owner, kind, actorOf(credential)));
  return { id, ...issued, ...(await settle(context, ...done, issued)) };
};

mutation('inviteAccount', {
  description:
    'Creates an account in the own tenant whose owner chooses a password by a link, within a week.',
  permission: 'account.manage',
  type: LinkType,
  input: (t) => ({
    email: t.string({ required: true }).validate(email),
    name: t.string({ required: true }).validate(name),
    role: t
      .id({
        required: true,
        description: 'A built-in role by its name, or one of the tenant’s own by its id.',
      })
      .validate(anyRole),
  }),
  run: async (input, context) => {
    const { id, created } = await newAccount(context, input);
    return issue(context, id, 'invitation', created);
  },
});

mutation('sendPasswordLink', {
  description: 'Sends an account of the own tenant a link to choose a password; links before it end.',
  permission: 'account.manage',
  type: LinkType,
  input: (t) => ({ accountId: t.id({ required: true }).validate(accountId) }),
  run: async (input, context) => {
    const { accountId: id } = input;
    // Whoever sees the link can become the account: nobody gets more rights that way.
    await requireAccount(context, id);
    return issue(context, id, 'invitation');
  },
});

const RequestedType = builder
  .objectRef<{ readonly requested: boolean }>('RequestPasswordResetPayload')
  .implement({
    fields: (t) => ({
      requested: t.exposeBoolean('requested', {
        description: 'Always true: it tells nothing about accounts.',
      }),
    }),
  });

mutation('requestPasswordReset', {
  description: 'Mails a link to choose a new password, good for an hour, if there is such an account.',
  scope: 'public',
  type: RequestedType,
  input: (t) => ({
    tenantSlug: t.string({ required: true }).validate(z.string().max(254)),
    email: t.string({ required: true }).validate(z.string().max(254)),
  }),
  run: async (input, context) => {
    await requestReset(context, input);
    return { requested: true };
  },
});

interface RedeemedPayload extends Effect {
  readonly tenantSlug: string;
  readonly email: string;
  readonly clientToken: string;
}

const RedeemedType = builder.objectRef<RedeemedPayload>('RedeemLinkPayload').implement({
  description: 'Nobody is signed in by a link: sign in with the new password.',
  interfaces: [EffectInterface],
  fields: (t) => ({
    tenantSlug: t.exposeString('tenantSlug'),
    email: t.exposeString('email'),
    clientToken: t.exposeString('clientToken', { description: 'Give it to signIn.' }),
  }),
});

mutation('redeemLink', {
  description: 'Chooses a password by a link; sessions of the account end.',
  scope: 'public',
  type: RedeemedType,
  input: (t) => ({
    token: t
      .string({ required: true, description: 'What stands behind # in the link.' })
      .validate(z.string().max(200)),
    newPassword: t.string({ required: true }).validate(chosenPassword),
  }),
  run: async (input, context) => {
    const redeemed = accepted(await redeemLink(context, input));
    return { ...redeemed, ...(await settle(context, redeemed)) };
  },
});
