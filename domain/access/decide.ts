/**
 * Commands and decisions of refused access. Called through platform/handle.ts by api/denials.ts and api/proxy/status.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import {
  type AccessEvent,
  type AccessState,
  accessEvents,
  type Denial,
  evolveAccess,
  initialAccess,
  type MailDenial,
} from './access.ts';

/** Records refusals. Those of an account are facts of their own; a report of a proxy is recorded once. */
export type AccessCommand =
  | { readonly type: 'RecordDenials'; readonly denials: readonly Denial[] }
  | {
      readonly type: 'RecordMailDenials';
      readonly denials: readonly MailDenial[];
      /** Refusals of more kinds than a proxy tells apart. */
      readonly others: number;
      readonly now: string;
      readonly reportId: string;
    };

/** Decides one command. */
export const decideAccess = (command: AccessCommand, state: AccessState): Decision<AccessEvent> => {
  switch (command.type) {
    case 'RecordDenials':
      return command.denials.map((data) => ({ type: 'AccessDenied', data }));
    case 'RecordMailDenials': {
      const { others: count, now: until, reportId } = command;
      if (state.reportId === reportId) return [];
      const denied = command.denials.map((data) => ({
        type: 'MailDenied' as const,
        data: { ...data, reportId },
      }));
      return count === 0 ? denied : [...denied, { type: 'MoreMailDenied', data: { count, until, reportId } }];
    }
    default:
      return never(command);
  }
};

export const accessDecider: Decider<AccessState, AccessCommand, AccessEvent> = {
  events: accessEvents,
  stateVersion: 2,
  initial: initialAccess,
  evolve: evolveAccess,
  decide: decideAccess,
};
