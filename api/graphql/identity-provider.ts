/**
 * The tenant's identity provider in GraphQL: settings, a trial of them, and who is bound to whom there. Listed in
 * schema.ts; signing in by it is in api/sign-in/oidc/.
 */
import { z } from 'zod';
import { accountDecider } from '../../domain/account/decide.ts';
import { roles } from '../../domain/account/roles.ts';
import { identityProviderDecider } from '../../domain/identity-provider/decide.ts';
import { subject } from '../../domain/identity-provider/identity.ts';
import {
  type IdentityProviderSettings,
  type IdentityProviderState,
  identityProviderSettings,
} from '../../domain/identity-provider/identity-provider.ts';
import { type AccountId, accountId, userId } from '../../domain/ids.ts';
import { isRefusal, refuse } from '../../domain/refusals.ts';
import { operatorTenantId } from '../../domain/tenant/tenant.ts';
import { userDecider } from '../../domain/user/decide.ts';
import { MusterError } from '../../platform/errors.ts';
import { identityProviderSecretPurpose } from '../../platform/sealed-secrets.ts';
import { actorOf } from '../credentials.ts';
import { endSessions } from '../sign-in/end-sessions.ts';
import { tenantOf } from '../sign-in/enter.ts';
import { identityProviderState, providerFor } from '../sign-in/identity-provider.ts';
import { bindIdentity, identityOf, unbindIdentity } from '../sign-in/oidc/owner.ts';
import { openProvider, redirectUriOf } from '../sign-in/oidc/single-sign-on.ts';
import { requireAccount } from './account.ts';
import { builder, RefusedError } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, causeOf, type Effect, EffectInterface, settle, stateOf } from './effect.ts';
import { Portal } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireExisting } from './references.ts';
import { requireGrantable, requireOwn } from './role-view.ts';

type Configured = Extract<IdentityProviderState, { status: 'configured' }>;

const ProviderType = builder.objectRef<Configured>('IdentityProvider').implement({
  description: 'Where people of the tenant sign in (OpenID Connect). Its client secret is never shown.',
  fields: (t) => ({
    settings: t.field({ type: 'JSON', resolve: ({ settings }) => settings }),
    secretSet: t.boolean({
      description: 'Whether there is a client secret.',
      resolve: async (_state, _args, { credentials, ...context }) =>
        (await credentials.secrets.get(signedIn(context).tenantId, identityProviderSecretPurpose)) !== null,
    }),
    redirectUri: t.string({
      description: 'What the provider must allow as the address to come back to.',
      resolve: (_state, _args, context) => redirectUriOf(context),
    }),
  }),
});

builder.queryField('identityProvider', (t) =>
  t.field({
    type: ProviderType,
    nullable: true,
    description: 'The identity provider of the tenant; null when it has none.',
    authScopes: { permission: 'sign-in.manage' },
    resolve: async (_root, _args, context) => {
      const state = await identityProviderState(context.deps, signedIn(context).tenantId, { fresh: true });
      return state.status === 'configured' ? state : null;
    },
  }),
);

builder.queryField('singleSignOnUrl', (t) =>
  t.field({
    type: 'String',
    nullable: true,
    description:
      'Where a browser begins to sign in by the identity provider of a tenant; null when there is none, whether there is such a tenant or not.',
    authScopes: { public: true },
    args: {
      tenantSlug: t.arg.string({ required: true }).validate(z.string().max(254)),
      portal: t.arg({ type: Portal, required: true, defaultValue: 'admin' }),
    },
    resolve: async (_root, { tenantSlug, portal }, { deps, door }) => {
      const tenantId = await tenantOf(deps, tenantSlug);
      // Looked up for nobody as well, so that the answer takes as long.
      const settings = await providerFor(deps, tenantId ?? operatorTenantId, portal);
      if (!tenantId || !settings) return null;
      return `${door.publicUrl()}/sign-in/oidc/${tenantSlug.trim().toLowerCase()}?portal=${portal}`;
    },
  }),
);

interface Configuring extends Effect {
  readonly state: Configured | null;
}

const Payload = builder.objectRef<Configuring>('IdentityProviderPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({ identityProvider: t.expose('state', { type: ProviderType, nullable: true }) }),
});

