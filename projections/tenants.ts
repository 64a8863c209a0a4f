/**
 * Read model of tenants, with the reads across tenants that sign-in and the operator need.
 * Called by api/graphql/tenant.ts, sign-in and workers/.
 */
import type { Fact } from '../domain/decider.ts';
import type { CompliancePolicyId, TenantId } from '../domain/ids.ts';
import {
  evolveTenant,
  initialTenant,
  type TenantEvent,
  type TenantKind,
  type TenantState,
} from '../domain/tenant/tenant.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { asOperator } from './operator.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** A tenant. Times are ISO 8601, UTC. */
export interface TenantRow {
  readonly tenantId: TenantId;
  readonly name: string;
  readonly slug: string;
  readonly kind: TenantKind;
  readonly status: 'active' | 'suspended';
  /** Compliance policy of devices whose group has none of its own. */
  readonly compliancePolicyId: CompliancePolicyId | null;
  readonly createdAt: string;
}

type Existing = Exclude<TenantState, { status: 'none' }> & { readonly createdAt: string };

export const tenantsProjection: Projection = {
  name: 'tenants',
  version: 1,
  categories: ['tenant'],
  tables: [
    {
      name: 'tenants',
      columns: `name text not null, name_key ${key} not null, slug ${key} not null, kind text not null,
        status text not null, compliance_policy_id ${key}, created_at ${key} not null, ${foldedColumns},
        primary key (tenant_id)`,
      indexes: ['(slug)', '(name_key, tenant_id)'],
      operator: {
        view: 'all_tenants',
        columns: [
          'tenant_id',
          'name',
          'name_key',
          'slug',
          'kind',
          'status',
          'compliance_policy_id',
          'created_at',
        ],
      },
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'tenants',
      evolve: (state, event) => ({
        ...(evolveTenant(state ?? initialTenant, factOf<Fact<TenantEvent>>(event)) as Existing),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: ({ name, slug, kind, status, compliancePolicyId, createdAt }) => ({
        name,
        name_key: sortKey(name),
        slug,
        kind,
        status,
        compliance_policy_id: compliancePolicyId,
        created_at: createdAt,
      }),
    }),
};

const columns = columnsOf<TenantRow>({
  tenantId: 'tenant_id',
  name: 'name',
  slug: 'slug',
  kind: 'kind',
  status: 'status',
  compliancePolicyId: 'compliance_policy_id',
  createdAt: 'created_at',
});

/** The tenant itself. */
export const findTenant = (sql: Sql, tenantId: TenantId): Promise<TenantRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<TenantRow[]>`select ${tx.unsafe(columns)} from read.tenants`;
    return row;
  });

/** Across tenants, for sign-in: the tenant of that short name. */
export const findTenantBySlug = (sql: Sql, slug: string): Promise<TenantRow | undefined> =>
  asOperator(sql, async (tx) => {
    const [row] = await tx<TenantRow[]>`
      select ${tx.unsafe(columns)} from read.all_tenants where slug = ${slug} order by created_at, tenant_id limit 1`;
    return row;
  });

/** Across tenants, for the operator: the tenant of that id. */
export const findAnyTenant = (sql: Sql, tenantId: TenantId): Promise<TenantRow | undefined> =>
  asOperator(sql, async (tx) => {
    const [row] = await tx<TenantRow[]>`
      select ${tx.unsafe(columns)} from read.all_tenants where tenant_id = ${tenantId}`;
    return row;
  });

/** Across tenants, for the operator and for jobs over every tenant: by name. */
export const listTenants = (sql: Sql, page: PageRequest): Promise<Page<TenantRow>> =>
  asOperator(sql, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.all_tenants',
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'tenant_id', type: 'text' },
        ],
      },
      page,
    ),
  );
