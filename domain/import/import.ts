/**
 * Facts and state of an import: a file of users or devices that is worked off row by row, each with its result. The
 * file itself is kept outside the log until then. Decided by decide.ts; read by projections/imports.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { digest } from '../proxy/proxy.ts';
import { line } from '../text.ts';

export const importKind = z.enum(['users', 'devices']);
export type ImportKind = z.infer<typeof importKind>;

/** What becomes of a row about something that exists already: it fails, is carried out as a change, or is left. */
export const importMode = z.enum(['create', 'update', 'skip']);
export type ImportMode = z.infer<typeof importMode>;

export const rowOutcome = z.enum(['created', 'updated', 'skipped', 'failed']);
export type RowOutcome = z.infer<typeof rowOutcome>;

/** Rows whose results one event holds at most. */
export const mostRowsPerEvent = 200;
/** Rows of one file at most. */
export const mostRows = 20_000;

/** What became of one row. `row` is the line of the table, the header being 1; `code` is of the catalogue of errors. */
export const rowResult = z.strictObject({
  row: z.int().min(2),
  outcome: rowOutcome,
  entityId: line(64).nullable(),
  column: line(64).nullable(),
  code: line(64).nullable(),
  detail: line(500).nullable(),
});
export type RowResult = z.infer<typeof rowResult>;

const count = z.int().min(0);
const counts = z.strictObject({ created: count, updated: count, skipped: count, failed: count });
export type ImportCounts = z.infer<typeof counts>;

export const importEvents = defineEvents('import', {
  /** `digest`: SHA-256 of the file. */
  ImportRequested: z.strictObject({
    kind: importKind,
    mode: importMode,
    fileName: line(200).nullable(),
    digest,
    rows: z.int().min(0).max(mostRows),
  }),
  /** `from`: how many rows were done before. */
  ImportRowsDone: z.strictObject({ from: count, results: z.array(rowResult).min(1).max(mostRowsPerEvent) }),
  ImportFinished: z.strictObject({ counts }),
  ImportAbandoned: z.strictObject({ reason: line(200) }),
});

export type ImportEvent = EventOf<typeof importEvents>;

export type ImportState =
  | { readonly status: 'none' }
  | {
      readonly status: 'running' | 'finished' | 'abandoned';
      readonly kind: ImportKind;
      readonly mode: ImportMode;
      readonly fileName: string | null;
      readonly digest: string;
      readonly rows: number;
      readonly done: number;
      readonly counts: ImportCounts;
      readonly requestedAt: string;
    };

export const initialImport: ImportState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveImport = (state: ImportState, { type, data, at }: Fact<ImportEvent>): ImportState => {
  if (type === 'ImportRequested') {
    const none = { created: 0, updated: 0, skipped: 0, failed: 0 };
    return { status: 'running', done: 0, counts: none, requestedAt: at, ...data };
  }
  if (state.status === 'none') return state;
  switch (type) {
    case 'ImportRowsDone': {
      const counted = { ...state.counts };
      for (const { outcome } of data.results) counted[outcome] += 1;
      return { ...state, done: state.done + data.results.length, counts: counted };
    }
    case 'ImportFinished':
      return { ...state, status: 'finished' };
    case 'ImportAbandoned':
      return { ...state, status: 'abandoned' };
    default:
      return never(type);
  }
};
