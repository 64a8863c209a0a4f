/**
 * Tenants in GraphQL: the own one, and for operators every tenant as such, never what is in it. Listed in schema.ts.
 */
import type { InputShapeFromFields } from '@pothos/core';
import { z } from 'zod';
import { type TenantId, templateId, tenantId } from '../../domain/ids.ts';
import { seatCount } from '../../domain/licence/licence.ts';
import { isRefusal, refuse } from '../../domain/refusals.ts';
import { type TenantChanges, tenantDecider } from '../../domain/tenant/decide.ts';
import {
  chosenPlatforms,
  operatorTenantId,
  type Privacy,
  slug,
  tenantDescription,
} from '../../domain/tenant/tenant.ts';
import { email, line, name, time } from '../../domain/text.ts';
import { isoTime } from '../../platform/clock.ts';
import { MusterError } from '../../platform/errors.ts';
import { findAnyTenant, listTenants } from '../../projections/tenants.ts';
import { type Provisioned, provisionAdministrator, provisionTenant } from '../provision.ts';
import { endSupport } from '../support.ts';
import { builder, RefusedError, type Types } from './builder.ts';
import { connectionOf, pageArgs, pageOf } from './connection.ts';
import { type ApiContext, signedIn, signedInAccount } from './context.ts';
import { act, type Changed, causeOf, EffectInterface, type refuseIf, settle } from './effect.ts';
import { DirectoryKind, Edition, Platform, TenantStatus } from './enums.ts';
import { mutation } from './mutation.ts';
import { requireTemplate } from './references.ts';
import { Tenant } from './refs.ts';
import { TenantPayload, visibleTenant } from './tenant-type.ts';

builder.queryField('tenant', (t) =>
  t.field({
    type: Tenant,
    description: 'The own tenant; for an operator, any tenant by its id.',
    authScopes: { permission: 'tenant.read' },
    args: { id: t.arg.id({ description: 'Without it the own tenant.', validate: tenantId }) },
    resolve: async (_root, { id }, context) => {
      const own = signedIn(context).tenantId;
      const found = await visibleTenant(context, (id as TenantId | null | undefined) ?? own);
      if (found) return found;
      if (!id || id === own) throw new MusterError('too-busy', 'the tenant cannot be read yet');
      throw new MusterError('not-found', 'no such tenant', { field: 'id' });
    },
  }),
);

