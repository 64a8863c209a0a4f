/**
 * Commands and decisions of a handout of enrolment codes. Called through platform/handle.ts by
 * api/graphql/handout.ts and by the job that makes the codes.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import {
  evolveHandout,
  type HandoutEvent,
  type HandoutState,
  handoutEvents,
  type IssuedCode,
  initialHandout,
} from './handout.ts';

type Requested = Extract<HandoutEvent, { type: 'HandoutRequested' }>['data'];

export type HandoutCommand =
  | ({ readonly type: 'RequestHandout' } & Requested)
  | { readonly type: 'RecordHandoutCodes'; readonly from: number; readonly codes: readonly IssuedCode[] }
  | { readonly type: 'FinishHandout' };

/** Decides one command: see the refusals it names. */
export const decideHandout = (command: HandoutCommand, state: HandoutState): Decision<HandoutEvent> => {
  if (command.type === 'RequestHandout') {
    const { type: _, ...data } = command;
    return state.status === 'none' ? [{ type: 'HandoutRequested', data }] : [];
  }
  if (state.status === 'none') return refuse('handout-missing', { field: 'handoutId' });
  if (state.status === 'finished') return [];
  switch (command.type) {
    case 'RecordHandoutCodes':
      if (command.from !== state.issued) return [];
      return [{ type: 'HandoutCodesIssued', data: { from: command.from, codes: [...command.codes] } }];
    case 'FinishHandout':
      return [{ type: 'HandoutFinished', data: {} }];
    default:
      return never(command);
  }
};

export const handoutDecider: Decider<HandoutState, HandoutCommand, HandoutEvent> = {
  events: handoutEvents,
  stateVersion: 1,
  initial: initialHandout,
  evolve: evolveHandout,
  decide: decideHandout,
};
