/**
 * Read model of policies and their versions. Called by api/graphql/policy.ts.
 */
import type { Fact } from '../domain/decider.ts';
import type { PolicyId, TenantId } from '../domain/ids.ts';
import {
  evolvePolicy,
  initialPolicy,
  type PolicyEvent,
  type PolicyState,
  type PolicyType,
} from '../domain/policy/policy.ts';
import type { PolicySettings } from '../domain/policy/settings.ts';
import type { Platform } from '../domain/text.ts';
import type { Actor } from '../platform/event-store.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';
import { saveVersions, versionColumns, versionSelect } from './versions.ts';

/** A policy at its present version. Times are ISO 8601, UTC. */
export interface PolicyRow {
  readonly policyId: PolicyId;
  readonly name: string;
  readonly policyType: PolicyType;
  readonly platforms: readonly Platform[];
  readonly status: 'active' | 'retired';
  readonly version: number;
  readonly settings: PolicySettings;
  readonly createdAt: string;
  readonly changedAt: string;
}

/** One version of a policy: what it set, since when, and who made it. */
export interface PolicyVersionRow {
  readonly version: number;
  readonly settings: PolicySettings;
  readonly at: string;
  readonly actor: Actor;
}

type Existing = Exclude<PolicyState, { status: 'none' }> & { readonly createdAt: string };

export const policiesProjection: Projection = {
  name: 'policies',
  version: 1,
  categories: ['policy'],
  tables: [
    {
      name: 'policies',
      columns: `policy_id ${key} not null, name text not null, name_key ${key} not null, policy_type text not null,
        platforms jsonb not null, status text not null, version int not null, settings jsonb not null,
        created_at ${key} not null, changed_at ${key} not null, ${foldedColumns}, primary key (tenant_id, policy_id)`,
      indexes: ['(tenant_id, name_key, policy_id)'],
    },
    { name: 'policy_versions', columns: versionColumns('policy_id') },
  ],
  async apply(tx, events) {
    await foldRows<Existing>(tx, events, {
      table: 'policies',
      id: 'policy_id',
      evolve: (state, event) => ({
        ...(evolvePolicy(state ?? initialPolicy, factOf<Fact<PolicyEvent>>(event)) as Existing),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: (state, last) => ({
        name: state.name,
        name_key: sortKey(state.name),
        policy_type: state.policyType,
        platforms: state.platforms,
        status: state.status,
        version: state.version,
        settings: state.settings,
        created_at: state.createdAt,
        changed_at: last.at,
      }),
    });
    await saveVersions(tx, 'policy_versions', 'policy_id', events);
  },
};

const columns = columnsOf<PolicyRow>({
  policyId: 'policy_id',
  name: 'name',
  policyType: 'policy_type',
  platforms: 'platforms',
  status: 'status',
  version: 'version',
  settings: 'settings',
  createdAt: 'created_at',
  changedAt: 'changed_at',
});

/** One policy of the tenant. */
export const findPolicy = (
  sql: Sql,
  tenantId: TenantId,
  policyId: PolicyId,
): Promise<PolicyRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<PolicyRow[]>`
      select ${tx.unsafe(columns)} from read.policies where policy_id = ${policyId}`;
    return row;
  });

/** Policies by name, retired ones too. */
export const listPolicies = (sql: Sql, tenantId: TenantId, page: PageRequest): Promise<Page<PolicyRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.policies',
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'policy_id', type: 'text' },
        ],
      },
      page,
    ),
  );

/** Versions of a policy, the newest first. */
export const listPolicyVersions = (
  sql: Sql,
  tenantId: TenantId,
  policyId: PolicyId,
  page: PageRequest,
): Promise<Page<PolicyVersionRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns: columnsOf<PolicyVersionRow>(versionSelect),
        from: 'read.policy_versions',
        where: [tx`policy_id = ${policyId}`],
        order: [{ column: 'version', type: 'bigint' }],
        descending: true,
      },
      page,
    ),
  );
