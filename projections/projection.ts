/**
 * The contract of a projection: tables folded from the log, under a version that changes with their shape.
 * Implemented by projections/<noun>.ts, listed in index.ts, run by run.ts.
 */
import type { StoredEvent } from '../platform/event-store.ts';
import type { Transaction } from '../platform/sql.ts';

/** What the operator role may see of a table across tenants: nothing but these columns, under this view. */
export interface OperatorView {
  readonly view: string;
  readonly columns: readonly string[];
}

/** One table. A `tenant_id` column comes first and row-level security is put on it, always. */
export interface Table {
  /** Unique among all projections: it is the name of the view in schema `read` too. */
  readonly name: string;
  /** SQL of the columns after `tenant_id`, and of constraints. */
  readonly columns: string;
  /** SQL of each index: what follows `create index on <table>`. */
  readonly indexes?: readonly string[];
  readonly operator?: OperatorView;
}

/**
 * A projection. `version` goes up with any change of its tables or of what `apply` makes of events: the new version
 * is replayed into tables of its own beside the live ones, which are dropped once it has caught up.
 */
export interface Projection {
  readonly name: string;
  readonly version: number;
  /** Stream categories whose events it wants. */
  readonly categories: readonly string[];
  readonly tables: readonly Table[];
  /**
   * Applies a batch, in log order, in a transaction whose search path leads to the projection's tables. Events that
   * it applied before must change nothing.
   */
  readonly apply: (tx: Transaction, events: readonly StoredEvent[]) => Promise<void>;
}

/** Schema of one version of a projection: `devices_v1`. */
export const schemaOf = ({ name, version }: Pick<Projection, 'name' | 'version'>): string =>
  `${name.replaceAll('-', '_')}_v${version}`;

/** SQL type of ids, times (ISO 8601, UTC) and sort keys: compared byte by byte, so that pages never depend on a locale. */
export const key = 'text collate "C"';

/** The form of a name by which rows are sorted and searched. */
export const sortKey = (name: string): string => name.normalize('NFC').toLowerCase();
