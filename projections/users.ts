/**
 * Read model of a tenant's users. Called by api/graphql/user.ts, by exports, imports and the directory's sync;
 * devices are linked by the user's address (devices.ts).
 */
import type { Fragment } from 'postgres';
import type { Fact } from '../domain/decider.ts';
import type { TenantId, UserId } from '../domain/ids.ts';
import {
  evolveUser,
  initialUser,
  type UserEvent,
  type UserSource,
  type UserState,
} from '../domain/user/user.ts';
import { asTenant, type Sql, type Transaction } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage, startsWith } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** A user who was not removed. Times are ISO 8601, UTC. */
export interface UserRow {
  readonly userId: UserId;
  readonly email: string;
  readonly name: string;
  readonly externalId: string | null;
  readonly department: string | null;
  readonly phone: string | null;
  readonly source: UserSource;
  readonly status: 'active' | 'disabled';
  /** Devices that name the user and are not unenrolled. */
  readonly deviceCount: number;
  readonly createdAt: string;
}

type Existing = Exclude<UserState, { status: 'none' }> & { readonly createdAt: string };

export const usersProjection: Projection = {
  name: 'users',
  version: 1,
  categories: ['user'],
  tables: [
    {
      name: 'users',
      columns: `user_id ${key} not null, email ${key} not null, email_key ${key} not null, name text not null,
        name_key ${key} not null, external_key ${key}, status text not null, source_guid ${key},
        created_at ${key} not null, ${foldedColumns}, primary key (tenant_id, user_id)`,
      indexes: [
        '(tenant_id, name_key, user_id)',
        '(tenant_id, email_key)',
        '(tenant_id, external_key)',
        '(tenant_id, source_guid)',
      ],
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'users',
      id: 'user_id',
      evolve: (state, event) => ({
        ...(evolveUser(state ?? initialUser, factOf<Fact<UserEvent>>(event)) as Existing),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: ({ email, name, externalId, status, source, createdAt }) => ({
        email,
        email_key: sortKey(email),
        name,
        name_key: sortKey(name),
        external_key: externalId === null ? null : sortKey(externalId),
        status,
        source_guid: source.kind === 'ldap' ? source.guid : null,
        created_at: createdAt,
      }),
    }),
};

const columns = columnsOf<UserRow>({
  userId: 'u.user_id',
  email: 'u.email',
  name: 'u.name',
  externalId: `u.state->>'externalId'`,
  department: `u.state->>'department'`,
  phone: `u.state->>'phone'`,
  source: `u.state->'source'`,
  status: 'u.status',
  deviceCount: `(select count(*)::int from read.devices d
    where d.user_key = u.email_key and d.status <> 'unenrolled')`,
  createdAt: 'u.created_at',
});

/** Which users; every condition given must hold. */
export interface UserFilter {
  readonly status?: UserRow['status'] | undefined;
  /** Start of the name, the address or the external id, in any case. */
  readonly search?: string | undefined;
}

const conditionsOf = (tx: Transaction, { status, search }: UserFilter): Fragment[] => {
  const prefix = sortKey((search ?? '').trim());
  return [
    status === undefined ? tx`u.status <> 'removed'` : tx`u.status = ${status}`,
    ...(prefix === ''
      ? []
      : [
          tx`(${startsWith(tx, 'u.name_key', prefix)} or ${startsWith(tx, 'u.email_key', prefix)}
            or ${startsWith(tx, 'u.external_key', prefix)})`,
        ]),
  ];
};

const byName = [
  { column: 'u.name_key', type: 'text' },
  { column: 'u.user_id', type: 'text' },
] as const;

/** One user of the tenant; a removed one is not found. */
export const findUser = (sql: Sql, tenantId: TenantId, userId: UserId): Promise<UserRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<UserRow[]>`
      select ${tx.unsafe(columns)} from read.users u where u.user_id = ${userId} and u.status <> 'removed'`;
    return row;
  });

/** The user of that address. */
export const findUserByEmail = (sql: Sql, tenantId: TenantId, email: string): Promise<UserRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<UserRow[]>`
      select ${tx.unsafe(columns)} from read.users u
      where u.email_key = ${sortKey(email)} and u.status <> 'removed' order by u.user_id limit 1`;
    return row;
  });

/** The user that came from that entry of the directory. */
export const findUserByGuid = (sql: Sql, tenantId: TenantId, guid: string): Promise<UserRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<UserRow[]>`
      select ${tx.unsafe(columns)} from read.users u
      where u.source_guid = ${guid} and u.status <> 'removed' order by u.user_id limit 1`;
    return row;
  });

/** Of those addresses (lower-case), the ones that users have, with their ids. */
export const findUsersByEmail = async (
  sql: Sql,
  tenantId: TenantId,
  emails: readonly string[],
): Promise<ReadonlyMap<string, UserId>> =>
  asTenant(sql, tenantId, async (tx) => {
    const rows = await tx<{ email: string; userId: UserId }[]>`
      select email, user_id as "userId" from read.users
      where email_key = any(${emails.map(sortKey)}) and status <> 'removed'`;
    return new Map(rows.map(({ email, userId }) => [email, userId]));
  });

/** Users by name. */
export const listUsers = (
  sql: Sql,
  tenantId: TenantId,
  filter: UserFilter,
  page: PageRequest,
): Promise<Page<UserRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(tx, { columns, from: 'read.users u', where: conditionsOf(tx, filter), order: byName }, page),
  );

/** Users that came from the directory, by id, for its sync. */
export const listDirectoryUsers = (sql: Sql, tenantId: TenantId, page: PageRequest): Promise<Page<UserRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.users u',
        where: [tx`u.source_guid is not null`, tx`u.status <> 'removed'`],
        order: [{ column: 'u.user_id', type: 'text' }],
      },
      page,
    ),
  );

/** The columns of a user where `read.users` is named `u`, for queries that join it. */
export const userColumns = columns;
