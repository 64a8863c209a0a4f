/**
 * Passkeys in GraphQL: registration, naming and removal by their owner, and signing in with them. Listed in schema.ts.
 * `options` and `response` are the JSON that browsers take and give (WebAuthn, PublicKeyCredential.toJSON()).
 */
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server';
import { z } from 'zod';
import { hasSecondFactor, type Passkey, passkeysAtMost } from '../../domain/account/account.ts';
import { accountDecider } from '../../domain/account/decide.ts';
import { passkeyId } from '../../domain/ids.ts';
import { isRefusal, refuse } from '../../domain/refusals.ts';
import { name } from '../../domain/text.ts';
import { MusterError } from '../../platform/errors.ts';
import {
  beginPasskeySignIn,
  beginRegistration,
  finishRegistration,
  type PasskeyCaller,
  provePasskey,
} from '../sign-in/passkey.ts';
import type { StoredPasskey } from '../vault/passkeys.ts';
import { builder, RefusedError } from './builder.ts';
import { type ApiContext, signedInAccount } from './context.ts';
import { act, type Effect, EffectInterface, refuseIf, settle } from './effect.ts';
import { mutation } from './mutation.ts';
import { changeFactor, ownOf } from './second-factor.ts';
import {
  clientToken,
  enter,
  keepsSession,
  ofEarlier,
  requireOwnPages,
  requireOwnPassword,
  SignInType,
  typed,
  ViewerType,
} from './session.ts';

/** A passkey as its owner sees it. */
type OwnPasskey = Passkey & Pick<StoredPasskey, 'createdAt' | 'usedAt' | 'backedUp'>;

const PasskeyType = builder.objectRef<OwnPasskey>('Passkey').implement({
  description: 'A passkey of the signed-in account.',
  fields: (t) => ({
    id: t.id({ resolve: (passkey) => passkey.passkeyId }),
    name: t.exposeString('name'),
    createdAt: t.field({ type: 'DateTime', resolve: ({ createdAt }) => createdAt.toISOString() }),
    lastUsedAt: t.field({
      type: 'DateTime',
      nullable: true,
      resolve: ({ usedAt }) => usedAt?.toISOString() ?? null,
    }),
    backedUp: t.exposeBoolean('backedUp', { description: 'True: it is not on one device alone.' }),
  }),
});

const ownPasskeys = async (context: ApiContext): Promise<OwnPasskey[]> => {
  const own = await ownOf(context);
  const stored = new Map(
    (await context.credentials.passkeys.list(own)).map((one) => [one.passkeyId, one] as const),
  );
  return own.account.passkeys.flatMap((known) => {
    const found = stored.get(known.passkeyId);
    return found
      ? [{ ...known, createdAt: found.createdAt, usedAt: found.usedAt, backedUp: found.backedUp }]
      : [];
  });
};

builder.objectField(ViewerType, 'passkeys', (t) =>
  t.field({
    type: [PasskeyType],
    description: 'The own passkeys, the oldest first.',
    resolve: (_viewer, _args, context) => (signedInAccount(context).support ? [] : ownPasskeys(context)),
  }),
);

interface Options {
  readonly options: unknown;
}

const OptionsType = builder.objectRef<Options>('PasskeyOptionsPayload').implement({
  description: 'What the browser is to be asked, within five minutes.',
  fields: (t) => ({
    options: t.expose('options', {
      type: 'JSON',
      description: 'For `navigator.credentials.create` or `get`, as JSON.',
    }),
  }),
});

/** Both kinds of answers, as far as the library does not look at them itself. */
const base64url = z
  .string()
  .regex(/^[A-Za-z0-9_-]+$/)
  .max(16_384);
const answer = <Response extends z.ZodRawShape>(response: Response) =>
  z.object({
    id: base64url,
    rawId: base64url,
    type: z.literal('public-key'),
    response: z.object({ clientDataJSON: base64url, ...response }),
    clientExtensionResults: z.record(z.string(), z.unknown()).default({}),
  });
const created = answer({
  attestationObject: base64url,
  transports: z.array(z.string().max(20)).max(10).default([]),
});
const signed = answer({
  authenticatorData: base64url,
  signature: base64url,
  userHandle: z.string().max(100).optional(),
});

mutation('beginPasskey', {
  description: 'Begins to register a passkey for the signed-in account.',
  scope: 'ownPassword',
  type: OptionsType,
  input: (t) => ({ currentPassword: t.string({ required: true }).validate(z.string().max(256)) }),
  run: async ({ currentPassword }, context) => {
    const own = await ownOf(context);
    if (own.account.passkeys.length >= passkeysAtMost) refuseIf(refuse('too-many-passkeys'));
    await requireOwnPassword(context, currentPassword);
    const { tenantId, accountId, account } = own;
    return { options: await beginRegistration(context, { tenantId, accountId }, account) };
  },
});

interface Added extends Effect {
  readonly passkeyId: string;
  readonly recoveryCodes: readonly string[] | null;
}

const AddedType = builder.objectRef<Added>('PasskeyAddedPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    passkeyId: t.exposeID('passkeyId'),
    recoveryCodes: t.stringList({
      nullable: true,
      description:
        'With the first second factor: each is good once in place of it. Shown this once. Null when there are some already.',
      resolve: ({ recoveryCodes }) => (recoveryCodes === null ? null : [...recoveryCodes]),
    }),
  }),
});

