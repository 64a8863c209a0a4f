/**
 * Facts and state of a tenant: one customer of the installation, isolated from every other.
 * Decided by decide.ts beside this file; read by projections/tenants.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { compliancePolicyId, type TenantId } from '../ids.ts';
import { line, name } from '../text.ts';

/** Short name that people type at sign-in: lower-case letters, digits and hyphens, unique in the installation. */
export const slug = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/,
    'must be 1 to 40 lower-case letters, digits and inner hyphens',
  );

/** `operator` is the one tenant of the super administrators, created at first start. */
export const tenantKind = z.enum(['operator', 'customer']);
export type TenantKind = z.infer<typeof tenantKind>;

/** The operator tenant's id, the same in every installation: processes that start together create one. */
export const operatorTenantId = `ten${'0'.repeat(26)}` as TenantId;

export const tenantEvents = defineEvents('tenant', {
  TenantCreated: z.strictObject({ name, slug, kind: tenantKind }),
  TenantRenamed: z.strictObject({ name }),
  TenantSuspended: z.strictObject({ reason: line(500) }),
  TenantReactivated: z.strictObject({}),
  TenantCompliancePolicyAssigned: z.strictObject({ compliancePolicyId }),
});

export type TenantEvent = EventOf<typeof tenantEvents>;

export type TenantState =
  | { readonly status: 'none' }
  | {
      readonly status: 'active' | 'suspended';
      readonly name: string;
      readonly slug: string;
      readonly kind: TenantKind;
      /** Compliance policy of devices whose group has none of its own. */
      readonly compliancePolicyId: z.infer<typeof compliancePolicyId> | null;
    };

export const initialTenant: TenantState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveTenant = (state: TenantState, { type, data }: Fact<TenantEvent>): TenantState => {
  if (type === 'TenantCreated') return { status: 'active', compliancePolicyId: null, ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'TenantRenamed':
      return { ...state, name: data.name };
    case 'TenantSuspended':
      return { ...state, status: 'suspended' };
    case 'TenantReactivated':
      return { ...state, status: 'active' };
    case 'TenantCompliancePolicyAssigned':
      return { ...state, compliancePolicyId: data.compliancePolicyId };
    default:
      return never(type);
  }
};
