/**
 * Commands and decisions of an import. Called through platform/handle.ts by api/graphql/import.ts and by the job
 * that works it off.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import {
  evolveImport,
  type ImportEvent,
  type ImportKind,
  type ImportMode,
  type ImportState,
  importEvents,
  initialImport,
  type RowResult,
} from './import.ts';

export type ImportCommand =
  | {
      readonly type: 'RequestImport';
      readonly kind: ImportKind;
      readonly mode: ImportMode;
      readonly fileName: string | null;
      readonly digest: string;
      readonly rows: number;
    }
  /** Rows that were recorded before are not recorded again: `from` says where these begin. */
  | { readonly type: 'RecordImportRows'; readonly from: number; readonly results: readonly RowResult[] }
  | { readonly type: 'FinishImport' }
  | { readonly type: 'AbandonImport'; readonly reason: string };

/** Decides one command: see the refusals it names. */
export const decideImport = (command: ImportCommand, state: ImportState): Decision<ImportEvent> => {
  if (command.type === 'RequestImport') {
    const { type: _, ...data } = command;
    return state.status === 'none' ? [{ type: 'ImportRequested', data }] : [];
  }
  if (state.status === 'none') return refuse('import-missing', { field: 'importId' });
  if (state.status !== 'running') return [];
  switch (command.type) {
    case 'RecordImportRows':
      if (command.from !== state.done) return [];
      return [{ type: 'ImportRowsDone', data: { from: command.from, results: [...command.results] } }];
    case 'FinishImport':
      return [{ type: 'ImportFinished', data: { counts: state.counts } }];
    case 'AbandonImport':
      return [{ type: 'ImportAbandoned', data: { reason: command.reason } }];
    default:
      return never(command);
  }
};

export const importDecider: Decider<ImportState, ImportCommand, ImportEvent> = {
  events: importEvents,
  stateVersion: 1,
  initial: initialImport,
  evolve: evolveImport,
  decide: decideImport,
};