mutation('confirmPasskey', {
  description:
    'Adds the passkey that the browser made. From then on signing in takes it, or another second factor, besides the password. Other sessions of the account end.',
  scope: 'ownPassword',
  type: AddedType,
  input: (t) => ({
    name: t.string({ required: true, description: 'To tell it from others.' }).validate(name),
    response: t.field({ type: 'JSON', required: true }).validate(created),
  }),
  run: async (input, context) => {
    const own = await ownOf(context);
    const { tenantId, accountId } = own;
    const { passkeys, secondFactors } = context.credentials;
    const response = input.response as RegistrationResponseJSON;
    const id = await finishRegistration(context, { tenantId, accountId }, response);
    try {
      const done = await changeFactor(context, own, { type: 'AddPasskey', passkeyId: id, name: input.name });
      const first = !hasSecondFactor(own.account);
      const recoveryCodes = first ? await secondFactors.renewRecoveryCodes(own) : null;
      return { passkeyId: id, recoveryCodes, ...(await settle(context, done)) };
    } catch (error) {
      if (error instanceof RefusedError) await passkeys.remove(own, id);
      throw error;
    }
  },
});

const ChangedType = builder.objectRef<Effect>('PasskeyPayload').implement({ interfaces: [EffectInterface] });

mutation('renamePasskey', {
  description: 'Renames one of the own passkeys.',
  scope: 'ownPassword',
  type: ChangedType,
  input: (t) => ({
    passkeyId: t.id({ required: true }).validate(passkeyId),
    name: t.string({ required: true }).validate(name),
  }),
  run: async (input, context) => {
    const { accountId } = await ownOf(context);
    return settle(
      context,
      await act(context, accountDecider, accountId, { type: 'RenamePasskey', ...input }),
    );
  },
});

mutation('removePasskey', {
  description: 'Removes one of the own passkeys; other sessions of the account end.',
  scope: 'ownPassword',
  type: ChangedType,
  input: (t) => ({
    passkeyId: t.id({ required: true }).validate(passkeyId),
    currentPassword: t.string({ required: true }).validate(z.string().max(256)),
  }),
  run: async ({ passkeyId: id, currentPassword }, context) => {
    const own = await ownOf(context);
    if (!own.account.passkeys.some((known) => known.passkeyId === id))
      refuseIf(refuse('passkey-missing', { field: 'passkeyId' }));
    await requireOwnPassword(context, currentPassword);
    const done = await changeFactor(context, own, { type: 'RemovePasskey', passkeyId: id });
    const { passkeys, secondFactors } = context.credentials;
    await passkeys.remove(own, id);
    const state = done.state;
    if (state.status !== 'none' && !hasSecondFactor(state)) await secondFactors.remove(own);
    return settle(context, done);
  },
});

interface Caller {
  readonly tenantSlug?: string | null | undefined;
  readonly pendingToken?: string | null | undefined;
}

/** Exactly one of both says who asks. */
const callerOf = ({ tenantSlug, pendingToken }: Caller): PasskeyCaller => {
  if (typeof pendingToken === 'string' && typeof tenantSlug !== 'string') return { pendingToken };
  if (typeof tenantSlug === 'string' && typeof pendingToken !== 'string') return { tenantSlug };
  throw new MusterError('invalid-input', 'give tenantSlug, or the pendingToken of signIn', {
    field: 'tenantSlug',
  });
};

const ofTenant = 'To sign in with the passkey alone.';
const ofPending = 'Of signIn with step SECOND_FACTOR.';

mutation('beginPasskeySignIn', {
  description: 'Begins to sign in with a passkey, alone or after the password.',
  scope: 'public',
  type: OptionsType,
  input: (t) => ({
    tenantSlug: t.string({ description: ofTenant }).validate(typed.nullish()),
    pendingToken: t.string({ description: ofPending }).validate(z.string().max(200).nullish()),
    clientToken: t.string({ description: ofEarlier }).validate(clientToken),
  }),
  run: async (input, context) => {
    const held = input.clientToken ?? context.browser.clientToken;
    const options = await beginPasskeySignIn(context, callerOf(input), held);
    if (isRefusal(options)) throw new RefusedError(options);
    return { options };
  },
});

mutation('signInWithPasskey', {
  description: 'Opens a session with what the browser answered to beginPasskeySignIn.',
  scope: 'public',
  type: SignInType,
  input: (t) => ({
    tenantSlug: t.string({ description: ofTenant }).validate(typed.nullish()),
    pendingToken: t.string({ description: ofPending }).validate(z.string().max(200).nullish()),
    response: t.field({ type: 'JSON', required: true }).validate(signed),
    cookie: t.boolean({ required: true, defaultValue: false, description: keepsSession }),
    clientToken: t.string({ description: ofEarlier }).validate(clientToken),
  }),
  run: async (input, context) => {
    requireOwnPages(context, input.cookie);
    const held = input.clientToken ?? context.browser.clientToken;
    const response = input.response as AuthenticationResponseJSON;
    const proven = await provePasskey(context, callerOf(input), response, held);
    if (isRefusal(proven)) throw new RefusedError(proven);
    return enter(context, proven, input.cookie);
  },
});
