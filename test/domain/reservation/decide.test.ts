/** Specifications of the reservation decider: unique values, and who may take over an abandoned one. */
import { test } from 'node:test';
import { reservationDecider } from '../../../domain/reservation/decide.ts';
import type { ReservationEvent } from '../../../domain/reservation/reservation.ts';
import { casesOf, longAgo } from '../../support/given.ts';

const kind = 'tenant-slug';
const later = (ms: number) => new Date(Date.parse(longAgo) + ms).toISOString();
const heldBy = (ownerId: string, reservedAt = longAgo): ReservationEvent => ({
  type: 'ValueReserved',
  data: { kind, ownerId, reservedAt },
});
const reserve = (ownerId: string, now: string, holderMissing: boolean) =>
  ({ type: 'ReserveValue', kind, ownerId, now, holderMissing }) as const;

const cases = casesOf(reservationDecider, {
  ReserveValue: {
    accepts: [
      { given: [], when: reserve('a', longAgo, true), events: [heldBy('a')] },
      {
        given: [heldBy('a')],
        when: reserve('b', later(60_001), true),
        events: [heldBy('b', later(60_001))],
      },
      {
        given: [heldBy('a'), { type: 'ReservationReleased', data: {} }],
        when: reserve('b', later(1), false),
        events: [heldBy('b', later(1))],
      },
    ],
    refuses: [
      { given: [heldBy('a')], when: reserve('b', later(60_000), true), refused: 'name-taken' },
      { given: [heldBy('a')], when: reserve('b', later(600_000), false), refused: 'name-taken' },
    ],
  },
  ReleaseReservation: {
    accepts: [
      {
        given: [heldBy('a')],
        when: { type: 'ReleaseReservation', ownerId: 'a' },
        events: [{ type: 'ReservationReleased', data: {} }],
      },
    ],
    refuses: 'releasing what another holds is answered with nothing, since it is not there to release',
  },
});

for (const [name, run] of cases) test(name, run);
