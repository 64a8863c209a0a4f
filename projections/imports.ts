/**
 * Read model of a tenant's imports and what became of each row. Called by api/graphql/import.ts and the download of
 * results.
 */
import type { Fact } from '../domain/decider.ts';
import type { ImportId, TenantId } from '../domain/ids.ts';
import {
  evolveImport,
  type ImportCounts,
  type ImportEvent,
  type ImportKind,
  type ImportMode,
  type ImportState,
  initialImport,
  type RowOutcome,
  type RowResult,
} from '../domain/import/import.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows, saveRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

/** An import. Times are ISO 8601, UTC. */
export interface ImportRow {
  readonly importId: ImportId;
  readonly kind: ImportKind;
  readonly mode: ImportMode;
  readonly fileName: string | null;
  readonly status: 'running' | 'finished' | 'abandoned';
  readonly rows: number;
  /** Rows that are done. */
  readonly done: number;
  readonly counts: ImportCounts;
  readonly requestedAt: string;
}

type Existing = Exclude<ImportState, { status: 'none' }>;

export const importsProjection: Projection = {
  name: 'imports',
  version: 1,
  categories: ['import'],
  tables: [
    {
      name: 'imports',
      columns: `import_id ${key} not null, status text not null, ${foldedColumns},
        primary key (tenant_id, import_id)`,
    },
    {
      name: 'import_rows',
      columns: `import_id ${key} not null, row_number bigint not null, outcome text not null, result jsonb not null,
        primary key (tenant_id, import_id, row_number)`,
      indexes: ['(tenant_id, import_id, outcome, row_number)'],
    },
  ],
  apply: async (tx, events) => {
    await foldRows<Existing>(tx, events, {
      table: 'imports',
      id: 'import_id',
      evolve: (state, event) =>
        evolveImport(state ?? initialImport, factOf<Fact<ImportEvent>>(event)) as Existing,
      columns: ({ status }) => ({ status }),
    });
    await saveRows(
      tx,
      'import_rows',
      ['import_id', 'row_number'],
      events
        .filter(({ type }) => type === 'ImportRowsDone')
        .flatMap(({ tenantId, entityId, data }) =>
          (data as { results: RowResult[] }).results.map((result) => ({
            tenant_id: tenantId,
            import_id: entityId,
            row_number: result.row,
            outcome: result.outcome,
            result,
          })),
        ),
    );
  },
};

const columns = columnsOf<ImportRow>({
  importId: 'import_id',
  kind: `state->>'kind'`,
  mode: `state->>'mode'`,
  fileName: `state->>'fileName'`,
  status: 'status',
  rows: `(state->>'rows')::int`,
  done: `(state->>'done')::int`,
  counts: `state->'counts'`,
  requestedAt: `state->>'requestedAt'`,
});

/** One import of the tenant. */
export const findImport = (
  sql: Sql,
  tenantId: TenantId,
  importId: ImportId,
): Promise<ImportRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<ImportRow[]>`
      select ${tx.unsafe(columns)} from read.imports where import_id = ${importId}`;
    return row;
  });

/** Imports, the newest first. */
export const listImports = (sql: Sql, tenantId: TenantId, page: PageRequest): Promise<Page<ImportRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.imports',
        order: [{ column: 'import_id', type: 'text' }],
        descending: true,
      },
      page,
    ),
  );

/** What became of the rows, in their order; of those with that outcome when one is given. */
export const listImportRows = async (
  sql: Sql,
  tenantId: TenantId,
  importId: ImportId,
  filter: { readonly outcome?: RowOutcome | undefined },
  page: PageRequest,
): Promise<Page<RowResult>> =>
  asTenant(sql, tenantId, async (tx) => {
    const found = await readPage<{ result: RowResult }>(
      tx,
      {
        columns: columnsOf<{ result: RowResult }>({ result: 'result' }),
        from: 'read.import_rows',
        where: [
          tx`import_id = ${importId}`,
          ...(filter.outcome === undefined ? [] : [tx`outcome = ${filter.outcome}`]),
        ],
        order: [{ column: 'row_number', type: 'bigint' }],
      },
      page,
    );
    return { ...found, rows: found.rows.map(({ result }) => result) };
  });
