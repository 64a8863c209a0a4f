/**
 * The tenant as a type, and what mutations of it answer with. Called by tenant.ts and compliance-policy.ts.
 */
import type { TenantId } from '../../domain/ids.ts';
import { isExpired } from '../../domain/tenant/standing.ts';
import type { Deletion, Privacy, SupportGrant } from '../../domain/tenant/tenant.ts';
import { isoTime } from '../../platform/clock.ts';
import { findCompliancePolicy } from '../../projections/compliance-policies.ts';
import { findAnyTenant, findTenant, type TenantRow } from '../../projections/tenants.ts';
import { builder } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { payloadOf } from './effect.ts';
import { DirectoryKind, Platform, SupportLevel, TenantKind, TenantStatus } from './enums.ts';
import { CompliancePolicy, Tenant } from './refs.ts';

const PrivacyType = builder.objectRef<Privacy>('Privacy').implement({
  description: 'What may be known of people.',
  fields: (t) => ({
    userMayLocate: t.exposeBoolean('userMayLocate'),
    administratorMayLocate: t.exposeBoolean('administratorMayLocate'),
    showApps: t.exposeBoolean('showApps', {
      description: 'False: the apps on personal devices are neither shown nor stored.',
    }),
  }),
});

const SupportAccessType = builder.objectRef<SupportGrant>('SupportAccess').implement({
  description: 'Support access that the tenant grants to operators.',
  fields: (t) => ({
    level: t.expose('level', { type: SupportLevel }),
    until: t.expose('until', { type: 'DateTime' }),
  }),
});

const DeletionType = builder.objectRef<Deletion>('TenantDeletion').implement({
  description: 'The deletion of a tenant, while it can be taken back and until everything is erased.',
  fields: (t) => ({
    requestedBy: t.exposeID('requestedBy', { description: 'Account of the operator.' }),
    purgeAfter: t.expose('purgeAfter', { type: 'DateTime', description: 'When everything is erased.' }),
  }),
});

const DeviceTotals = builder.objectRef<TenantRow>('TenantDeviceCounts').implement({
  description: 'How many devices the tenant has: counts, and nothing else of them.',
  fields: (t) => ({
    registered: t.exposeInt('registeredDevices', { description: 'Not enrolled yet.' }),
    enrolled: t.exposeInt('enrolledDevices'),
    unenrolled: t.exposeInt('unenrolledDevices'),
  }),
});

builder.node(Tenant, {
  description: 'One customer of the installation, isolated from every other.',
  id: { resolve: (tenant) => tenant.tenantId },
  fields: (t) => ({
    name: t.exposeString('name'),
    slug: t.exposeString('slug', { description: 'The short name that people type at sign-in.' }),
    kind: t.expose('kind', { type: TenantKind }),
    status: t.expose('status', { type: TenantStatus }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    description: t.exposeString('description', { nullable: true }),
    validUntil: t.expose('validUntil', {
      type: 'DateTime',
      nullable: true,
      description: 'From then on nothing new begins: no tasks, no enrolments. Null: without end.',
    }),
    expired: t.boolean({
      resolve: (tenant, _args, { deps }) => isExpired(tenant, isoTime(deps.clock())),
    }),
    platforms: t.field({
      type: [Platform],
      description: 'Devices of other platforms can neither enrol nor be sent tasks.',
      resolve: ({ platforms }) => [...platforms],
    }),
    privacy: t.expose('privacy', { type: PrivacyType }),
    directory: t.expose('directory', { type: DirectoryKind }),
    deletion: t.expose('deletion', { type: DeletionType, nullable: true }),
    supportAccess: t.field({
      type: SupportAccessType,
      nullable: true,
      description: 'Null: operators cannot enter the tenant.',
      resolve: ({ status, support }, _args, { deps }) =>
        status !== 'deleted' && support && isoTime(deps.clock()) < support.until ? support : null,
    }),
    devices: t.field({ type: DeviceTotals, resolve: (tenant) => tenant }),
    lastActivityAt: t.expose('lastActivityAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When an account or a device of the tenant last did something, to the ten minutes before.',
    }),
    compliancePolicy: t.field({
      type: CompliancePolicy,
      nullable: true,
      description: 'Of devices whose group has none of its own. Shown to accounts of the tenant alone.',
      resolve: async (tenant, _args, context) => {
        const { tenantId } = signedIn(context);
        const id = tenant.compliancePolicyId;
        if (id === null || tenant.tenantId !== tenantId) return null;
        return (await findCompliancePolicy(context.deps.sql, tenantId, id)) ?? null;
      },
    }),
  }),
});

/** The tenant of that id as far as the account may see it: its own, and for an operator every other. */
export const visibleTenant = async (
  context: ApiContext,
  tenantId: TenantId,
): Promise<TenantRow | undefined> => {
  const { tenantId: own, permissions } = signedIn(context);
  if (tenantId === own) return findTenant(context.deps.sql, own);
  return permissions.has('operator.tenants') ? findAnyTenant(context.deps.sql, tenantId) : undefined;
};

export const TenantPayload = payloadOf<TenantId, TenantRow>('Tenant', 'tenant', Tenant, (sql, _own, id) =>
  findAnyTenant(sql, id),
);
