/**
 * Read model of compliance policies and their versions. Called by api/graphql/compliance-policy.ts.
 */
import type { ComplianceSettings } from '../domain/compliance/settings.ts';
import {
  type CompliancePolicyEvent,
  type CompliancePolicyState,
  evolveCompliancePolicy,
  initialCompliancePolicy,
} from '../domain/compliance-policy/compliance-policy.ts';
import type { Fact } from '../domain/decider.ts';
import type { CompliancePolicyId, TenantId } from '../domain/ids.ts';
import type { Actor } from '../platform/event-store.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';
import { saveVersions, versionColumns, versionSelect } from './versions.ts';

/** A compliance policy at its present version. Times are ISO 8601, UTC. */
export interface CompliancePolicyRow {
  readonly compliancePolicyId: CompliancePolicyId;
  readonly name: string;
  readonly status: 'active' | 'retired';
  readonly version: number;
  readonly settings: ComplianceSettings;
  readonly createdAt: string;
  readonly changedAt: string;
}

/** One version of a compliance policy: its rules, since when, and who made it. */
export interface CompliancePolicyVersionRow {
  readonly version: number;
  readonly settings: ComplianceSettings;
  readonly at: string;
  readonly actor: Actor;
}

type Existing = Exclude<CompliancePolicyState, { status: 'none' }> & { readonly createdAt: string };

export const compliancePoliciesProjection: Projection = {
  name: 'compliance-policies',
  version: 1,
  categories: ['compliance-policy'],
  tables: [
    {
      name: 'compliance_policies',
      columns: `compliance_policy_id ${key} not null, name text not null, name_key ${key} not null,
        status text not null, version int not null, settings jsonb not null, created_at ${key} not null,
        changed_at ${key} not null, ${foldedColumns}, primary key (tenant_id, compliance_policy_id)`,
      indexes: ['(tenant_id, name_key, compliance_policy_id)'],
    },
    { name: 'compliance_policy_versions', columns: versionColumns('compliance_policy_id') },
  ],
  async apply(tx, events) {
    await foldRows<Existing>(tx, events, {
      table: 'compliance_policies',
      id: 'compliance_policy_id',
      evolve: (state, event) => ({
        ...(evolveCompliancePolicy(
          state ?? initialCompliancePolicy,
          factOf<Fact<CompliancePolicyEvent>>(event),
        ) as Existing),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: (state, last) => ({
        name: state.name,
        name_key: sortKey(state.name),
        status: state.status,
        version: state.version,
        settings: state.settings,
        created_at: state.createdAt,
        changed_at: last.at,
      }),
    });
    await saveVersions(tx, 'compliance_policy_versions', 'compliance_policy_id', events);
  },
};

const columns = columnsOf<CompliancePolicyRow>({
  compliancePolicyId: 'compliance_policy_id',
  name: 'name',
  status: 'status',
  version: 'version',
  settings: 'settings',
  createdAt: 'created_at',
  changedAt: 'changed_at',
});

/** One compliance policy of the tenant. */
export const findCompliancePolicy = (
  sql: Sql,
  tenantId: TenantId,
  compliancePolicyId: CompliancePolicyId,
): Promise<CompliancePolicyRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<CompliancePolicyRow[]>`
      select ${tx.unsafe(columns)} from read.compliance_policies where compliance_policy_id = ${compliancePolicyId}`;
    return row;
  });

/** Compliance policies by name, retired ones too. */
export const listCompliancePolicies = (
  sql: Sql,
  tenantId: TenantId,
  page: PageRequest,
): Promise<Page<CompliancePolicyRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.compliance_policies',
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'compliance_policy_id', type: 'text' },
        ],
      },
      page,
    ),
  );

/** Versions of a compliance policy, the newest first. */
export const listCompliancePolicyVersions = (
  sql: Sql,
  tenantId: TenantId,
  compliancePolicyId: CompliancePolicyId,
  page: PageRequest,
): Promise<Page<CompliancePolicyVersionRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns: columnsOf<CompliancePolicyVersionRow>(versionSelect),
        from: 'read.compliance_policy_versions',
        where: [tx`compliance_policy_id = ${compliancePolicyId}`],
        order: [{ column: 'version', type: 'bigint' }],
        descending: true,
      },
      page,
    ),
  );
