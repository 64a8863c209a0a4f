/**
 * Commands and decisions of a reservation. Called through platform/handle.ts before the owner is created.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import {
  evolveReservation,
  initialReservation,
  type ReservationEvent,
  type ReservationState,
  type ReservedKind,
  reservationEvents,
} from './reservation.ts';

export type ReservationCommand =
  | {
      readonly type: 'ReserveValue';
      readonly kind: ReservedKind;
      readonly ownerId: string;
      readonly now: string;
      /** True when the present holder was never created: its creation failed after reserving. */
      readonly holderMissing: boolean;
    }
  | { readonly type: 'ReleaseReservation'; readonly ownerId: string };

/** An owner that was not created within this many ms of its reservation loses it to the next who asks. */
const abandonedAfterMs = 60_000;

/** Decides one command: `name-taken` while somebody else holds the value. */
export const decideReservation = (
  command: ReservationCommand,
  state: ReservationState,
): Decision<ReservationEvent> => {
  switch (command.type) {
    case 'ReserveValue': {
      const reserved: ReservationEvent = {
        type: 'ValueReserved',
        data: { kind: command.kind, ownerId: command.ownerId, reservedAt: command.now },
      };
      if (state.status === 'free') return [reserved];
      if (state.ownerId === command.ownerId) return [];
      const abandoned =
        command.holderMissing && Date.parse(command.now) - Date.parse(state.reservedAt) > abandonedAfterMs;
      return abandoned ? [reserved] : refuse('name-taken', { detail: `the ${command.kind} is in use` });
    }
    case 'ReleaseReservation':
      return state.status === 'held' && state.ownerId === command.ownerId
        ? [{ type: 'ReservationReleased', data: {} }]
        : [];
    default:
      return never(command);
  }
};

export const reservationDecider: Decider<ReservationState, ReservationCommand, ReservationEvent> = {
  events: reservationEvents,
  stateVersion: 1,
  initial: initialReservation,
  evolve: evolveReservation,
  decide: decideReservation,
};
