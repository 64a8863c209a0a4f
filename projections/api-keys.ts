/**
 * Read model of a tenant's API keys. Called by api/graphql/api-key.ts.
 */
import type { Permission } from '../domain/account/permissions.ts';
import {
  type ApiKeyEvent,
  type ApiKeyState,
  evolveApiKey,
  initialApiKey,
} from '../domain/api-key/api-key.ts';
import type { Fact } from '../domain/decider.ts';
import type { ApiKeyId, TenantId } from '../domain/ids.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** An API key. Times are ISO 8601, UTC. */
export interface ApiKeyRow {
  readonly apiKeyId: ApiKeyId;
  readonly name: string;
  readonly status: 'active' | 'revoked';
  readonly permissions: readonly Permission[];
  readonly expiresAt: string;
  readonly createdAt: string;
}

/** The credential's digest is not kept here: it is checked against the aggregate. */
type Existing = Omit<Exclude<ApiKeyState, { status: 'none' }>, 'tokenHash'> & { readonly createdAt: string };

const evolve = (state: ApiKeyState, event: Fact<ApiKeyEvent>): Omit<Existing, 'createdAt'> => {
  const { tokenHash: _, ...rest } = evolveApiKey(state, event) as Exclude<ApiKeyState, { status: 'none' }>;
  return rest;
};

export const apiKeysProjection: Projection = {
  name: 'api_keys',
  version: 1,
  categories: ['api-key'],
  tables: [
    {
      name: 'api_keys',
      columns: `api_key_id ${key} not null, name text not null, name_key ${key} not null, status text not null,
        permissions jsonb not null, expires_at ${key} not null,
        created_at ${key} not null, ${foldedColumns}, primary key (tenant_id, api_key_id)`,
      indexes: ['(tenant_id, name_key, api_key_id)'],
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'api_keys',
      id: 'api_key_id',
      evolve: (state, event) => ({
        ...evolve(state ? { ...state, tokenHash: '' } : initialApiKey, factOf(event)),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: ({ name, status, permissions, expiresAt, createdAt }) => ({
        name,
        name_key: sortKey(name),
        status,
        permissions,
        expires_at: expiresAt,
        created_at: createdAt,
      }),
    }),
};

const columns = columnsOf<ApiKeyRow>({
  apiKeyId: 'api_key_id',
  name: 'name',
  status: 'status',
  permissions: 'permissions',
  expiresAt: 'expires_at',
  createdAt: 'created_at',
});

/** One API key of the tenant. */
export const findApiKey = (
  sql: Sql,
  tenantId: TenantId,
  apiKeyId: ApiKeyId,
): Promise<ApiKeyRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<ApiKeyRow[]>`
      select ${tx.unsafe(columns)} from read.api_keys where api_key_id = ${apiKeyId}`;
    return row;
  });

/** API keys by name, revoked ones too. */
export const listApiKeys = (sql: Sql, tenantId: TenantId, page: PageRequest): Promise<Page<ApiKeyRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.api_keys',
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'api_key_id', type: 'text' },
        ],
      },
      page,
    ),
  );
