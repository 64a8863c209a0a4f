/**
 * Tenants in GraphQL: the own one, and for operators every tenant as such, never what is in it. Listed in schema.ts.
 */
import { type TenantId, tenantId } from '../../domain/ids.ts';
import { isRefusal, refuse } from '../../domain/refusals.ts';
import { tenantDecider } from '../../domain/tenant/decide.ts';
import { slug } from '../../domain/tenant/tenant.ts';
import { email, line, name } from '../../domain/text.ts';
import { MusterError } from '../../platform/errors.ts';
import { findAnyTenant, findTenant, listTenants } from '../../projections/tenants.ts';
import { type Provisioned, provisionAdministrator, provisionTenant } from '../provision.ts';
import { operatorTenantId } from '../reservation.ts';
import { builder, RefusedError } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, type Changed, causeOf, EffectInterface, type refuseIf, settle } from './effect.ts';
import { mutation } from './mutation.ts';
import { Tenant } from './refs.ts';
import { TenantPayload } from './tenant-type.ts';

builder.queryField('tenant', (t) =>
  t.field({
    type: Tenant,
    description: 'The own tenant.',
    authScopes: { permission: 'tenant.read' },
    resolve: async (_root, _args, context) => {
      const found = await findTenant(context.deps.sql, signedIn(context).tenantId);
      if (!found) throw new MusterError('too-busy', 'the tenant cannot be read yet');
      return found;
    },
  }),
);

builder.queryField('tenants', (t) =>
  t.field({
    type: connectionOf('Tenant', Tenant),
    description: 'Every tenant of the installation by name.',
    authScopes: { permission: 'operator.tenants' },
    args: pageArgs,
    resolve: (_root, args, context) => listTenants(context.deps.sql, pageOf(args)),
  }),
);

interface ProvisionedPayload extends Changed<TenantId> {
  readonly administratorId: string;
  readonly oneTimePassword: string;
}

const ProvisionedType = builder.objectRef<ProvisionedPayload>('TenantAdministratorPayload').implement({
  interfaces: [EffectInterface],
  fields: (t) => ({
    tenant: t.field({
      type: Tenant,
      nullable: true,
      resolve: async ({ id }, _args, context) => (await findAnyTenant(context.deps.sql, id)) ?? null,
    }),
    administratorId: t.exposeID('administratorId'),
    oneTimePassword: t.exposeString('oneTimePassword', {
      description: 'Of the administrator. Shown this once; it must be changed at the first sign-in.',
    }),
  }),
});

const provisionedOf = async (
  context: ApiContext,
  provisioned: Provisioned | Parameters<typeof refuseIf>[0],
): Promise<ProvisionedPayload> => {
  if (provisioned === undefined || isRefusal(provisioned))
    throw new RefusedError(provisioned ?? refuse('tenant-missing'));
  const { tenantId: id, accountId, oneTimePassword } = provisioned;
  return { id, administratorId: accountId, oneTimePassword, ...(await settle(context, provisioned)) };
};

const partsOf = (context: ApiContext) => ({
  deps: context.deps,
  credentials: context.credentials,
  cause: causeOf(context),
});

mutation('createTenant', {
  description: 'Creates a tenant with its first administrator and a default compliance policy.',
  permission: 'operator.tenants',
  type: ProvisionedType,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    slug: t
      .string({ required: true, description: 'Unique: what people type at sign-in to name the tenant.' })
      .validate(slug),
    administratorEmail: t.string({ required: true }).validate(email),
    administratorName: t.string({ required: true }).validate(name),
  }),
  run: async (input, context) =>
    provisionedOf(
      context,
      await provisionTenant(partsOf(context), {
        name: input.name,
        slug: input.slug,
        administrator: { email: input.administratorEmail, name: input.administratorName },
      }),
    ),
});

/** Refuses tenants that do not exist, and the operator's own: it can be neither suspended nor provisioned into. */
const requireCustomer = async (context: ApiContext, id: TenantId): Promise<void> => {
  const { state } = await context.deps.handler.load(tenantDecider, { tenantId: id, id });
  if (state.status === 'none') throw new RefusedError(refuse('tenant-missing', { field: 'tenantId' }));
  if (id === operatorTenantId)
    throw new MusterError('invalid-input', 'is the operator tenant', { field: 'tenantId' });
};

mutation('issueTenantAdministrator', {
  description:
    'Gives a tenant an administrator: a new account, or a new one-time password for the account of that e-mail.',
  permission: 'operator.tenants',
  type: ProvisionedType,
  input: (t) => ({
    tenantId: t.id({ required: true }).validate(tenantId),
    email: t.string({ required: true }).validate(email),
    name: t.string({ required: true }).validate(name),
  }),
  run: async (input, context) => {
    await requireCustomer(context, input.tenantId);
    const { email, name } = input;
    return provisionedOf(
      context,
      await provisionAdministrator(partsOf(context), input.tenantId, { email, name }),
    );
  },
});

mutation('renameTenant', {
  description: 'Renames a tenant; its short name stays.',
  permission: 'operator.tenants',
  type: TenantPayload,
  input: (t) => ({
    tenantId: t.id({ required: true }).validate(tenantId),
    name: t.string({ required: true }).validate(name),
  }),
  run: async (input, context) => {
    const id = input.tenantId;
    await requireCustomer(context, id);
    const done = await act(context, tenantDecider, id, { type: 'RenameTenant', name: input.name }, id);
    return { id, ...(await settle(context, done)) };
  },
});

mutation('suspendTenant', {
  description: 'Keeps everybody of a tenant out: accounts, devices and proxies; sessions end.',
  permission: 'operator.tenants',
  type: TenantPayload,
  input: (t) => ({
    tenantId: t.id({ required: true }).validate(tenantId),
    reason: t.string({ required: true }).validate(line(500)),
  }),
  run: async (input, context) => {
    const id = input.tenantId;
    await requireCustomer(context, id);
    const done = await act(context, tenantDecider, id, { type: 'SuspendTenant', reason: input.reason }, id);
    await context.credentials.sessions.endTenant(id);
    return { id, ...(await settle(context, done)) };
  },
});

mutation('reactivateTenant', {
  description: 'Ends the suspension of a tenant.',
  permission: 'operator.tenants',
  type: TenantPayload,
  input: (t) => ({ tenantId: t.id({ required: true }).validate(tenantId) }),
  run: async (input, context) => {
    const id = input.tenantId;
    await requireCustomer(context, id);
    const done = await act(context, tenantDecider, id, { type: 'ReactivateTenant' }, id);
    return { id, ...(await settle(context, done)) };
  },
});
