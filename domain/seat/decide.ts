/**
 * Commands and decisions of a tenant's seats. Called through platform/handle.ts by api/device/enrol.ts before a device
 * enrols, and by workers/release-seat.ts and workers/review-seats.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import type { DeviceId, EnrolmentId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import { findIn } from '../shards.ts';
import {
  devicesOf,
  evolveSeats,
  initialSeats,
  type Seat,
  type SeatEvent,
  type SeatState,
  seatEvents,
} from './seat.ts';

export type SeatCommand =
  | {
      readonly type: 'TakeSeat';
      readonly now: string;
      readonly deviceId: DeviceId;
      readonly userEmail: string | null;
      readonly enrolmentId: EnrolmentId;
      /** Seats of the tenant; null when the device is enrolled already and is only to be counted. */
      readonly allotted: number | null;
    }
  /** That enrolment of the device has ended. A seat taken for a later one stays. */
  | { readonly type: 'ReleaseSeat'; readonly deviceId: DeviceId; readonly enrolmentId: EnrolmentId }
  /** That enrolment of the device never happened: its request was cut short. */
  | {
      readonly type: 'AbandonSeat';
      readonly now: string;
      readonly deviceId: DeviceId;
      readonly enrolmentId: EnrolmentId;
    };

/** A repeated request renews a seat that is older, so that it is not abandoned under it. */
const renewedAfterMs = 5 * 60_000;
/** Longer than any request lasts after it has taken or renewed a seat. */
export const abandonedAfterMs = 2 * renewedAfterMs;

const ageMs = ({ takenAt }: Seat, now: string): number => Date.parse(now) - Date.parse(takenAt);

/** Takes a seat, or refuses `seats-exhausted` when the holder has none and none is left. */
const take = (
  { now, deviceId, userEmail, enrolmentId, allotted }: SeatCommand & { type: 'TakeSeat' },
  state: SeatState,
): Decision<SeatEvent> => {
  const holder = userEmail ?? deviceId;
  const held = findIn(state.devices, deviceId);
  const moves = held !== undefined && held.holder !== holder;
  if (held && !moves && held.enrolmentId === enrolmentId && ageMs(held, now) < renewedAfterMs) return [];
  const freed = moves && devicesOf(state, held.holder) === 1 ? 1 : 0;
  const added = devicesOf(state, holder) === 0 ? 1 : 0;
  const taken = state.taken - freed + added;
  if (added === 1 && allotted !== null && taken > allotted)
    return refuse('seats-exhausted', { detail: `${state.taken} of ${allotted} are in use` });
  return [{ type: 'SeatTaken', data: { holder, deviceId, enrolmentId, taken } }];
};

const release = (deviceId: DeviceId, { holder }: Seat, state: SeatState): SeatEvent[] => {
  const taken = state.taken - (devicesOf(state, holder) === 1 ? 1 : 0);
  return [{ type: 'SeatReleased', data: { holder, deviceId, taken } }];
};

/** Decides one command: see the refusals it names. */
export const decideSeat = (command: SeatCommand, state: SeatState): Decision<SeatEvent> => {
  if (command.type === 'TakeSeat') return take(command, state);
  const { deviceId, enrolmentId } = command;
  const held = findIn(state.devices, deviceId);
  if (held?.enrolmentId !== enrolmentId) return [];
  switch (command.type) {
    case 'ReleaseSeat':
      return release(deviceId, held, state);
    case 'AbandonSeat':
      return ageMs(held, command.now) < abandonedAfterMs ? [] : release(deviceId, held, state);
    default:
      return never(command);
  }
};

export const seatDecider: Decider<SeatState, SeatCommand, SeatEvent> = {
  events: seatEvents,
  stateVersion: 1,
  // The state of a large tenant is megabytes.
  snapshotEvery: 2000,
  initial: initialSeats,
  evolve: evolveSeats,
  decide: decideSeat,
};
