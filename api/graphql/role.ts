/**
 * Roles in GraphQL: the built-in ones, and the tenant's own from a list of permissions. Listed in schema.ts.
 */
import { z } from 'zod';
import { permission, permissions } from '../../domain/account/permissions.ts';
import { type RoleId, roleId } from '../../domain/ids.ts';
import { roleDecider } from '../../domain/role/decide.ts';
import { rolePermissions } from '../../domain/role/role.ts';
import { line, name } from '../../domain/text.ts';
import { newId } from '../../platform/new-id.ts';
import { countHolders } from '../../projections/accounts.ts';
import { findRole, listRoles } from '../../projections/roles.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, payloadOf, settle } from './effect.ts';
import { Permission } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireExisting } from './references.ts';
import { Role } from './refs.ts';
import { builtInViews, ownView, requireOwn } from './role-view.ts';

builder.node(Role, {
  description: 'What an account may do: exactly one role per account.',
  id: {
    description: 'The name of a built-in role, such as `helpdesk`, else an id.',
    resolve: ({ roleId: id }) => id,
  },
  fields: (t) => ({
    name: t.exposeString('name'),
    description: t.exposeString('description'),
    permissions: t.field({ type: [Permission], resolve: (role) => [...role.permissions] }),
    builtIn: t.exposeBoolean('builtIn', { description: 'True: it cannot be changed.' }),
    retired: t.boolean({ resolve: ({ status }) => status === 'retired' }),
  }),
});

builder.queryField('builtInRoles', (t) =>
  t.field({
    type: [Role],
    description: 'The roles that every tenant has.',
    authScopes: { permission: 'role.read' },
    resolve: (_root, _args, context) => builtInViews(context),
  }),
);

builder.queryField('roles', (t) =>
  t.field({
    type: connectionOf('Role', Role),
    description: 'The tenant’s own roles by name, retired ones too.',
    authScopes: { permission: 'role.read' },
    args: pageArgs,
    resolve: async (_root, args, context) => {
      const page = await listRoles(context.deps.sql, signedIn(context).tenantId, pageOf(args));
      return { ...page, rows: page.rows.map(ownView) };
    },
  }),
);

const PermissionType = builder
  .objectRef<{ readonly name: z.infer<typeof permission>; readonly allows: string }>('PermissionInfo')
  .implement({
    description: 'One thing that can be allowed.',
    fields: (t) => ({
      name: t.expose('name', { type: Permission }),
      allows: t.exposeString('allows', { description: 'What it allows, in one sentence.' }),
    }),
  });

builder.queryField('permissions', (t) =>
  t.field({
    type: [PermissionType],
    description: 'The permissions that the caller can put into a role.',
    authScopes: { permission: 'role.read' },
    resolve: (_root, _args, context) =>
      [...signedIn(context).permissions].sort().map((known) => ({ name: known, allows: permissions[known] })),
  }),
);

const findOwn = async (...args: Parameters<typeof findRole>) => {
  const row = await findRole(...args);
  return row && ownView(row);
};
const Payload = payloadOf<RoleId, NonNullable<Awaited<ReturnType<typeof findOwn>>>>(
  'Role',
  'role',
  Role,
  findOwn,
);
const description = line(500);
const few = z.array(permission).pipe(rolePermissions);

mutation('createRole', {
  description:
    'Creates a role. It can allow nothing that its creator may not do; what changes something allows to read it.',
  permission: 'role.manage',
  type: Payload,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    description: t.string({ required: true }).validate(description),
    permissions: t.field({ type: [Permission], required: true }).validate(few),
  }),
  run: async (input, context) => {
    requireOwn(context, input.permissions, 'permissions');
    const id = newId('rol');
    const done = await act(context, roleDecider, id, { type: 'CreateRole', ...input });
    return { id, ...(await settle(context, done)) };
  },
});

/** Refuses a role that is missing, or that allows more than the caller may do. */
const requireManageable = async (context: ApiContext, id: RoleId): Promise<void> => {
  const state = await requireExisting(context, roleDecider, id, 'role-missing', 'roleId');
  if (state.status !== 'none') requireOwn(context, state.permissions, 'roleId');
};

mutation('renameRole', {
  description: 'Renames and describes a role of the tenant’s own.',
  permission: 'role.manage',
  type: Payload,
  input: (t) => ({
    roleId: t.id({ required: true }).validate(roleId),
    name: t.string({ required: true }).validate(name),
    description: t.string({ required: true }).validate(description),
  }),
  run: async ({ roleId: id, ...input }, context) => {
    const done = await act(context, roleDecider, id, { type: 'RenameRole', ...input });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('changeRolePermissions', {
  description: 'Changes what a role of the tenant’s own allows; its accounts may do it within seconds.',
  permission: 'role.manage',
  type: Payload,
  input: (t) => ({
    roleId: t.id({ required: true }).validate(roleId),
    permissions: t.field({ type: [Permission], required: true }).validate(few),
  }),
  run: async ({ roleId: id, permissions: wanted }, context) => {
    await requireManageable(context, id);
    requireOwn(context, wanted, 'permissions');
    const done = await act(context, roleDecider, id, { type: 'ChangeRolePermissions', permissions: wanted });
    return { id, ...(await settle(context, done)) };
  },
});

mutation('retireRole', {
  description: 'Retires a role of the tenant’s own that no account has.',
  permission: 'role.manage',
  type: Payload,
  input: (t) => ({ roleId: t.id({ required: true }).validate(roleId) }),
  run: async ({ roleId: id }, context) => {
    const holders = await countHolders(context.deps.sql, signedIn(context).tenantId, id);
    const done = await act(context, roleDecider, id, { type: 'RetireRole', holders });
    return { id, ...(await settle(context, done)) };
  },
});
