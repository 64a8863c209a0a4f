/**
 * Read model of tenants, with the reads across tenants that sign-in and the operator need.
 * Called by api/graphql/tenant.ts, sign-in and workers/.
 */
import type { Fact } from '../domain/decider.ts';
import type { CompliancePolicyId, TenantId } from '../domain/ids.ts';
import {
  type Deletion,
  type Directory,
  type ExistingTenant,
  evolveTenant,
  initialTenant,
  type Privacy,
  type SupportGrant,
  type TenantEvent,
  type TenantKind,
} from '../domain/tenant/tenant.ts';
import type { Platform } from '../domain/text.ts';
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
  readonly status: ExistingTenant['status'];
  /** Compliance policy of devices whose group has none of its own. */
  readonly compliancePolicyId: CompliancePolicyId | null;
  readonly description: string | null;
  readonly validUntil: string | null;
  readonly platforms: readonly Platform[];
  readonly privacy: Privacy;
  readonly directory: Directory;
  readonly deletion: Deletion | null;
  readonly support: SupportGrant | null;
  /** Templates that were deployed to it, with the version. */
  readonly templates: Readonly<Record<string, { readonly version: number }>>;
  readonly createdAt: string;
  readonly registeredDevices: number;
  readonly enrolledDevices: number;
  readonly unenrolledDevices: number;
  /** When an account or a device of it last did something, to the ten minutes before; null: never. */
  readonly lastActivityAt: string | null;
}

type Existing = ExistingTenant & { readonly createdAt: string };

const operatorColumns = [
  'tenant_id',
  'name',
  'name_key',
  'slug',
  'kind',
  'status',
  'compliance_policy_id',
  'created_at',
  'purge_after',
  'state',
];

export const tenantsProjection: Projection = {
  name: 'tenants',
  version: 2,
  categories: ['tenant'],
  tables: [
    {
      name: 'tenants',
      columns: `name text not null, name_key ${key} not null, slug ${key} not null, kind text not null,
        status text not null, compliance_policy_id ${key}, created_at ${key} not null, purge_after ${key},
        ${foldedColumns}, primary key (tenant_id)`,
      indexes: ['(slug)', '(name_key, tenant_id)', '(purge_after, tenant_id) where purge_after is not null'],
      operator: { view: 'all_tenants', columns: operatorColumns },
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'tenants',
      evolve: (state, event) => ({
        ...(evolveTenant(state ?? initialTenant, factOf<Fact<TenantEvent>>(event)) as Existing),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: ({ name, slug, kind, status, compliancePolicyId, createdAt, deletion }) => ({
        name,
        name_key: sortKey(name),
        slug,
        kind,
        status,
        compliance_policy_id: compliancePolicyId,
        created_at: createdAt,
        purge_after: deletion?.purgeAfter ?? null,
      }),
    }),
};

const columns = columnsOf<TenantRow>({
  tenantId: 't.tenant_id',
  name: 't.name',
  slug: 't.slug',
  kind: 't.kind',
  status: 't.status',
  compliancePolicyId: 't.compliance_policy_id',
  description: `t.state->>'description'`,
  validUntil: `t.state->>'validUntil'`,
  platforms: `t.state->'platforms'`,
  privacy: `t.state->'privacy'`,
  directory: `t.state->>'directory'`,
  deletion: `nullif(t.state->'deletion', 'null')`,
  support: `nullif(t.state->'support', 'null')`,
  templates: `t.state->'templates'`,
  createdAt: 't.created_at',
  registeredDevices: 'coalesce(a.registered, 0)',
  enrolledDevices: 'coalesce(a.enrolled, 0)',
  unenrolledDevices: 'coalesce(a.unenrolled, 0)',
  lastActivityAt: 'a.last_activity_at',
});
const own = 'read.tenants t left join read.tenant_activity a on a.tenant_id = t.tenant_id';
const every = 'read.all_tenants t left join read.all_tenant_activity a on a.tenant_id = t.tenant_id';

/** The tenant itself. */
export const findTenant = (sql: Sql, tenantId: TenantId): Promise<TenantRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<TenantRow[]>`select ${tx.unsafe(columns)} from ${tx.unsafe(own)}`;
    return row;
  });

/** Across tenants, for sign-in: the tenant of that short name. */
export const findTenantBySlug = (sql: Sql, slug: string): Promise<TenantRow | undefined> =>
  asOperator(sql, async (tx) => {
    const [row] = await tx<TenantRow[]>`
      select ${tx.unsafe(columns)} from ${tx.unsafe(every)}
      where t.slug = ${slug} order by t.created_at, t.tenant_id limit 1`;
    return row;
  });

/** Across tenants, for the operator: the tenant of that id. */
export const findAnyTenant = (sql: Sql, tenantId: TenantId): Promise<TenantRow | undefined> =>
  asOperator(sql, async (tx) => {
    const [row] = await tx<TenantRow[]>`
      select ${tx.unsafe(columns)} from ${tx.unsafe(every)} where t.tenant_id = ${tenantId}`;
    return row;
  });

/** Which tenants; every condition given must hold. */
export interface TenantFilter {
  readonly kind?: TenantKind | undefined;
  readonly status?: TenantRow['status'] | undefined;
  readonly tenantIds?: readonly TenantId[] | undefined;
}

/** Across tenants, for the operator and for jobs over every tenant: by name. */
export const listTenants = (
  sql: Sql,
  page: PageRequest,
  { kind, status, tenantIds }: TenantFilter = {},
): Promise<Page<TenantRow>> =>
  asOperator(sql, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: every,
        where: [
          ...(kind === undefined ? [] : [tx`t.kind = ${kind}`]),
          ...(status === undefined ? [] : [tx`t.status = ${status}`]),
          ...(tenantIds === undefined
            ? []
            : [tx`t.tenant_id in (select jsonb_array_elements_text(${tx.json(tenantIds as never)}))`]),
        ],
        order: [
          { column: 't.name_key', type: 'text' },
          { column: 't.tenant_id', type: 'text' },
        ],
      },
      page,
    ),
  );

/** Across tenants, for the job that purges: tenants whose grace is over at `now` (ISO 8601, UTC). */
export const listTenantsToPurge = (sql: Sql, now: string, limit: number): Promise<readonly TenantRow[]> =>
  asOperator(
    sql,
    (tx) => tx<TenantRow[]>`
      select ${tx.unsafe(columns)} from ${tx.unsafe(every)}
      where t.purge_after <= ${now} order by t.purge_after, t.tenant_id limit ${limit}`,
  );