builder.queryField('tenants', (t) =>
  t.field({
    type: connectionOf('Tenant', Tenant),
    description: 'Every tenant of the installation by name.',
    authScopes: { permission: 'operator.tenants' },
    args: { ...pageArgs, status: t.arg({ type: TenantStatus }) },
    resolve: (_root, args, context) =>
      listTenants(context.deps.sql, pageOf(args), { status: args.status ?? undefined }),
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

export const PrivacyInput = builder.inputType('PrivacyInput', {
  description: 'What may be known of people.',
  fields: (t) => ({
    userMayLocate: t.boolean({ required: true }),
    administratorMayLocate: t.boolean({ required: true }),
    showApps: t.boolean({
      required: true,
      description: 'False: the apps on personal devices are neither shown nor stored.',
    }),
  }),
});

type InputBuilder = PothosSchemaTypes.InputFieldBuilder<Types, 'InputObject'>;

/** What an operator can say of a tenant, new or known. */
const changeFields = (t: InputBuilder) => ({
  description: t.string().validate(tenantDescription.nullish()),
  validUntil: t
    .field({
      type: 'DateTime',
      description: 'Null: without end. Expiry stops new tasks and enrolments only.',
    })
    .validate(time.nullish()),
  platforms: t.field({ type: [Platform] }).validate(chosenPlatforms.nullish()),
  privacy: t.field({ type: PrivacyInput }),
  directory: t.field({ type: DirectoryKind }),
});

type ChangeInput = InputShapeFromFields<ReturnType<typeof changeFields>>;

/** What is given; a description or validity of null is removed. */
const changesOf = (input: ChangeInput): TenantChanges => ({
  description: input.description,
  validUntil: input.validUntil,
  platforms: input.platforms ?? undefined,
  privacy: (input.privacy as Privacy | null | undefined) ?? undefined,
  directory: input.directory ?? undefined,
});

mutation('createTenant', {
  description:
    'Creates a tenant with its first administrator, and a default compliance policy or what a template holds.',
  permission: 'operator.tenants',
  type: ProvisionedType,
  input: (t) => ({
    name: t.string({ required: true }).validate(name),
    slug: t
      .string({ required: true, description: 'Unique: what people type at sign-in to name the tenant.' })
      .validate(slug),
    administratorEmail: t.string({ required: true }).validate(email),
    administratorName: t.string({ required: true }).validate(name),
    seats: t
      .int({ description: 'Of the licence. Without them nothing can be enrolled until allotSeats.' })
      .validate(seatCount.nullish()),
    edition: t.field({ type: Edition, required: true, defaultValue: 'standard' }),
    templateId: t
      .id({ description: 'Applied at once, at its present version.' })
      .validate(templateId.nullish()),
    ...changeFields(t),
  }),
  run: async (input, context) => {
    const template = input.templateId ? await requireTemplate(context, input.templateId) : undefined;
    return provisionedOf(
      context,
      await provisionTenant(partsOf(context), {
        name: input.name,
        slug: input.slug,
        administrator: { email: input.administratorEmail, name: input.administratorName },
        allotment: input.seats ? { seats: input.seats, edition: input.edition } : undefined,
        changes: changesOf(input),
        template,
      }),
    );
  },
});

mutation('editTenant', {
  description:
    'Changes what is given; the rest stays as it is. Null removes a description or the end of validity.',
  permission: 'operator.tenants',
  type: TenantPayload,
  input: (t) => ({ tenantId: t.id({ required: true }).validate(tenantId), ...changeFields(t) }),
  run: async (input, context) => {
    const id = input.tenantId;
    await requireCustomer(context, id);
    const changes = changesOf(input);
    const done = await act(context, tenantDecider, id, { type: 'ConfigureTenant', changes }, id);
    return { id, ...(await settle(context, done)) };
  },
});

/** Refuses tenants that do not exist, and the operator's own: it can be neither suspended nor provisioned into. */
export const requireCustomer = async (context: ApiContext, id: TenantId): Promise<void> => {
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

const dayMs = 86_400_000;

mutation('requestTenantDeletion', {
  description:
    'Keeps everybody of a tenant out at once and, when the grace is over, erases everything of it for good.',
  permission: 'operator.tenants',
  type: TenantPayload,
  input: (t) => ({
    tenantId: t.id({ required: true }).validate(tenantId),
    confirmation: t
      .string({ required: true, description: 'The short name of the tenant, typed.' })
      .validate(z.string().max(100)),
  }),
  run: async ({ tenantId: id, confirmation }, context) => {
    await requireCustomer(context, id);
    const { deps, config, credentials, requestId } = context;
    const done = await act(
      context,
      tenantDecider,
      id,
      {
        type: 'RequestTenantDeletion',
        confirmation,
        requestedBy: signedInAccount(context).accountId,
        purgeAfter: isoTime(deps.clock() + config.deletionGraceDays * dayMs),
      },
      id,
    );
    await credentials.sessions.endTenant(id);
    await endSupport(context, id, requestId);
    return { id, ...(await settle(context, done)) };
  },
});

mutation('cancelTenantDeletion', {
  description: 'Takes the deletion of a tenant back, as long as its grace lasts.',
  permission: 'operator.tenants',
  type: TenantPayload,
  input: (t) => ({ tenantId: t.id({ required: true }).validate(tenantId) }),
  run: async ({ tenantId: id }, context) => {
    await requireCustomer(context, id);
    const done = await act(context, tenantDecider, id, { type: 'CancelTenantDeletion' }, id);
    return { id, ...(await settle(context, done)) };
  },
});

mutation('setPrivacy', {
  description: 'Sets what may be known of the people of the own tenant.',
  permission: 'tenant.manage',
  type: TenantPayload,
  input: (t) => ({ privacy: t.field({ type: PrivacyInput, required: true }) }),
  run: async (input, context) => {
    const id = signedIn(context).tenantId;
    const changes = { privacy: input.privacy };
    const done = await act(context, tenantDecider, id, { type: 'ConfigureTenant', changes });
    return { id, ...(await settle(context, done)) };
  },
});
