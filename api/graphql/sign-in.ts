/**
 * How accounts of the tenant sign in, in GraphQL: password and session policies, addresses, challenge.
 * Listed in schema.ts.
 */
import { z } from 'zod';
import { signInDecider } from '../../domain/sign-in/decide.ts';
import {
  addressRanges,
  type PasswordPolicy,
  type Portal as PortalName,
  passwordPolicy,
  portal,
  type SessionPolicy,
  type SignInState,
  sessionPolicy,
  signInChallenge,
} from '../../domain/sign-in/sign-in.ts';
import { isAllowed } from '../address.ts';
import { sessionPolicyOf } from '../identify/account.ts';
import { signInSettings } from '../sign-in/door.ts';
import { builder } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, type Effect, EffectInterface, settle } from './effect.ts';
import { ChallengeProvider, Portal } from './enums.ts';
import { mutation } from './mutation.ts';

const PasswordPolicyType = builder.objectRef<PasswordPolicy>('PasswordPolicy').implement({
  description: 'What a new password must be like.',
  fields: (t) => ({
    minimumLength: t.exposeInt('minimumLength'),
    classes: t.exposeInt('classes', {
      description: 'How many of lower case, upper case, digits and other characters must occur.',
    }),
    refuseCommon: t.exposeBoolean('refuseCommon'),
    refuseBreached: t.exposeBoolean('refuseBreached'),
    history: t.exposeInt('history', { description: 'How many earlier passwords must not come back.' }),
    expiryDays: t.exposeInt('expiryDays', { nullable: true, description: 'Null: it never expires.' }),
  }),
});

interface PortalRow extends SessionPolicy {
  readonly portal: PortalName;
  readonly ranges: readonly string[];
}

const PortalSettingsType = builder.objectRef<PortalRow>('PortalSettings').implement({
  description: 'How one portal is entered.',
  fields: (t) => ({
    portal: t.expose('portal', { type: Portal }),
    idleMinutes: t.exposeInt('idleMinutes', {
      description: 'A session that is not used for this long ends.',
    }),
    absoluteHours: t.exposeInt('absoluteHours', { description: 'A session ends after this, however busy.' }),
    ranges: t.stringList({
      description: 'Addresses and CIDR ranges that may use it; none: every address.',
      resolve: ({ ranges }) => [...ranges],
    }),
  }),
});

const ChallengeSettingsType = builder
  .objectRef<SignInState['challenge']>('SignInChallengeSettings')
  .implement({
    fields: (t) => ({
      provider: t.expose('provider', { type: ChallengeProvider }),
      afterFailures: t.exposeInt('afterFailures'),
      siteKey: t.exposeString('siteKey', { nullable: true }),
    }),
  });

const SettingsType = builder.objectRef<SignInState>('SignInSettings').implement({
  description: 'How accounts of the tenant sign in.',
  fields: (t) => ({
    passwordPolicy: t.field({ type: PasswordPolicyType, resolve: (state) => state.passwordPolicy }),
    portals: t.field({
      type: [PortalSettingsType],
      resolve: (state, _args, { credentials }) =>
        portal.options.map((name) => ({
          portal: name,
          ...sessionPolicyOf(credentials, state, name),
          ranges: state.addresses[name],
        })),
    }),
    challenge: t.field({ type: ChallengeSettingsType, resolve: (state) => state.challenge }),
    secondFactorRequired: t.exposeBoolean('secondFactorRequired', {
      description: 'Whether accounts without a second factor can do nothing but set one up.',
    }),
  }),
});

builder.queryField('signInSettings', (t) =>
  t.field({
    type: SettingsType,
    description: 'How accounts of the tenant sign in.',
    authScopes: { signedIn: true },
    resolve: (_root, _args, context) =>
      signInSettings(context.deps, signedIn(context).tenantId, { fresh: true }),
  }),
);

const Payload = builder.objectRef<Effect>('SignInSettingsPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    signInSettings: t.field({
      type: SettingsType,
      resolve: (_effect, _args, context) =>
        signInSettings(context.deps, signedIn(context).tenantId, { fresh: true }),
    }),
  }),
});

