/**
 * Accounts of the tenant in GraphQL. Listed in schema.ts; signing in is in session.ts.
 */
import { type AnyRole, anyRole, secondFactorKinds } from '../../domain/account/account.ts';
import { accountDecider } from '../../domain/account/decide.ts';
import { isWayBack } from '../../domain/identity-provider/identity-provider.ts';
import { type AccountId, accountId } from '../../domain/ids.ts';
import { refuse } from '../../domain/refusals.ts';
import { email, name } from '../../domain/text.ts';
import { MusterError } from '../../platform/errors.ts';
import { newId } from '../../platform/new-id.ts';
import { type AccountRow, findAccount, listAccounts } from '../../projections/accounts.ts';
import { actorOf } from '../credentials.ts';
import { roleInForce } from '../identify/role.ts';
import { whileLastIsKnown } from '../last-administrator.ts';
import { reserve } from '../reservation.ts';
import { endSessions } from '../sign-in/end-sessions.ts';
import { identityProviderState } from '../sign-in/identity-provider.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, type Changed, causeOf, EffectInterface, payloadOf, refuseIf, settle } from './effect.ts';
import { AccountStatus, SecondFactorKind } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireExisting } from './references.ts';
import { Account, Role } from './refs.ts';
import { findRoleView, requireGrantable, requireOwn } from './role-view.ts';

builder.node(Account, {
  description: 'A person who administers the tenant.',
  id: { resolve: (account) => account.accountId },
  fields: (t) => ({
    email: t.exposeString('email'),
    name: t.exposeString('name'),
    role: t.field({
      type: Role,
      nullable: true,
      description: 'Null while a role just created cannot be read yet.',
      resolve: ({ role }, _args, context) => findRoleView(context, role),
    }),
    status: t.expose('status', { type: AccountStatus }),
    mustChangePassword: t.exposeBoolean('mustChangePassword'),
    secondFactors: t.field({
      type: [SecondFactorKind],
      description: 'What the account can show besides its password; none: the password is enough.',
      resolve: secondFactorKinds,
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
  }),
});

builder.queryField('accounts', (t) =>
  t.field({
    type: connectionOf('Account', Account),
    description: 'Accounts by name.',
    authScopes: { permission: 'account.read' },
    args: pageArgs,
    resolve: (_root, args, context) =>
      listAccounts(context.deps.sql, signedIn(context).tenantId, pageOf(args)),
  }),
);

interface Issued extends Changed<AccountId> {
  readonly oneTimePassword: string;
}

const IssuedPayload = builder.objectRef<Issued>('AccountPasswordPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    oneTimePassword: t.exposeString('oneTimePassword', {
      description: 'Shown this once; it must be changed at the first sign-in.',
    }),
    account: t.field({
      type: Account,
      nullable: true,
      resolve: async ({ id }, _args, context) =>
        (await findAccount(context.deps.sql, signedIn(context).tenantId, id)) ?? null,
    }),
  }),
});

/** What a new account needs. */
interface NewAccount {
  readonly email: string;
  readonly name: string;
  readonly role: AnyRole;
}

/** Creates an account in the own tenant, without any password; refuses `name-taken`, and a role beyond the own. */
export const newAccount = async (context: ApiContext, { email, name, role }: NewAccount) => {
  const { tenantId } = signedIn(context);
  await requireGrantable(context, role);
  const id = newId('acc');
  const unique = { kind: 'account-email', value: email, tenantId } as const;
  refuseIf(await reserve(context.deps.handler, unique, id, causeOf(context)));
  const command = { type: 'CreateAccount', email, name, role } as const;
  return { id, created: await act(context, accountDecider, id, command) };
};

mutation('createAccount', {
  description:
    'Creates an account in the own tenant, with a one-time password. Nobody gives a role that allows more than the own.',
  permission: 'account.manage',
  type: IssuedPayload,
  input: (t) => ({
    email: t.string({ required: true }).validate(email),
    name: t.string({ required: true }).validate(name),
    role: t
      .id({
        required: true,
        description: 'A built-in role by its name, such as `helpdesk`, or one of the tenant’s own by its id.',
      })
      .validate(anyRole),
  }),
  run: async (input, context) => {
    const { id, created } = await newAccount(context, input);
    return issue(context, id, created);
  },
});

/** Refuses an account that is missing, or that may do more than the caller: nobody rises by taking it over. */
export const requireAccount = async (context: ApiContext, id: AccountId) => {
  const state = await requireExisting(context, accountDecider, id, 'account-missing', 'accountId');
  if (state.status !== 'none') {
    const { permissions } = await roleInForce(context.deps, signedIn(context).tenantId, state.role);
    requireOwn(context, permissions, 'accountId');
  }
  return state;
};

