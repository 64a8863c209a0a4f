/**
 * Signing in and out, and the signed-in account itself, in GraphQL. Listed in schema.ts.
 */
import { z } from 'zod';
import type { AccountState } from '../../domain/account/account.ts';
import { accountDecider } from '../../domain/account/decide.ts';
import { refuse } from '../../domain/refusals.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { operatorTenantId, slug, type TenantState } from '../../domain/tenant/tenant.ts';
import { email } from '../../domain/text.ts';
import { MusterError } from '../../platform/errors.ts';
import { chosenPassword } from '../../platform/passwords.ts';
import { findAccount } from '../reservation.ts';
import { leaveTenant } from '../support.ts';
import { builder } from './builder.ts';
import { type ApiContext, signedInAccount } from './context.ts';
import { act, type Effect, EffectInterface, refuseIf, settle, stateOf } from './effect.ts';
import { Permission } from './enums.ts';
import { mutation } from './mutation.ts';
import { Role } from './refs.ts';
import { findRoleView } from './role-view.ts';

interface Viewer {
  readonly account: Exclude<AccountState, { status: 'none' }>;
  readonly tenant: Exclude<TenantState, { status: 'none' }>;
}

const ViewerType = builder.objectRef<Viewer>('Viewer').implement({
  description: 'The signed-in account.',
  fields: (t) => ({
    accountId: t.id({ resolve: (_viewer, _args, context) => signedInAccount(context).accountId }),
    email: t.string({ resolve: ({ account }) => account.email }),
    name: t.string({ resolve: ({ account }) => account.name }),
    role: t.field({
      type: Role,
      nullable: true,
      description: 'Of support, the own one; `permissions` say what its access allows.',
      resolve: ({ account }, _args, context) => findRoleView(context, account.role),
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

interface SignedIn {
  readonly token: string;
  readonly expiresAt: string;
  readonly mustChangePassword: boolean;
}

const SignedInType = builder.objectRef<SignedIn>('SignInPayload').implement({
  fields: (t) => ({
    token: t.exposeString('token', { description: 'Send it as `Authorization: Bearer <token>`.' }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      description: 'When the session ends at the latest; it ends earlier when it is not used.',
    }),
    mustChangePassword: t.exposeBoolean('mustChangePassword', {
      description: 'True: call changePassword before anything else.',
    }),
  }),
});

/** Anything that a person may type; what is no valid address or name simply names nobody. */
const typed = z.string().max(254);

interface Entry {
  readonly tenantSlug: string;
  readonly email: string;
  readonly password: string;
}

/** Whose entry it is. What cannot be anybody's is not looked up. */
const accountOf = async (context: ApiContext, entry: Entry) => {
  const tenantSlug = slug.safeParse(entry.tenantSlug.trim().toLowerCase());
  const address = email.safeParse(entry.email.trim());
  if (!tenantSlug.success || !address.success) return null;
  const found = await findAccount(context.deps.handler, tenantSlug.data, address.data);
  return found?.accountId ? { tenantId: found.tenantId, accountId: found.accountId } : null;
};

const signIn = async (entry: Entry, context: ApiContext): Promise<SignedIn> => {
  const { attempts, passwords, sessions } = context.credentials;
  const subject = `${entry.tenantSlug.trim().toLowerCase()}/${entry.email.trim().toLowerCase()}`;
  const pauseSeconds = await attempts.begin(subject, context.address);
  if (pauseSeconds > 0)
    throw new MusterError('too-many-attempts', `the next attempt is possible in ${pauseSeconds} seconds`);
  const owner = await accountOf(context, entry);
  const { valid, mustChange } = await passwords.check(owner, entry.password);
  if (!owner || !valid) throw new MusterError('unauthenticated', 'tenant, e-mail or password is wrong');
  const { tenantId, accountId } = owner;
  const [tenant, account] = await Promise.all([
    context.deps.handler.load(tenantDecider, { tenantId, id: tenantId }),
    context.deps.handler.load(accountDecider, { tenantId, id: accountId }),
  ]);
  await attempts.succeed(subject, context.address);
  if (tenant.state.status === 'none' || account.state.status === 'none')
    throw new MusterError('unauthenticated', 'tenant, e-mail or password is wrong');
  if (tenant.state.status === 'suspended') refuseIf(refuse('tenant-suspended'));
  if (tenant.state.status === 'deleted') refuseIf(refuse('tenant-deleted'));
  if (account.state.status === 'disabled') refuseIf(refuse('account-disabled'));
  const session = await sessions.open(tenantId, accountId);
  await passwords.recordSignIn(owner);
  return { ...session, mustChangePassword: mustChange };
};

mutation('signIn', {
  description: 'Opens a session.',
  scope: 'public',
  type: SignedInType,
  input: (t) => ({
    tenantSlug: t.string({ required: true }).validate(typed),
    email: t.string({ required: true }).validate(typed),
    password: t.string({ required: true }).validate(z.string().max(256)),
  }),
  run: (input, context) => signIn(input, context),
});

const SignOutPayload = builder.objectRef<{ readonly signedOut: boolean }>('SignOutPayload').implement({
  fields: (t) => ({ signedOut: t.exposeBoolean('signedOut') }),
});

mutation('signOut', {
  description: 'Ends this session, or every session of the account.',
  scope: 'signedIn',
  type: SignOutPayload,
  input: (t) => ({ everywhere: t.boolean({ required: true, defaultValue: false }) }),
  run: async (input, context) => {
    const { tenantId, accountId, token, support } = signedInAccount(context);
    if (support) await leaveTenant(context, signedInAccount(context), context.requestId);
    else if (input.everywhere) await context.credentials.sessions.endAll(tenantId, accountId);
    else await context.credentials.sessions.end(token);
    return { signedOut: true };
  },
});

const ChangedType = builder.objectRef<Effect>('ChangePasswordPayload').implement({
  interfaces: [EffectInterface],
});

mutation('changePassword', {
  description: 'Changes the password of the signed-in account; its other sessions end.',
  scope: 'signedIn',
  type: ChangedType,
  input: (t) => ({
    currentPassword: t.string({ required: true }).validate(z.string().max(256)),
    newPassword: t
      .string({ required: true, description: 'At least 12 characters.' })
      .validate(chosenPassword),
  }),
  run: async (input, context) => {
    const { tenantId, accountId, token, support } = signedInAccount(context);
    if (support) throw new MusterError('forbidden', 'support has no password here');
    const { attempts, passwords, sessions } = context.credentials;
    const pauseSeconds = await attempts.begin(accountId, context.address);
    if (pauseSeconds > 0)
      throw new MusterError('too-many-attempts', `the next attempt is possible in ${pauseSeconds} seconds`);
    const owner = { tenantId, accountId };
    if (!(await passwords.check(owner, input.currentPassword)).valid)
      throw new MusterError('unauthenticated', 'the current password is wrong', { field: 'currentPassword' });
    await attempts.succeed(accountId, context.address);
    if (input.newPassword.normalize('NFKC') === input.currentPassword.normalize('NFKC'))
      throw new MusterError('invalid-input', 'is the current password', { field: 'newPassword' });
    await passwords.choose(owner, input.newPassword);
    await sessions.endAll(tenantId, accountId, token);
    const done = await act(context, accountDecider, accountId, {
      type: 'ChangeAccountPassword',
      mustChange: false,
    });
    return settle(context, done);
  },
});
