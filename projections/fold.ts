/**
 * Folds a batch of events into rows: one statement loads the rows it touches, the fold runs in memory, one statement
 * saves them. Each row remembers the revision it was folded to, so an event delivered twice changes nothing.
 * Called by `apply` of projections/<noun>.ts.
 */
import type { StoredEvent } from '../platform/event-store.ts';
import type { Transaction } from '../platform/sql.ts';

/** Columns of every table that is folded here. */
export const foldedColumns = 'revision bigint not null, state jsonb not null';

/** A row in JSON: keys are column names, bigints are strings. */
export type JsonRow = Readonly<Record<string, unknown>>;

/** One entity of a batch: its state before and after, and the events between. */
export interface FoldedEntity<State> {
  readonly tenantId: string;
  readonly keys: readonly string[];
  readonly before: State | undefined;
  readonly state: State;
  readonly last: StoredEvent;
}

export interface Fold<State> {
  readonly table: string;
  /** Key columns after tenant_id, and their values for an event. */
  readonly keys: readonly string[];
  readonly keysOf: (event: StoredEvent) => readonly string[];
  /** Folds one event; `undefined` is the state of a row that does not exist yet. */
  readonly evolve: (state: State | undefined, event: StoredEvent) => State;
}

const load = async <State>(
  tx: Transaction,
  { table, keys }: Pick<Fold<State>, 'table' | 'keys'>,
  wanted: readonly (readonly string[])[],
): Promise<Map<string, { revision: bigint; state: State }>> => {
  const columns = ['tenant_id', ...keys];
  const sought = wanted.map((values) =>
    Object.fromEntries(columns.map((column, index) => [column, values[index]])),
  );
  const shown = columns.map((column) => `t.${column}`).join(', ');
  const typed = columns.map((column) => `${column} text`).join(', ');
  const matching = columns.map((column) => `t.${column} = k.${column}`).join(' and ');
  const found = await tx<{ keys: string[]; revision: bigint; state: State }[]>`
    select array[${tx.unsafe(shown)}]::text[] as keys, t.revision, t.state
    from jsonb_to_recordset(${tx.json(sought as never)}) as k(${tx.unsafe(typed)})
    join ${tx(table)} t on ${tx.unsafe(matching)}`;
  return new Map(found.map((row) => [row.keys.join('/'), { revision: row.revision, state: row.state }]));
};

/** Folds the events that the rows do not know yet; rows that nothing new touches are left out. */
export const foldEntities = async <State>(
  tx: Transaction,
  events: readonly StoredEvent[],
  fold: Fold<State>,
): Promise<FoldedEntity<State>[]> => {
  const batches = new Map<string, { keys: readonly string[]; events: StoredEvent[] }>();
  for (const event of events) {
    const keys = [event.tenantId, ...fold.keysOf(event)];
    const id = keys.join('/');
    const batch = batches.get(id) ?? { keys, events: [] };
    if (batch.events.length === 0) batches.set(id, batch);
    batch.events.push(event);
  }
  if (batches.size === 0) return [];
  const known = await load<State>(
    tx,
    fold,
    [...batches.values()].map(({ keys }) => keys),
  );
  const folded: FoldedEntity<State>[] = [];
  for (const [id, batch] of batches) {
    const row = known.get(id);
    const fresh = batch.events.filter(({ revision }) => revision > (row?.revision ?? -1n));
    const last = fresh.at(-1);
    if (!last) continue;
    const state = fresh.reduce<State | undefined>(fold.evolve, row?.state) as State;
    const [tenantId = '', ...keys] = batch.keys;
    folded.push({ tenantId, keys, before: row?.state, state, last });
  }
  return folded;
};

/** Inserts rows, or overwrites those with the same tenant and `keys`; of equals the last one counts. Every row has the same columns. */
export const saveRows = async (
  tx: Transaction,
  table: string,
  keys: readonly string[],
  rows: readonly JsonRow[],
): Promise<void> => {
  const [first] = rows;
  if (!first) return;
  const columns = Object.keys(first);
  const own = ['tenant_id', ...keys];
  const changes = columns.filter((column) => !own.includes(column));
  const distinct = new Map(rows.map((row) => [own.map((column) => row[column]).join('/'), row]));
  await tx`
    insert into ${tx(table)} (${tx(columns)})
    select ${tx(columns)} from jsonb_populate_recordset(null::${tx(table)}, ${tx.json([...distinct.values()] as never)})
    on conflict (${tx(own)}) do ${
      changes.length === 0
        ? tx`nothing`
        : tx`update set ${tx.unsafe(changes.map((column) => `${column} = excluded.${column}`).join(', '))}`
    }`;
};

/** Folds events by aggregate into one row each; `columns` derives what queries filter, sort and show. */
export const foldRows = async <State>(
  tx: Transaction,
  events: readonly StoredEvent[],
  spec: {
    readonly table: string;
    /** Column of the aggregate's id; none when the aggregate is the tenant. */
    readonly id?: string;
    readonly evolve: Fold<State>['evolve'];
    readonly columns: (state: State, last: StoredEvent) => JsonRow;
  },
): Promise<void> => {
  const { table, id, evolve, columns } = spec;
  const keys = id === undefined ? [] : [id];
  const folded = await foldEntities(tx, events, {
    table,
    keys,
    keysOf: ({ entityId }) => (id === undefined ? [] : [entityId]),
    evolve,
  });
  await saveRows(
    tx,
    table,
    keys,
    folded.map(({ tenantId, keys: [entityId], state, last }) => ({
      tenant_id: tenantId,
      ...(id !== undefined && { [id]: entityId }),
      revision: last.revision.toString(),
      state,
      ...columns(state, last),
    })),
  );
};

/** A stored event as the domain folds it. */
export const factOf = <Fact>({ type, data, at }: StoredEvent): Fact => ({ type, data, at }) as Fact;
