/**
 * Keyset pagination: a page continues behind the last row of the one before, so page 900 costs what page 1 costs and
 * no row is seen twice when others come or go. Called by the queries in projections/<noun>.ts.
 */
import type { Fragment, PendingQuery } from 'postgres';
import { MusterError } from '../platform/errors.ts';
import type { Transaction } from '../platform/sql.ts';

/** A page of at most `first` (1 to 100) rows behind the row that `after` (a cursor of an earlier page) names. */
export interface PageRequest {
  readonly first: number;
  readonly after?: string | null | undefined;
}

/** Rows in order; `cursors[n]` continues behind `rows[n]`. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly cursors: readonly string[];
  readonly hasNextPage: boolean;
}

/** A column of the sort order; the last one of an order makes it unique. */
export interface SortColumn {
  readonly column: string;
  readonly type: 'text' | 'bigint';
}

/** Most rows in one page. */
export const maximumPage = 100;

/** SQL select list of a row type: for each of its keys the SQL expression that yields it. */
export const columnsOf = <Row>(expressions: { readonly [Key in keyof Row]-?: string }): string =>
  Object.entries<string>(expressions)
    .map(([name, expression]) => `${expression} as "${name}"`)
    .join(', ');

const encodeCursor = (keys: readonly string[]): string =>
  Buffer.from(JSON.stringify(keys)).toString('base64url');

const decodeCursor = (cursor: string, order: readonly SortColumn[]): readonly string[] => {
  const invalid = new MusterError('invalid-input', 'is not a cursor of this list', { field: 'after' });
  let keys: unknown;
  try {
    keys = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    throw invalid;
  }
  const fits =
    Array.isArray(keys) &&
    keys.length === order.length &&
    keys.every(
      (value, index) =>
        typeof value === 'string' &&
        !value.includes('\0') &&
        (order[index]?.type === 'text' || /^\d{1,18}$/.test(value)),
    );
  if (!fits) throw invalid;
  return keys as string[];
};

/** Conditions joined by `and`; without any, all rows. */
export const allOf = (tx: Transaction, conditions: readonly Fragment[]): PendingQuery<never[]> =>
  conditions.reduce<Fragment>((joined, next) => tx`${joined} and ${next}`, tx`true`);

/** Rows whose `column` starts with `prefix`, in a form that an index serves under row-level security (LIKE is not). */
export const startsWith = (tx: Transaction, column: string, prefix: string): Fragment =>
  tx`(${tx(column)} >= ${prefix} and ${tx(column)} < ${`${prefix}\u{10ffff}`})`;

/**
 * Reads one page of a view in schema `read`. A `first` outside 1 to 100 or a foreign cursor throws `invalid-input`,
 * naming the argument.
 */
export const readPage = async <Row extends object>(
  tx: Transaction,
  query: {
    /** Made by columnsOf. */
    readonly columns: string;
    /** The view, and what it joins. */
    readonly from: string;
    readonly where?: readonly Fragment[];
    /** Must be the columns of an index after tenant_id and after the columns that `where` compares by equality. */
    readonly order: readonly SortColumn[];
    readonly descending?: boolean;
  },
  page: PageRequest,
): Promise<Page<Row>> => {
  const { columns, from, where = [], order, descending = false } = query;
  const { first, after } = page;
  if (!Number.isInteger(first) || first < 1 || first > maximumPage) {
    throw new MusterError('invalid-input', `must be from 1 to ${maximumPage}`, { field: 'first' });
  }
  const conditions = [...where];
  if (after !== undefined && after !== null) {
    const keys = decodeCursor(after, order);
    const tuple = order.map(({ column }) => column).join(', ');
    const values = keys.map((value, index) =>
      order[index]?.type === 'bigint' ? tx`${value}::bigint` : tx`${value}::text`,
    );
    const last = values.reduce((joined, next) => tx`${joined}, ${next}`);
    conditions.push(tx`(${tx.unsafe(tuple)}) ${tx.unsafe(descending ? '<' : '>')} (${last})`);
  }
  const keys = order.map(({ column }) => `${column}::text`).join(', ');
  const sorted = order.map(({ column }) => `${column}${descending ? ' desc' : ''}`).join(', ');
  const found = await tx<(Row & { sortKeys: string[] })[]>`
    select ${tx.unsafe(columns)}, array[${tx.unsafe(keys)}] as "sortKeys" from ${tx.unsafe(from)}
    where ${allOf(tx, conditions)} order by ${tx.unsafe(sorted)} limit ${first + 1}`;
  const taken = found.slice(0, first);
  return {
    rows: taken.map(({ sortKeys: _, ...row }) => row as unknown as Row),
    cursors: taken.map(({ sortKeys }) => encodeCursor(sortKeys)),
    hasNextPage: found.length > first,
  };
};
