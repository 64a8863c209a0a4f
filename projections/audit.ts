/**
 * Read model of a tenant's history: every event as a row, without secrets. It is the audit trail.
 * Called by api/graphql/audit.ts and api/events/feed.ts.
 */
import { categories } from '../domain/events.ts';
import type { TenantId } from '../domain/ids.ts';
import { operatorTenantId } from '../domain/tenant/tenant.ts';
import type { Actor, StoredEvent } from '../platform/event-store.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { saveRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

/** One event of the tenant. `at` is ISO 8601, UTC. */
export interface AuditRow {
  /** Place in the log. */
  readonly position: bigint;
  readonly at: string;
  readonly actor: Actor;
  /** Kind of what it happened to: `device`, `policy`, … */
  readonly category: string;
  readonly entityId: string;
  /** Type of the event, such as `DeviceEnrolled`. */
  readonly type: string;
  /** Ties together all events that one request led to. */
  readonly correlationId: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Keys whose values must not be shown: digests of credentials, push tokens, and what repeats an enrolment. */
const secrets = new Set(['tokenHash', 'codeHash', 'token', 'requestId']);

const withoutSecrets = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !secrets.has(name))
      .map(([name, inner]) => [name, withoutSecrets(inner)]),
  );
};

/** An event as the audit trail shows it: the same shape for rows read later and for events as they happen. */
export const auditRowOf = ({
  position,
  at,
  metadata,
  category,
  entityId,
  type,
  data,
}: StoredEvent): AuditRow => ({
  position,
  at,
  actor: metadata.actor,
  category,
  entityId,
  type,
  correlationId: metadata.$correlationId,
  data: withoutSecrets(data) as AuditRow['data'],
});

/**
 * The rows that an event makes. What support does within a tenant is in the operator's trail too: which tenant, what
 * and when, but nothing of what is in it.
 */
const rowsOf = (event: StoredEvent) => {
  const { position, at, actor, category, entityId, type, correlationId, data } = auditRowOf(event);
  const row = {
    tenant_id: event.tenantId as string,
    at,
    position: position.toString(),
    actor_kind: actor.kind,
    actor_id: actor.id,
    support: actor.support === true,
    category,
    entity_id: entityId,
    type,
    correlation_id: correlationId,
    data,
  };
  if (!row.support) return [row];
  return [row, { ...row, tenant_id: operatorTenantId as string, data: { tenantId: event.tenantId } }];
};

export const auditProjection: Projection = {
  name: 'audit',
  version: 2,
  categories,
  tables: [
    {
      name: 'audit',
      columns: `at ${key} not null, position bigint not null, actor_kind text not null, actor_id ${key} not null,
        support boolean not null,
        category text not null, entity_id ${key} not null, type ${key} not null, correlation_id text not null,
        data jsonb not null, primary key (tenant_id, at, position)`,
      indexes: [
        '(tenant_id, entity_id, at, position)',
        '(tenant_id, actor_id, at, position)',
        '(tenant_id, type, at, position)',
      ],
    },
  ],
  apply: (tx, events) => saveRows(tx, 'audit', ['at', 'position'], events.flatMap(rowsOf)),
};

const columns = columnsOf<AuditRow>({
  position: 'position',
  at: 'at',
  actor: `jsonb_build_object('kind', actor_kind, 'id', actor_id)
    || case when support then '{"support": true}' else '{}' end::jsonb`,
  category: 'category',
  entityId: 'entity_id',
  type: 'type',
  correlationId: 'correlation_id',
  data: 'data',
});

/** Which events; every condition given must hold. Times are ISO 8601, UTC, with milliseconds. */
export interface AuditFilter {
  readonly entityId?: string | undefined;
  readonly actorId?: string | undefined;
  readonly type?: string | undefined;
  /** The first moment that counts. */
  readonly from?: string | undefined;
  /** The first moment that no longer counts. */
  readonly until?: string | undefined;
}

/** The tenant's history, the latest event first. */
export const listAudit = (
  sql: Sql,
  tenantId: TenantId,
  filter: AuditFilter,
  page: PageRequest,
): Promise<Page<AuditRow>> =>
  asTenant(sql, tenantId, (tx) => {
    const { entityId, actorId, type, from, until } = filter;
    return readPage(
      tx,
      {
        columns,
        from: 'read.audit',
        where: [
          ...(entityId === undefined ? [] : [tx`entity_id = ${entityId}`]),
          ...(actorId === undefined ? [] : [tx`actor_id = ${actorId}`]),
          ...(type === undefined ? [] : [tx`type = ${type}`]),
          ...(from === undefined ? [] : [tx`at >= ${from}`]),
          ...(until === undefined ? [] : [tx`at < ${until}`]),
        ],
        order: [
          { column: 'at', type: 'text' },
          { column: 'position', type: 'bigint' },
        ],
        descending: true,
      },
      page,
    );
  });

/** Every stream of the tenant that something happened in, by entity: those after `after`, `limit` of them, or a few more that share the last entity. */
export const listStreams = (
  sql: Sql,
  tenantId: TenantId,
  after: string,
  limit: number,
): Promise<readonly { readonly category: string; readonly entityId: string }[]> =>
  asTenant(
    sql,
    tenantId,
    (tx) => tx<{ category: string; entityId: string }[]>`
      select distinct category, entity_id as "entityId" from read.audit
      where entity_id > ${after} order by entity_id
      fetch first ${limit} rows with ties`,
  );
