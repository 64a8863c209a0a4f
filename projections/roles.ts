/**
 * Read model of a tenant's own roles. Called by api/graphql/role.ts.
 */
import type { Permission } from '../domain/account/permissions.ts';
import type { Fact } from '../domain/decider.ts';
import type { RoleId, TenantId } from '../domain/ids.ts';
import { evolveRole, initialRole, type RoleEvent, type RoleState } from '../domain/role/role.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** A role of the tenant’s own. Times are ISO 8601, UTC. */
export interface RoleRow {
  readonly roleId: RoleId;
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly Permission[];
  readonly status: 'active' | 'retired';
  readonly createdAt: string;
}

type Existing = Exclude<RoleState, { status: 'none' }> & { readonly createdAt: string };

export const rolesProjection: Projection = {
  name: 'roles',
  version: 1,
  categories: ['role'],
  tables: [
    {
      name: 'roles',
      columns: `role_id ${key} not null, name text not null, name_key ${key} not null, description text not null,
        permissions jsonb not null, status text not null,
        created_at ${key} not null, ${foldedColumns}, primary key (tenant_id, role_id)`,
      indexes: ['(tenant_id, name_key, role_id)'],
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'roles',
      id: 'role_id',
      evolve: (state, event) => ({
        ...(evolveRole(state ?? initialRole, factOf<Fact<RoleEvent>>(event)) as Existing),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: ({ name, description, permissions, status, createdAt }) => ({
        name,
        name_key: sortKey(name),
        description,
        permissions,
        status,
        created_at: createdAt,
      }),
    }),
};

const columns = columnsOf<RoleRow>({
  roleId: 'role_id',
  name: 'name',
  description: 'description',
  permissions: 'permissions',
  status: 'status',
  createdAt: 'created_at',
});

/** One role of the tenant. */
export const findRole = (sql: Sql, tenantId: TenantId, roleId: RoleId): Promise<RoleRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<RoleRow[]>`
      select ${tx.unsafe(columns)} from read.roles where role_id = ${roleId}`;
    return row;
  });

/** Roles by name, retired ones too. */
export const listRoles = (sql: Sql, tenantId: TenantId, page: PageRequest): Promise<Page<RoleRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.roles',
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'role_id', type: 'text' },
        ],
      },
      page,
    ),
  );
