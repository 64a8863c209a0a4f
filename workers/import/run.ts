/**
 * What the rows of one import are carried out with. Made by run-import.ts; used by users.ts and devices.ts.
 */
import type { ImportId } from '../../domain/ids.ts';
import type { ImportMode, RowResult } from '../../domain/import/import.ts';
import type { Refusal } from '../../domain/refusals.ts';
import type { Cause } from '../../platform/handle.ts';
import { causeOf } from '../cause.ts';
import type { Origin, Parts } from '../jobs.ts';

export interface ImportRun {
  readonly parts: Parts;
  readonly origin: Origin;
  readonly importId: ImportId;
  readonly mode: ImportMode;
  readonly requestedAt: string;
  /** Columns that the file has: a change leaves alone what it says nothing about. */
  readonly columns: ReadonlySet<string>;
  readonly jobId: string;
}

/** Rows that one import carries out at once. */
export const rowsAtOnce = 8;

/** The cause of what a row leads to: the same each time the row is carried out. */
export const rowCause = ({ jobId, origin }: ImportRun, row: number, step: string): Cause =>
  causeOf('run-import', `${jobId}.${row}.${step}`, origin);

/** What became of a row, without complaint. */
export const rowDone = (row: number, outcome: RowResult['outcome'], entityId: string): RowResult => ({
  row,
  outcome,
  entityId,
  column: null,
  code: null,
  detail: null,
});

/** A row that was refused. */
export const rowRefused = (row: number, refusal: Refusal, column: string | null = null): RowResult => ({
  row,
  outcome: 'failed',
  entityId: null,
  column,
  code: refusal.refused,
  detail: refusal.detail ?? null,
});
