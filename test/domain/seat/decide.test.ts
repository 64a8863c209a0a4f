/** Specifications of the seat decider. */
import { test } from 'node:test';
import { seatDecider } from '../../../domain/seat/decide.ts';
import type { SeatEvent } from '../../../domain/seat/seat.ts';
import { casesOf, longAgo } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const [first, second, third] = [idOf('dev', 1), idOf('dev', 2), idOf('dev', 3)];
const enrolmentId = idOf('enr', 1);
const later = idOf('enr', 2);
const ada = 'ada@example.org';
const took = (deviceId: typeof first, holder: string, taken: number, by = enrolmentId): SeatEvent => ({
  type: 'SeatTaken',
  data: { holder, deviceId, enrolmentId: by, taken },
});
const released = (deviceId: typeof first, holder: string, taken: number): SeatEvent => ({
  type: 'SeatReleased',
  data: { holder, deviceId, taken },
});
const take = (
  deviceId: typeof first,
  userEmail: string | null,
  allotted: number | null,
  over: { enrolmentId?: typeof enrolmentId; now?: string } = {},
) => ({ type: 'TakeSeat', now: longAgo, deviceId, userEmail, enrolmentId, allotted, ...over }) as const;
const after = (minutes: number) => new Date(Date.parse(longAgo) + minutes * 60_000).toISOString();

const cases = casesOf(seatDecider, {
  TakeSeat: {
    accepts: [
      { given: [], when: take(first, ada, 1), events: [took(first, ada, 1)] },
      // Another device of the same user is free, even when more is in use than is allotted.
      { given: [took(first, ada, 1)], when: take(second, ada, 0), events: [took(second, ada, 1)] },
      { given: [took(first, ada, 1)], when: take(second, null, 2), events: [took(second, second, 2)] },
      // A device that is given to somebody else moves its seat.
      {
        given: [took(first, ada, 1)],
        when: take(first, 'eve@example.org', 1),
        events: [took(first, 'eve@example.org', 1)],
      },
      // For a later enrolment, or when it has grown old, it is renewed.
      {
        given: [took(first, ada, 1)],
        when: take(first, ada, 1, { enrolmentId: later }),
        events: [took(first, ada, 1, later)],
      },
      {
        given: [took(first, ada, 1)],
        when: take(first, ada, 1, { now: after(5) }),
        events: [took(first, ada, 1)],
      },
      // A device that is enrolled already is counted whatever is allotted.
      { given: [took(first, ada, 1)], when: take(second, null, null), events: [took(second, second, 2)] },
    ],
    refuses: [
      { given: [], when: take(first, ada, 0), refused: 'seats-exhausted' },
      { given: [took(first, ada, 1)], when: take(second, null, 1), refused: 'seats-exhausted' },
      {
        given: [took(first, ada, 1), took(second, ada, 1)],
        when: take(first, 'eve@example.org', 1),
        refused: 'seats-exhausted',
      },
    ],
  },
  ReleaseSeat: {
    accepts: [
      {
        given: [took(first, ada, 1), took(third, third, 2)],
        when: { type: 'ReleaseSeat', deviceId: first, enrolmentId },
        events: [released(first, ada, 1)],
      },
      {
        given: [took(first, ada, 1), took(second, ada, 1)],
        when: { type: 'ReleaseSeat', deviceId: first, enrolmentId },
        events: [released(first, ada, 1)],
      },
      {
        given: [took(first, ada, 1, later)],
        when: { type: 'ReleaseSeat', deviceId: first, enrolmentId },
        events: [],
      },
    ],
    refuses: 'what is not held is released already',
  },
  AbandonSeat: {
    accepts: [
      {
        given: [took(first, ada, 1)],
        when: { type: 'AbandonSeat', now: after(10), deviceId: first, enrolmentId },
        events: [released(first, ada, 0)],
      },
      {
        given: [took(first, ada, 1)],
        when: { type: 'AbandonSeat', now: after(9.9), deviceId: first, enrolmentId },
        events: [],
      },
    ],
    refuses: 'what is not held is released already',
  },
});

for (const [name, run] of cases) test(name, run);
