/**
 * Read model of a tenant's user groups and who is in them. Called by api/graphql/user-group.ts and by jobs that
 * concern every member.
 */
import type { Fact } from '../domain/decider.ts';
import type { TenantId, UserGroupId, UserId } from '../domain/ids.ts';
import {
  evolveUserGroup,
  initialUserGroup,
  type UserGroupEvent,
  type UserGroupState,
} from '../domain/user-group/user-group.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import { asTenant, type Sql, type Transaction } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage, startsWith } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';
import { type UserRow, userColumns } from './users.ts';

/** A user group. Times are ISO 8601, UTC. */
export interface UserGroupRow {
  readonly userGroupId: UserGroupId;
  readonly name: string;
  readonly description: string | null;
  readonly memberCount: number;
  readonly createdAt: string;
}

type Active = Extract<UserGroupState, { status: 'active' }>;
/** Members have a table of their own: the row keeps what the group says about itself. */
type Known = Pick<Active, 'name' | 'description' | 'memberCount'> & {
  readonly status: 'active' | 'deleted';
  readonly createdAt: string;
};

const evolve = (known: Known | undefined, event: StoredEvent): Known => {
  const before: UserGroupState = known ? { ...known, status: 'active', members: {} } : initialUserGroup;
  const state = evolveUserGroup(before, factOf<Fact<UserGroupEvent>>(event));
  const kept = state.status === 'active' ? state : (before as Active);
  const { name, description, memberCount } = kept;
  const deleted = known?.status === 'deleted' || state.status === 'deleted';
  return {
    name,
    description,
    memberCount,
    status: deleted ? 'deleted' : 'active',
    createdAt: known?.createdAt ?? event.at,
  };
};

const membershipChanges: ReadonlyMap<string, boolean> = new Map([
  ['UsersAddedToGroup', true],
  ['UsersRemovedFromGroup', false],
]);

/** Each membership is a row that remembers the revision of its last change: an older event leaves it as it is. */
const saveMembers = async (tx: Transaction, events: readonly StoredEvent[]): Promise<void> => {
  const rows = new Map<string, object>();
  for (const { type, tenantId, entityId, data, revision } of events) {
    const present = membershipChanges.get(type);
    if (present === undefined) continue;
    for (const userId of (data as { userIds: string[] }).userIds)
      rows.set(`${tenantId}/${entityId}/${userId}`, {
        tenant_id: tenantId,
        user_group_id: entityId,
        user_id: userId,
        present,
        revision: revision.toString(),
      });
  }
  if (rows.size === 0) return;
  await tx`
    insert into user_group_members as m (tenant_id, user_group_id, user_id, present, revision)
    select tenant_id, user_group_id, user_id, present, revision
    from jsonb_populate_recordset(null::user_group_members, ${tx.json([...rows.values()] as never)})
    on conflict (tenant_id, user_group_id, user_id) do update
      set present = excluded.present, revision = excluded.revision where m.revision < excluded.revision`;
};

export const userGroupsProjection: Projection = {
  name: 'user-groups',
  version: 1,
  categories: ['user-group'],
  tables: [
    {
      name: 'user_groups',
      columns: `user_group_id ${key} not null, name text not null, name_key ${key} not null, description text,
        status text not null, member_count int not null, created_at ${key} not null, ${foldedColumns},
        primary key (tenant_id, user_group_id)`,
      indexes: ['(tenant_id, name_key, user_group_id)'],
    },
    {
      name: 'user_group_members',
      columns: `user_group_id ${key} not null, user_id ${key} not null, present boolean not null,
        revision bigint not null, primary key (tenant_id, user_group_id, user_id)`,
      indexes: ['(tenant_id, user_id)'],
    },
  ],
  apply: async (tx, events) => {
    await foldRows<Known>(tx, events, {
      table: 'user_groups',
      id: 'user_group_id',
      evolve,
      columns: ({ name, description, status, memberCount, createdAt }) => ({
        name,
        name_key: sortKey(name),
        description,
        status,
        member_count: memberCount,
        created_at: createdAt,
      }),
    });
    await saveMembers(tx, events);
  },
};

const columns = columnsOf<UserGroupRow>({
  userGroupId: 'g.user_group_id',
  name: 'g.name',
  description: 'g.description',
  memberCount: 'g.member_count',
  createdAt: 'g.created_at',
});

const byName = [
  { column: 'g.name_key', type: 'text' },
  { column: 'g.user_group_id', type: 'text' },
] as const;

/** One user group of the tenant; a deleted one is not found. */
export const findUserGroup = (
  sql: Sql,
  tenantId: TenantId,
  userGroupId: UserGroupId,
): Promise<UserGroupRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<UserGroupRow[]>`
      select ${tx.unsafe(columns)} from read.user_groups g
      where g.user_group_id = ${userGroupId} and g.status = 'active'`;
    return row;
  });

/** User groups by name; those whose name starts with `search` in any case. */
export const listUserGroups = (
  sql: Sql,
  tenantId: TenantId,
  filter: { readonly search?: string | undefined },
  page: PageRequest,
): Promise<Page<UserGroupRow>> =>
  asTenant(sql, tenantId, (tx) => {
    const prefix = sortKey((filter.search ?? '').trim());
    const where = [tx`g.status = 'active'`, ...(prefix === '' ? [] : [startsWith(tx, 'g.name_key', prefix)])];
    return readPage(tx, { columns, from: 'read.user_groups g', where, order: byName }, page);
  });

/** The groups that a user is in, by name. */
export const listGroupsOfUser = (
  sql: Sql,
  tenantId: TenantId,
  userId: UserId,
  page: PageRequest,
): Promise<Page<UserGroupRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.user_group_members m join read.user_groups g on g.user_group_id = m.user_group_id',
        where: [tx`m.user_id = ${userId} and m.present`, tx`g.status = 'active'`],
        order: byName,
      },
      page,
    ),
  );

/** Members in the order they were created as users, without removed ones. */
export const listMembers = (
  sql: Sql,
  tenantId: TenantId,
  userGroupId: UserGroupId,
  page: PageRequest,
): Promise<Page<UserRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns: userColumns,
        from: 'read.user_group_members m join read.users u on u.user_id = m.user_id',
        where: [tx`m.user_group_id = ${userGroupId} and m.present`, tx`u.status <> 'removed'`],
        order: [{ column: 'm.user_id', type: 'text' }],
      },
      page,
    ),
  );

/** Active members behind a user, by id, for the job that hands out codes; `limit` at most. */
export const listActiveMembersAfter = (
  sql: Sql,
  tenantId: TenantId,
  userGroupId: UserGroupId,
  afterUserId: string | null,
  limit: number,
): Promise<readonly { readonly userId: UserId; readonly email: string }[]> =>
  asTenant(
    sql,
    tenantId,
    (tx) => tx<{ userId: UserId; email: string }[]>`
      select u.user_id as "userId", u.email from read.user_group_members m
      join read.users u on u.user_id = m.user_id
      where m.user_group_id = ${userGroupId} and m.present and u.status = 'active'
        and m.user_id > ${afterUserId ?? ''}
      order by m.user_id limit ${limit}`,
  );