/** Refuses to take away an account that is there for when the identity provider fails. */
const requireNoWayBack = async (context: ApiContext, id: AccountId): Promise<void> => {
  const state = await identityProviderState(context.deps, signedIn(context).tenantId, { fresh: true });
  if (isWayBack(state, id)) refuseIf(refuse('password-account-needed', { field: 'accountId' }));
};

/** Issues a one-time password to an account that exists, and ends its sessions. */
const issue = async (
  context: ApiContext,
  id: AccountId,
  ...done: readonly { readonly position: bigint | undefined }[]
): Promise<Issued> => {
  const { tenantId } = signedIn(context);
  const oneTimePassword = await context.credentials.passwords.issue({ tenantId, accountId: id });
  await context.credentials.links.endAll(tenantId, id);
  await endSessions(
    context,
    { tenantId, accountId: id },
    { reason: 'password-changed', by: actorOf(signedIn(context)) },
  );
  const changed = await act(context, accountDecider, id, {
    type: 'ChangeAccountPassword',
    mustChange: true,
  });
  return { id, oneTimePassword, ...(await settle(context, ...done, changed)) };
};

mutation('resetAccountPassword', {
  description: 'Gives an account of the own tenant a new one-time password; its sessions end.',
  permission: 'account.manage',
  type: IssuedPayload,
  input: (t) => ({ accountId: t.id({ required: true }).validate(accountId) }),
  run: async (input, context) => {
    const { status } = await requireAccount(context, input.accountId);
    if (status === 'disabled') refuseIf(refuse('account-disabled', { field: 'accountId' }));
    return issue(context, input.accountId);
  },
});

const Payload = payloadOf<AccountId, AccountRow>('Account', 'account', Account, findAccount);

mutation('disableAccount', {
  description: 'Keeps an account of the own tenant from signing in; its sessions end.',
  permission: 'account.manage',
  type: Payload,
  input: (t) => ({ accountId: t.id({ required: true }).validate(accountId) }),
  run: async (input, context) => {
    const credential = signedIn(context);
    const { tenantId } = credential;
    const id = input.accountId;
    await requireAccount(context, id);
    await requireNoWayBack(context, id);
    const done = await whileLastIsKnown(context.deps, tenantId, id, async (last) => {
      if (credential.kind === 'account' && id === credential.accountId && !last)
        throw new MusterError('invalid-input', 'an account cannot disable itself', { field: 'accountId' });
      return act(context, accountDecider, id, { type: 'DisableAccount', last });
    });
    await endSessions(
      context,
      { tenantId, accountId: id },
      { reason: 'account-disabled', by: actorOf(credential) },
    );
    await context.credentials.links.endAll(tenantId, id);
    return { id, ...(await settle(context, done)) };
  },
});

mutation('enableAccount', {
  description: 'Lets a disabled account sign in again.',
  permission: 'account.manage',
  type: Payload,
  input: (t) => ({ accountId: t.id({ required: true }).validate(accountId) }),
  run: async (input, context) => {
    const id = input.accountId;
    await requireAccount(context, id);
    const done = await act(context, accountDecider, id, { type: 'EnableAccount' });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('changeAccountRole', {
  description: 'Gives an account of the own tenant another role; its sessions end.',
  permission: 'role.manage',
  type: Payload,
  input: (t) => ({
    accountId: t.id({ required: true }).validate(accountId),
    role: t
      .id({
        required: true,
        description: 'A built-in role by its name, or one of the tenant’s own by its id.',
      })
      .validate(anyRole),
  }),
  run: async (input, context) => {
    const credential = signedIn(context);
    const { tenantId } = credential;
    const id = input.accountId;
    if (credential.kind === 'account' && id === credential.accountId)
      throw new MusterError('invalid-input', 'an account cannot change its own role', { field: 'accountId' });
    await requireAccount(context, id);
    await requireGrantable(context, input.role);
    await requireNoWayBack(context, id);
    const done = await whileLastIsKnown(context.deps, tenantId, id, (last) => {
      if (last) refuseIf(refuse('last-administrator', { field: 'accountId' }));
      return act(context, accountDecider, id, { type: 'ChangeAccountRole', role: input.role });
    });
    await endSessions(
      context,
      { tenantId, accountId: id },
      { reason: 'role-changed', by: actorOf(credential) },
    );
    return { id, ...(await settle(context, done)) };
  },
});