const settingsOf = (given: unknown): IdentityProviderSettings => {
  const parsed = identityProviderSettings.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = ['settings', ...(issue?.path ?? [])].join('.');
  throw new MusterError('invalid-input', issue?.message ?? '', { field });
};

/** Whoever names the provider can sign in as everybody in the tenant: it takes all that an administrator may. */
const requireEverything = (context: ApiContext, field: string): void => {
  const { tenantId } = signedIn(context);
  const all = roles[tenantId === operatorTenantId ? 'operator' : 'administrator'].permissions;
  requireOwn(context, all, field);
};

/** Whether one of the accounts could help the others in, with its password, should the provider fail. */
const hasWayBack = async (context: ApiContext, ids: readonly AccountId[]): Promise<boolean> => {
  const { tenantId } = signedIn(context);
  const role = tenantId === operatorTenantId ? 'operator' : 'administrator';
  for (const id of ids) {
    const account = await stateOf(context, accountDecider, id);
    const helps = account.status === 'enabled' && account.role === role;
    if (helps && (await context.credentials.passwords.has({ tenantId, accountId: id }))) return true;
  }
  return false;
};

mutation('configureIdentityProvider', {
  description:
    'Sets the identity provider of the tenant. A client secret that is left out stays, but for another issuer or client; it is kept sealed and never shown.',
  permission: 'sign-in.manage',
  type: Payload,
  input: (t) => ({
    settings: t.field({
      type: 'JSON',
      required: true,
      description: 'See the documentation: Single sign-on.',
    }),
    clientSecret: t
      .string({ description: 'Without any, the client is a public one: PKCE alone protects it.' })
      .validate(z.string().min(1).max(500).nullish()),
  }),
  run: async (input, context) => {
    const { tenantId } = signedIn(context);
    const settings = settingsOf(input.settings);
    requireEverything(context, 'settings');
    if (settings.provisionRole !== null) await requireGrantable(context, settings.provisionRole);
    const before = await identityProviderState(context.deps, tenantId, { fresh: true });
    const wayBack = await hasWayBack(context, settings.passwordAccounts);
    const done = [
      await act(context, identityProviderDecider, tenantId, {
        type: 'ConfigureIdentityProvider',
        settings,
        wayBack,
      }),
    ];
    const { secrets } = context.credentials;
    const same =
      before.status === 'configured' &&
      before.settings.issuer === settings.issuer &&
      before.settings.clientId === settings.clientId;
    // A secret that was for elsewhere must not be sent there.
    if (!same) await secrets.remove(tenantId, identityProviderSecretPurpose);
    if (input.clientSecret) {
      await secrets.put(tenantId, identityProviderSecretPurpose, input.clientSecret);
      done.push(
        await act(context, identityProviderDecider, tenantId, { type: 'ChangeIdentityProviderSecret' }),
      );
    }
    return { state: { status: 'configured' as const, settings }, ...(await settle(context, ...done)) };
  },
});

mutation('removeIdentityProvider', {
  description:
    'Forgets the identity provider and its client secret: people sign in with passwords again. Who is bound to whom stays.',
  permission: 'sign-in.manage',
  type: Payload,
  run: async (_input, context) => {
    const { tenantId } = signedIn(context);
    const done = await act(context, identityProviderDecider, tenantId, { type: 'RemoveIdentityProvider' });
    await context.credentials.secrets.remove(tenantId, identityProviderSecretPurpose);
    return { state: null, ...(await settle(context, done)) };
  },
});

interface Trial {
  readonly usable: boolean;
  readonly problem: string | null;
  readonly warnings: readonly string[];
}

const TrialType = builder.objectRef<Trial>('TestIdentityProviderPayload').implement({
  description: 'What became of reading the metadata of the provider. Nobody is signed in for it.',
  fields: (t) => ({
    usable: t.exposeBoolean('usable'),
    problem: t.exposeString('problem', { nullable: true, description: 'What is wrong; null when usable.' }),
    warnings: t.stringList({ resolve: ({ warnings }) => [...warnings] }),
    redirectUri: t.string({
      description: 'What the provider must allow as the address to come back to.',
      resolve: (_trial, _args, context) => redirectUriOf(context),
    }),
  }),
});

