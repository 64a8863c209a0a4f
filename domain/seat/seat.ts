/**
 * Facts and state of a tenant's seats: who takes one, and for which devices. A user with any number of devices takes
 * one seat; a device without a user takes one of its own. One ledger per tenant, under the tenant's id.
 * Decided by decide.ts beside this file; read by projections/licence.ts. Check-ins never load it.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { type DeviceId, deviceId, type EnrolmentId, enrolmentId } from '../ids.ts';
import { dropFrom, findIn, putInto, type Shards } from '../shards.ts';
import { email } from '../text.ts';

/** The user by e-mail, or the device that has none. */
export const holder = z.union([email, deviceId]);

/** Seats in use after the event. */
const taken = z.int().min(0);

export const seatEvents = defineEvents('seat', {
  /** For an enrolment of the device; in place of the device's earlier seat if it had one. */
  SeatTaken: z.strictObject({ holder, deviceId, enrolmentId, taken }),
  SeatReleased: z.strictObject({ holder, deviceId, taken }),
});

export type SeatEvent = EventOf<typeof seatEvents>;

/** What a device has of a seat. */
export interface Seat {
  readonly holder: string;
  /** The enrolment it was taken for. */
  readonly enrolmentId: EnrolmentId;
  /** ISO 8601, UTC. */
  readonly takenAt: string;
}

/** Of up to hundreds of thousands of devices: both maps change in place of one shard at a time. */
export interface SeatState {
  /** Seats in use: holders with at least one device. */
  readonly taken: number;
  readonly devices: Shards<Seat>;
  /** Devices of each holder. */
  readonly holders: Shards<number>;
}

export const initialSeats: SeatState = { taken: 0, devices: [], holders: [] };

/** Devices of a holder. */
export const devicesOf = ({ holders }: SeatState, holder: string): number => findIn(holders, holder) ?? 0;

const without = (state: SeatState, id: DeviceId): SeatState => {
  const seat = findIn(state.devices, id);
  if (!seat) return state;
  const left = devicesOf(state, seat.holder) - 1;
  return {
    ...state,
    devices: dropFrom(state.devices, id),
    holders: left === 0 ? dropFrom(state.holders, seat.holder) : putInto(state.holders, seat.holder, left),
  };
};

/** Folds one fact into the state. */
export const evolveSeats = (state: SeatState, { type, data, at }: Fact<SeatEvent>): SeatState => {
  switch (type) {
    case 'SeatTaken': {
      const before = without(state, data.deviceId);
      const seat = { holder: data.holder, enrolmentId: data.enrolmentId, takenAt: at };
      return {
        taken: data.taken,
        devices: putInto(before.devices, data.deviceId, seat),
        holders: putInto(before.holders, data.holder, devicesOf(before, data.holder) + 1),
      };
    }
    case 'SeatReleased':
      return { ...without(state, data.deviceId), taken: data.taken };
    default:
      return never(type);
  }
};
