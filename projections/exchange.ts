/**
 * Read model of Exchange connections: when each is to be compared next, so that one job finds those that are due.
 * Called by workers/review-exchange.ts; settings and outcomes are read from the write side.
 */
import type { Fact } from '../domain/decider.ts';
import {
  type ExchangeEvent,
  type ExchangeState,
  evolveExchange,
  initialExchange,
} from '../domain/exchange/exchange.ts';
import type { TenantId } from '../domain/ids.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import type { Sql } from '../platform/sql.ts';
import { factOf, foldEntities, foldedColumns, saveRows } from './fold.ts';
import { asOperator } from './operator.ts';
import { key, type Projection } from './projection.ts';

/** What devices were switched to is left to the write side: here only what tells the next comparison. */
const timing = (state: ExchangeState): ExchangeState => ({
  connections: Object.fromEntries(
    Object.entries(state.connections).map(([name, connection]) => [
      name,
      { ...connection, last: null, bound: {}, switched: {}, failing: {} },
    ]),
  ),
});

const timed = new Set([
  'ExchangeConfigured',
  'ExchangeSecretChanged',
  'ExchangeReconciled',
  'ExchangeReconciliationFailed',
  'ExchangeConnectionRemoved',
]);

const evolve = (state: ExchangeState = initialExchange, event: StoredEvent): ExchangeState =>
  timing(evolveExchange(state, factOf<Fact<ExchangeEvent>>(event)));

const nameOf = ({ data }: StoredEvent): string => (data as { readonly name: string }).name;

export const exchangeProjection: Projection = {
  name: 'exchange',
  version: 1,
  categories: ['exchange'],
  tables: [
    {
      name: 'exchange_connections',
      columns: `name ${key} not null, due_at ${key}, ${foldedColumns}, primary key (tenant_id, name)`,
      indexes: ['(due_at, tenant_id, name) where due_at is not null'],
      operator: { view: 'exchange_reconciliations', columns: ['tenant_id', 'name', 'due_at'] },
    },
  ],
  async apply(tx, events) {
    const folded = await foldEntities<ExchangeState>(
      tx,
      events.filter(({ type }) => timed.has(type)),
      { table: 'exchange_connections', keys: ['name'], keysOf: (event) => [nameOf(event)], evolve },
    );
    await saveRows(
      tx,
      'exchange_connections',
      ['name'],
      folded.map(({ tenantId, keys: [name = ''], state, last }) => ({
        tenant_id: tenantId,
        name,
        due_at: state.connections[name]?.dueAt ?? null,
        revision: last.revision.toString(),
        state,
      })),
    );
  },
};

/** A connection whose mailboxes are to be compared. */
export interface DueExchange {
  readonly tenantId: TenantId;
  readonly name: string;
  readonly dueAt: string;
}

/** Across tenants, for the scheduled job: connections due at `now` (ISO 8601, UTC), the longest due first. */
export const listDueExchanges = (sql: Sql, now: string, limit: number): Promise<readonly DueExchange[]> =>
  asOperator(
    sql,
    (tx) => tx<DueExchange[]>`
      select tenant_id as "tenantId", name, due_at as "dueAt" from read.exchange_reconciliations
      where due_at <= ${now} order by due_at, tenant_id, name limit ${limit}`,
  );
