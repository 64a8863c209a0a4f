/**
 * A decider over group events that tests steer: it counts renames and can be made to wait. Called by handle.test.ts.
 */
import type { Decider } from '../../domain/decider.ts';
import {
  evolveGroup,
  type GroupEvent,
  type GroupState,
  groupEvents,
  initialGroup,
} from '../../domain/group/group.ts';
import { refuse } from '../../domain/refusals.ts';

/** Counts the events folded, whatever the group's own state. */
export interface Counted {
  readonly group: GroupState;
  readonly count: number;
}

export type CountCommand =
  /** Appends a rename whatever the state. */
  | { readonly type: 'Append'; readonly name: string }
  /** Appends only while fewer than `until` events were folded; refuses from then on. */
  | { readonly type: 'AppendUntil'; readonly until: number }
  /** Appends only while fewer than `until` events were folded; yields nothing from then on. */
  | { readonly type: 'FillUntil'; readonly until: number };

/** The decider; `evolved` is called for each event folded, to see what was read. */
export const counter = (
  evolved: () => void = () => {},
  stateVersion = 1,
): Decider<Counted, CountCommand, GroupEvent> => ({
  events: groupEvents,
  stateVersion,
  initial: { group: initialGroup, count: 0 },
  evolve: (state, fact) => {
    evolved();
    return { group: evolveGroup(state.group, fact), count: state.count + 1 };
  },
  decide: (command, state) => {
    if (command.type === 'Append') return [{ type: 'GroupRenamed', data: { name: command.name } }];
    if (state.count < command.until) return [{ type: 'GroupRenamed', data: { name: `n${state.count}` } }];
    return command.type === 'FillUntil' ? [] : refuse('name-taken');
  },
});
