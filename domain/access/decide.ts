/**
 * Commands and decisions of refused access. Called through platform/handle.ts by api/denials.ts.
 */
import type { Decider, Decision } from '../decider.ts';
import {
  type AccessEvent,
  type AccessState,
  accessEvents,
  type Denial,
  evolveAccess,
  initialAccess,
} from './access.ts';

/** Records refusals; each is a fact of its own, so nothing is a repetition. */
export interface AccessCommand {
  readonly type: 'RecordDenials';
  readonly denials: readonly Denial[];
}

/** Decides one command. */
export const decideAccess = ({ denials }: AccessCommand): Decision<AccessEvent> =>
  denials.map((data) => ({ type: 'AccessDenied', data }));

export const accessDecider: Decider<AccessState, AccessCommand, AccessEvent> = {
  events: accessEvents,
  stateVersion: 1,
  initial: initialAccess,
  evolve: evolveAccess,
  decide: decideAccess,
};