const requireProvider = async (context: ApiContext): Promise<IdentityProviderSettings> => {
  const state = await identityProviderState(context.deps, signedIn(context).tenantId, { fresh: true });
  if (state.status === 'none') throw new RefusedError(refuse('identity-provider-missing'));
  return state.settings;
};

mutation('testIdentityProvider', {
  description: 'Asks the identity provider as it is set for its metadata, and says what is wrong.',
  permission: 'sign-in.manage',
  type: TrialType,
  run: async (_input, context) => {
    const settings = await requireProvider(context);
    const { tenantId } = signedIn(context);
    try {
      const { warnings } = await openProvider(context, tenantId, settings, { anew: true });
      return { usable: true, problem: null, warnings };
    } catch (error) {
      if (!(error instanceof MusterError)) throw error;
      return { usable: false, problem: error.message, warnings: [] };
    }
  },
});

const BoundPayload = builder.objectRef<Effect>('IdentityPayload').implement({
  interfaces: [EffectInterface],
});

/** Waits for what was done, unless it was refused. */
const settleUnlessRefused = async (
  context: ApiContext,
  done: Awaited<ReturnType<typeof bindIdentity>>,
): Promise<Effect> => {
  if (isRefusal(done)) throw new RefusedError(done);
  return settle(context, done);
};

mutation('bindAccountIdentity', {
  description:
    'Says who the owner of an account is at the identity provider, by its subject there. The next sign-in counts by it alone.',
  permission: 'account.manage',
  type: BoundPayload,
  input: (t) => ({
    accountId: t.id({ required: true }).validate(accountId),
    subject: t
      .string({ required: true, description: 'The `sub` that the provider gives.' })
      .validate(subject),
  }),
  run: async ({ accountId: id, subject: sub }, context) => {
    const { tenantId } = signedIn(context);
    await requireAccount(context, id);
    const identity = identityOf(await requireProvider(context), { subject: sub });
    const target = { tenantId, id, identity };
    return settleUnlessRefused(
      context,
      await bindIdentity(context.deps.handler, 'admin', target, causeOf(context)),
    );
  },
});

mutation('unbindAccountIdentity', {
  description: 'Frees an account from whom it is bound to at the identity provider; its sessions end.',
  permission: 'account.manage',
  type: BoundPayload,
  input: (t) => ({ accountId: t.id({ required: true }).validate(accountId) }),
  run: async ({ accountId: id }, context) => {
    const credential = signedIn(context);
    const { tenantId } = credential;
    await requireAccount(context, id);
    const done = await unbindIdentity(context.deps.handler, 'admin', { tenantId, id }, causeOf(context));
    await endSessions(context, { tenantId, accountId: id }, { reason: 'revoked', by: actorOf(credential) });
    return settleUnlessRefused(context, done);
  },
});

mutation('bindUserIdentity', {
  description: 'Says who a user is at the identity provider, by its subject there.',
  permission: 'user.manage',
  type: BoundPayload,
  input: (t) => ({
    userId: t.id({ required: true }).validate(userId),
    subject: t
      .string({ required: true, description: 'The `sub` that the provider gives.' })
      .validate(subject),
  }),
  run: async ({ userId: id, subject: sub }, context) => {
    const { tenantId } = signedIn(context);
    await requireExisting(context, userDecider, id, 'user-missing', 'userId');
    const identity = identityOf(await requireProvider(context), { subject: sub });
    const target = { tenantId, id, identity };
    return settleUnlessRefused(
      context,
      await bindIdentity(context.deps.handler, 'self-service', target, causeOf(context)),
    );
  },
});

mutation('unbindUserIdentity', {
  description: 'Frees a user from whom it is bound to at the identity provider; its sessions end.',
  permission: 'user.manage',
  type: BoundPayload,
  input: (t) => ({ userId: t.id({ required: true }).validate(userId) }),
  run: async ({ userId: id }, context) => {
    const { tenantId } = signedIn(context);
    await requireExisting(context, userDecider, id, 'user-missing', 'userId');
    const target = { tenantId, id };
    const done = await unbindIdentity(context.deps.handler, 'self-service', target, causeOf(context));
    await context.credentials.portalSessions.endAll(tenantId, id);
    return settleUnlessRefused(context, done);
  },
});
