/**
 * Facts and state of a reservation: a value that must be unique (a tenant's short name, an account's or a user's e-mail, the
 * certificate of a proxy) is held by one owner. The stream's id is a digest of kind and value, so two reservations of one
 * value meet there.
 * Decided by decide.ts beside this file.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { line, time } from '../text.ts';

/** Kinds of values that are unique. An identity is somebody at an identity provider. */
export const reservedKind = z.enum([
  'tenant-slug',
  'account-email',
  'user-email',
  'account-identity',
  'user-identity',
  'proxy-certificate',
]);
export type ReservedKind = z.infer<typeof reservedKind>;

export const reservationEvents = defineEvents('reservation', {
  ValueReserved: z.strictObject({
    kind: reservedKind,
    ownerId: line(64),
    reservedAt: time,
  }),
  ReservationReleased: z.strictObject({}),
});

export type ReservationEvent = EventOf<typeof reservationEvents>;

export type ReservationState =
  | { readonly status: 'free' }
  | { readonly status: 'held'; readonly ownerId: string; readonly reservedAt: string };

export const initialReservation: ReservationState = { status: 'free' };

/** Folds one fact into the state. */
export const evolveReservation = (
  _: ReservationState,
  { type, data }: Fact<ReservationEvent>,
): ReservationState => {
  switch (type) {
    case 'ValueReserved':
      return { status: 'held', ownerId: data.ownerId, reservedAt: data.reservedAt };
    case 'ReservationReleased':
      return { status: 'free' };
    default:
      return never(type);
  }
};
