/**
 * Accounts of the tenant in GraphQL. Listed in schema.ts; signing in is in session.ts.
 */
import { accountDecider } from '../../domain/account/decide.ts';
import { permissionsOf, type Role as RoleName } from '../../domain/account/roles.ts';
import { type AccountId, accountId } from '../../domain/ids.ts';
import { refuse } from '../../domain/refusals.ts';
import { email, name } from '../../domain/text.ts';
import { MusterError } from '../../platform/errors.ts';
import { newId } from '../../platform/new-id.ts';
import { type AccountRow, findAccount, listAccounts } from '../../projections/accounts.ts';
import { reserve } from '../reservation.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, type Changed, causeOf, EffectInterface, payloadOf, refuseIf, settle } from './effect.ts';
import { AccountStatus, Role } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireExisting } from './references.ts';
import { Account } from './refs.ts';

builder.node(Account, {
  description: 'A person who administers the tenant.',
  id: { resolve: (account) => account.accountId },
  fields: (t) => ({
    email: t.exposeString('email'),
    name: t.exposeString('name'),
    role: t.expose('role', { type: Role }),
    status: t.expose('status', { type: AccountStatus }),
    mustChangePassword: t.exposeBoolean('mustChangePassword'),
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

/** A role that the caller may give: one that allows nothing that the caller may not do. */
const grantableRole = (context: ApiContext, role: RoleName): RoleName => {
  const { permissions } = signedIn(context);
  const missing = [...permissionsOf(role)].find((permission) => !permissions.has(permission));
  if (missing)
    throw new MusterError('forbidden', `it allows ${missing}, which you may not do`, { field: 'role' });
  return role;
};

mutation('createAccount', {
  description:
    'Creates an account in the own tenant, with a one-time password. Nobody gives a role that allows more than the own.',
  permission: 'account.manage',
  type: IssuedPayload,
  input: (t) => ({
    email: t.string({ required: true }).validate(email),
    name: t.string({ required: true }).validate(name),
    role: t.field({ type: Role, description: 'Without one, the role of the caller.' }),
  }),
  run: async (input, context) => {
    const { tenantId } = signedIn(context);
    const role = grantableRole(context, input.role ?? signedIn(context).role);
    const id = newId('acc');
    const unique = { kind: 'account-email', value: input.email, tenantId } as const;
    refuseIf(await reserve(context.deps.handler, unique, id, causeOf(context)));
    const created = await act(context, accountDecider, id, {
      type: 'CreateAccount',
      email: input.email,
      name: input.name,
      role,
    });
    return issue(context, id, created);
  },
});

const requireAccount = (context: ApiContext, id: AccountId) =>
  requireExisting(context, accountDecider, id, 'account-missing', 'accountId');

/** Issues a one-time password to an account that exists, and ends its sessions. */
const issue = async (
  context: ApiContext,
  id: AccountId,
  ...done: readonly { readonly position: bigint | undefined }[]
): Promise<Issued> => {
  const { tenantId } = signedIn(context);
  const oneTimePassword = await context.credentials.passwords.issue({ tenantId, accountId: id });
  await context.credentials.sessions.endAll(tenantId, id);
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
    const { tenantId, accountId: own } = signedIn(context);
    const id = input.accountId;
    // Whoever is signed in stays able to undo what was done: a tenant never loses its last account this way.
    if (id === own)
      throw new MusterError('invalid-input', 'an account cannot disable itself', { field: 'accountId' });
    await requireAccount(context, id);
    const done = await act(context, accountDecider, id, { type: 'DisableAccount' });
    await context.credentials.sessions.endAll(tenantId, id);
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
