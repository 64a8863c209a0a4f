/**
 * Read model of a tenant's registered EAS proxies. Called by api/graphql/proxy.ts.
 */
import type { Fact } from '../domain/decider.ts';
import type { ProxyId, TenantId } from '../domain/ids.ts';
import { evolveProxy, initialProxy, type ProxyEvent, type ProxyState } from '../domain/proxy/proxy.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** A registered proxy. Times are ISO 8601, UTC. */
export interface ProxyRow {
  readonly proxyId: ProxyId;
  readonly name: string;
  readonly status: 'active' | 'revoked';
  readonly certificateSha256: string | null;
  readonly verifiesServer: boolean | null;
  readonly createdAt: string;
}

type Existing = Exclude<ProxyState, { status: 'none' }> & { readonly createdAt: string };

const evolve = (state: ProxyState, event: Fact<ProxyEvent>): Exclude<ProxyState, { status: 'none' }> =>
  evolveProxy(state, event) as Exclude<ProxyState, { status: 'none' }>;

export const proxiesProjection: Projection = {
  name: 'proxies',
  version: 2,
  categories: ['proxy'],
  tables: [
    {
      name: 'proxies',
      columns: `proxy_id ${key} not null, name text not null, name_key ${key} not null, status text not null,
        certificate_sha256 text, verifies_server boolean,
        created_at ${key} not null, ${foldedColumns}, primary key (tenant_id, proxy_id)`,
      indexes: ['(tenant_id, name_key, proxy_id)'],
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'proxies',
      id: 'proxy_id',
      evolve: (state, event) => ({
        ...evolve(state ?? initialProxy, factOf(event)),
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: ({ name, status, certificateSha256, verifiesServer, createdAt }) => ({
        name,
        name_key: sortKey(name),
        status,
        certificate_sha256: certificateSha256,
        verifies_server: verifiesServer,
        created_at: createdAt,
      }),
    }),
};

const columns = columnsOf<ProxyRow>({
  proxyId: 'proxy_id',
  name: 'name',
  status: 'status',
  certificateSha256: 'certificate_sha256',
  verifiesServer: 'verifies_server',
  createdAt: 'created_at',
});

/** One proxy of the tenant. */
export const findProxy = (sql: Sql, tenantId: TenantId, proxyId: ProxyId): Promise<ProxyRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<ProxyRow[]>`
      select ${tx.unsafe(columns)} from read.proxies where proxy_id = ${proxyId}`;
    return row;
  });

/** Proxies by name. */
export const listProxies = (sql: Sql, tenantId: TenantId, page: PageRequest): Promise<Page<ProxyRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.proxies',
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'proxy_id', type: 'text' },
        ],
      },
      page,
    ),
  );
