/**
 * Commands and decisions of a tenant's directory. Called through platform/handle.ts by api/graphql/directory.ts and
 * by the job that keeps users in step.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import {
  type DirectoryEvent,
  type DirectorySettings,
  type DirectoryState,
  directoryEvents,
  evolveDirectory,
  initialDirectory,
} from './directory.ts';

export type DirectoryCommand =
  | { readonly type: 'ConfigureDirectory'; readonly settings: DirectorySettings }
  | { readonly type: 'ChangeDirectoryPassword' }
  | {
      readonly type: 'RecordDirectorySync';
      readonly startedAt: string;
      readonly found: number;
      readonly updated: number;
      readonly disabled: number;
    }
  | { readonly type: 'RecordDirectorySyncFailure'; readonly startedAt: string; readonly reason: string }
  | { readonly type: 'RemoveDirectory' };

/** Decides one command: see the refusals it names. */
export const decideDirectory = (
  command: DirectoryCommand,
  state: DirectoryState,
): Decision<DirectoryEvent> => {
  if (command.type === 'ConfigureDirectory') {
    const { settings } = command;
    if (state.status === 'configured' && same(state.settings, settings)) return [];
    return [{ type: 'DirectoryConfigured', data: { settings } }];
  }
  if (command.type === 'RemoveDirectory')
    return state.status === 'none' ? [] : [{ type: 'DirectoryRemoved', data: {} }];
  if (state.status === 'none') return refuse('directory-missing');
  switch (command.type) {
    case 'ChangeDirectoryPassword':
      return [{ type: 'DirectoryPasswordChanged', data: {} }];
    case 'RecordDirectorySync': {
      const { type: _, ...data } = command;
      // A sync that began before the last one ended is a repetition of it.
      return state.lastSync !== null && state.lastSync.at >= command.startedAt
        ? []
        : [{ type: 'DirectorySynced', data }];
    }
    case 'RecordDirectorySyncFailure': {
      const { type: _, ...data } = command;
      return state.lastSync !== null && state.lastSync.at >= command.startedAt
        ? []
        : [{ type: 'DirectorySyncFailed', data }];
    }
    default:
      return never(command);
  }
};

export const directoryDecider: Decider<DirectoryState, DirectoryCommand, DirectoryEvent> = {
  events: directoryEvents,
  stateVersion: 1,
  initial: initialDirectory,
  evolve: evolveDirectory,
  decide: decideDirectory,
};
