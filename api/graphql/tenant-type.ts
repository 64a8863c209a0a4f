/**
 * The tenant as a type, and what mutations of it answer with. Called by tenant.ts and compliance-policy.ts.
 */
import type { TenantId } from '../../domain/ids.ts';
import { findCompliancePolicy } from '../../projections/compliance-policies.ts';
import { findAnyTenant, findTenant, type TenantRow } from '../../projections/tenants.ts';
import { builder } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';
import { payloadOf } from './effect.ts';
import { TenantKind, TenantStatus } from './enums.ts';
import { CompliancePolicy, Tenant } from './refs.ts';

builder.node(Tenant, {
  description: 'One customer of the installation, isolated from every other.',
  id: { resolve: (tenant) => tenant.tenantId },
  fields: (t) => ({
    name: t.exposeString('name'),
    slug: t.exposeString('slug', { description: 'The short name that people type at sign-in.' }),
    kind: t.expose('kind', { type: TenantKind }),
    status: t.expose('status', { type: TenantStatus }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
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
  const { tenantId: own, role } = signedIn(context);
  if (tenantId === own) return findTenant(context.deps.sql, own);
  return role === 'operator' ? findAnyTenant(context.deps.sql, tenantId) : undefined;
};

export const TenantPayload = payloadOf<TenantId, TenantRow>('Tenant', 'tenant', Tenant, (sql, _own, id) =>
  findAnyTenant(sql, id),
);