const change = async (
  context: ApiContext,
  command: Parameters<typeof signInDecider.decide>[0],
): Promise<Effect> => settle(context, await act(context, signInDecider, signedIn(context).tenantId, command));

const policy = passwordPolicy.shape;
const session = sessionPolicy.shape;
const challenge = signInChallenge.shape;

mutation('setPasswordPolicy', {
  description: 'Says what new passwords must be like. Present ones stay, but for those that expire.',
  permission: 'sign-in.manage',
  type: Payload,
  input: (t) => ({
    minimumLength: t.int({ required: true, defaultValue: 12 }).validate(policy.minimumLength),
    classes: t.int({ required: true, defaultValue: 0 }).validate(policy.classes),
    refuseCommon: t.boolean({ required: true, defaultValue: true }),
    refuseBreached: t.boolean({ required: true, defaultValue: false }),
    history: t.int({ required: true, defaultValue: 0 }).validate(policy.history),
    expiryDays: t
      .int({ description: 'Without it they never expire.' })
      .validate(policy.expiryDays.optional()),
  }),
  run: ({ expiryDays, ...rest }, context) =>
    change(context, {
      type: 'SetPasswordPolicy',
      policy: { ...rest, expiryDays: expiryDays ?? null },
      breachedListThere: context.door.lists.breached !== undefined,
    }),
});

mutation('setSessionPolicy', {
  description: 'Says how long sessions of a portal last; open ones are concerned too.',
  permission: 'sign-in.manage',
  type: Payload,
  input: (t) => ({
    portal: t.field({ type: Portal, required: true }),
    idleMinutes: t.int({ required: true }).validate(session.idleMinutes),
    absoluteHours: t.int({ required: true }).validate(session.absoluteHours),
  }),
  run: ({ portal, ...policy }, context) => change(context, { type: 'SetSessionPolicy', portal, policy }),
});

mutation('restrictSignInAddresses', {
  description:
    'Says from where a portal can be used, at once and for open sessions too. The server itself always can.',
  permission: 'sign-in.manage',
  type: Payload,
  input: (t) => ({
    portal: t.field({ type: Portal, required: true }),
    ranges: t
      .stringList({ required: true, description: 'Addresses and CIDR ranges; none: everywhere.' })
      .validate(addressRanges),
    force: t.boolean({
      required: true,
      defaultValue: false,
      description: 'True: even when the own address is not among them.',
    }),
  }),
  run: ({ portal, ranges, force }, context) =>
    change(context, {
      type: 'RestrictSignInAddresses',
      portal,
      ranges,
      excludesCaller: portal === 'admin' && !isAllowed(context.address, ranges),
      force,
    }),
});

mutation('chooseSignInChallenge', {
  description: 'Says who asks, and after how many failed attempts, whether a person signs in.',
  permission: 'sign-in.manage',
  type: Payload,
  input: (t) => ({
    provider: t.field({ type: ChallengeProvider, required: true }),
    afterFailures: t.int({ required: true, defaultValue: 3 }).validate(challenge.afterFailures),
    siteKey: t.string().validate(challenge.siteKey.optional()),
    secret: t
      .string({
        description: 'The secret key of the provider; kept sealed. Without it the present one stays.',
      })
      .validate(z.string().min(1).max(500).nullish()),
  }),
  run: async ({ provider, afterFailures, siteKey, secret }, context) => {
    const { tenantId } = signedIn(context);
    const { secrets } = context.credentials;
    if (provider !== 'none' && secret) await secrets.put(tenantId, provider, secret);
    return change(context, {
      type: 'ChooseSignInChallenge',
      challenge: { provider, afterFailures, siteKey: siteKey ?? null },
      secretThere: provider !== 'none' && (await secrets.get(tenantId, provider)) !== null,
    });
  },
});

mutation('requireSecondFactor', {
  description:
    'Says whether accounts need a second factor. Those without one can then do nothing but set it up, at once.',
  permission: 'sign-in.manage',
  type: Payload,
  input: (t) => ({ required: t.boolean({ required: true }) }),
  run: ({ required }, context) => change(context, { type: 'RequireSecondFactor', required }),
});
