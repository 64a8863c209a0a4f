/**
 * Read model of a tenant's accounts. Called by api/graphql/account.ts and by sign-in.
 */
import {
  type AccountEvent,
  type AccountState,
  type AnyRole,
  evolveAccount,
  initialAccount,
  type Passkey,
} from '../domain/account/account.ts';
import type { Fact } from '../domain/decider.ts';
import type { AccountId, TenantId } from '../domain/ids.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** An account. Times are ISO 8601, UTC. */
export interface AccountRow {
  readonly accountId: AccountId;
  readonly email: string;
  readonly name: string;
  /** A built-in role, or the id of one of the tenant's own. */
  readonly role: AnyRole;
  readonly status: 'enabled' | 'disabled';
  /** True while the password is the one-time first password. */
  readonly mustChangePassword: boolean;
  readonly totp: boolean;
  readonly passkeys: readonly Passkey[];
  readonly createdAt: string;
}

type Existing = Exclude<AccountState, { status: 'none' }> & { readonly createdAt: string };

export const accountsProjection: Projection = {
  name: 'accounts',
  version: 3,
  categories: ['account'],
  tables: [
    {
      name: 'accounts',
      columns: `account_id ${key} not null, email ${key} not null, name text not null, name_key ${key} not null,
        role text not null, status text not null, must_change_password boolean not null,
        totp boolean not null, passkeys jsonb not null, created_at ${key} not null,
        ${foldedColumns}, primary key (tenant_id, account_id)`,
      indexes: ['(tenant_id, email)', '(tenant_id, role)', '(tenant_id, name_key, account_id)'],
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'accounts',
      id: 'account_id',
      evolve: (state, event) => ({
        ...(evolveAccount(state ?? initialAccount, factOf<Fact<AccountEvent>>(event)) as Existing),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: ({ email, name, role, status, mustChangePassword, totp, passkeys, createdAt }) => ({
        email,
        name,
        name_key: sortKey(name),
        role,
        status,
        must_change_password: mustChangePassword,
        totp,
        passkeys: [...passkeys],
        created_at: createdAt,
      }),
    }),
};

const columns = columnsOf<AccountRow>({
  accountId: 'account_id',
  email: 'email',
  name: 'name',
  role: 'role',
  status: 'status',
  mustChangePassword: 'must_change_password',
  totp: 'totp',
  passkeys: 'passkeys',
  createdAt: 'created_at',
});

/** One account of the tenant. */
export const findAccount = (
  sql: Sql,
  tenantId: TenantId,
  accountId: AccountId,
): Promise<AccountRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<AccountRow[]>`
      select ${tx.unsafe(columns)} from read.accounts where account_id = ${accountId}`;
    return row;
  });

/** The account that signs in with that address (lower-case). */
export const findAccountByEmail = (
  sql: Sql,
  tenantId: TenantId,
  email: string,
): Promise<AccountRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<AccountRow[]>`
      select ${tx.unsafe(columns)} from read.accounts where email = ${email} order by account_id limit 1`;
    return row;
  });

/** Accounts by name. */
export const listAccounts = (sql: Sql, tenantId: TenantId, page: PageRequest): Promise<Page<AccountRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.accounts',
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'account_id', type: 'text' },
        ],
      },
      page,
    ),
  );

/** How many accounts have a role. */
export const countHolders = (sql: Sql, tenantId: TenantId, role: AnyRole): Promise<number> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<{ holders: number }[]>`
      select count(*)::int as holders from read.accounts where role = ${role}`;
    return row?.holders ?? 0;
  });

/** Ids of the accounts of a role, disabled ones too. */
export const listAccountsOfRole = (
  sql: Sql,
  tenantId: TenantId,
  role: AnyRole,
): Promise<readonly AccountId[]> =>
  asTenant(sql, tenantId, async (tx) => {
    const rows = await tx<{ accountId: AccountId }[]>`
      select account_id as "accountId" from read.accounts where role = ${role} order by account_id`;
    return rows.map(({ accountId }) => accountId);
  });
