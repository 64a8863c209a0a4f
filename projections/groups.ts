/**
 * Read model of a tenant's device groups. Called by api/graphql/group.ts; membership is in devices.ts.
 */
import type { Fact } from '../domain/decider.ts';
import { evolveGroup, type GroupEvent, type GroupState, initialGroup } from '../domain/group/group.ts';
import type { CompliancePolicyId, GroupId, TenantId } from '../domain/ids.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** A device group. Times are ISO 8601, UTC. */
export interface GroupRow {
  readonly groupId: GroupId;
  readonly name: string;
  readonly description: string | null;
  /** null: the tenant's compliance policy applies. */
  readonly compliancePolicyId: CompliancePolicyId | null;
  readonly createdAt: string;
}

type Existing = Exclude<GroupState, { status: 'none' }> & { readonly createdAt: string };

export const groupsProjection: Projection = {
  name: 'groups',
  version: 2,
  categories: ['group'],
  tables: [
    {
      name: 'groups',
      columns: `group_id ${key} not null, name text not null, name_key ${key} not null, description text,
        status text not null, compliance_policy_id ${key},
        created_at ${key} not null, ${foldedColumns}, primary key (tenant_id, group_id)`,
      indexes: ['(tenant_id, name_key, group_id)'],
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'groups',
      id: 'group_id',
      evolve: (state, event) => ({
        ...(evolveGroup(state ?? initialGroup, factOf<Fact<GroupEvent>>(event)) as Existing),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: ({ name, description, status, compliancePolicyId, createdAt }) => ({
        name,
        description,
        status,
        name_key: sortKey(name),
        compliance_policy_id: compliancePolicyId,
        created_at: createdAt,
      }),
    }),
};

const columns = columnsOf<GroupRow>({
  groupId: 'group_id',
  name: 'name',
  description: 'description',
  compliancePolicyId: 'compliance_policy_id',
  createdAt: 'created_at',
});

/** One group of the tenant. */
export const findGroup = (sql: Sql, tenantId: TenantId, groupId: GroupId): Promise<GroupRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<GroupRow[]>`
      select ${tx.unsafe(columns)} from read.groups where group_id = ${groupId} and status = 'active'`;
    return row;
  });

/** Groups by name. */
export const listGroups = (sql: Sql, tenantId: TenantId, page: PageRequest): Promise<Page<GroupRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.groups',
        where: [tx`status = 'active'`],
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'group_id', type: 'text' },
        ],
      },
      page,
    ),
  );

/** Groups that name a compliance policy of their own, by id: those whose devices a change of it concerns. */
export const listGroupsOfCompliancePolicy = (
  sql: Sql,
  tenantId: TenantId,
  compliancePolicyId: CompliancePolicyId,
): Promise<readonly GroupRow[]> =>
  asTenant(
    sql,
    tenantId,
    (tx) => tx<GroupRow[]>`
      select ${tx.unsafe(columns)} from read.groups
      where compliance_policy_id = ${compliancePolicyId} order by group_id`,
  );

/** Of those names, each in the form of `sortKey`, the group that has it; of several the one created first. */
export const findGroupsByName = async (
  sql: Sql,
  tenantId: TenantId,
  nameKeys: readonly string[],
): Promise<ReadonlyMap<string, GroupId>> =>
  asTenant(sql, tenantId, async (tx) => {
    const rows = await tx<{ nameKey: string; groupId: GroupId }[]>`
      select distinct on (name_key) name_key as "nameKey", group_id as "groupId" from read.groups
      where name_key = any(${[...nameKeys]}) and status = 'active' order by name_key, group_id`;
    return new Map(rows.map(({ nameKey, groupId }) => [nameKey, groupId]));
  });
