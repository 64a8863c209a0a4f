/** Specifications of the enrolment decider: a code is used once, in time, on the right platform. */
import { test } from 'node:test';
import { enrolmentDecider } from '../../../domain/enrolment/decide.ts';
import type { EnrolmentEvent } from '../../../domain/enrolment/enrolment.ts';
import { casesOf, longAgo } from '../../support/given.ts';
import { digestOf, idOf } from '../../support/ids.ts';

const expiresAt = '2026-01-02T00:00:00.000Z';
const data = {
  codeHash: digestOf('c'),
  deviceId: null,
  userEmail: 'ada@example.org',
  platform: null,
  ownership: 'corporate' as const,
  groupId: null,
  expiresAt,
};
const created: EnrolmentEvent = { type: 'EnrolmentCreated', data };
const forIos: EnrolmentEvent = { type: 'EnrolmentCreated', data: { ...data, platform: 'ios' } };
const forDevice: EnrolmentEvent = { type: 'EnrolmentCreated', data: { ...data, deviceId: idOf('dev', 7) } };
const used: EnrolmentEvent = { type: 'EnrolmentUsed', data: { deviceId: idOf('dev', 1), requestId: 'r1' } };
const revoked: EnrolmentEvent = { type: 'EnrolmentRevoked', data: {} };
const use = (over: { requestId?: string; now?: string } = {}) =>
  ({
    type: 'UseEnrolment',
    now: longAgo,
    deviceId: idOf('dev', 1),
    platform: 'android',
    requestId: 'r1',
    ...over,
  }) as const;

const cases = casesOf(enrolmentDecider, {
  CreateEnrolment: {
    accepts: [{ given: [], when: { type: 'CreateEnrolment', ...data }, events: [created] }],
    refuses: 'the id is new each time; a repeated command finds the enrolment that it made',
  },
  UseEnrolment: {
    accepts: [
      { given: [created], when: use(), events: [used] },
      { given: [created], when: use({ now: '2026-01-01T23:59:59.999Z' }), events: [used] },
      {
        given: [forDevice],
        when: use(),
        events: [{ type: 'EnrolmentUsed', data: { deviceId: idOf('dev', 7), requestId: 'r1' } }],
      },
    ],
    refuses: [
      { given: [], when: use(), refused: 'enrolment-missing', field: 'code' },
      { given: [created, used], when: use({ requestId: 'r2' }), refused: 'enrolment-used', field: 'code' },
      { given: [created, revoked], when: use(), refused: 'enrolment-revoked', field: 'code' },
      { given: [created], when: use({ now: expiresAt }), refused: 'enrolment-expired', field: 'code' },
      { given: [forIos], when: use(), refused: 'platform-mismatch', field: 'platform' },
    ],
  },
  RevokeEnrolment: {
    accepts: [{ given: [created], when: { type: 'RevokeEnrolment' }, events: [revoked] }],
    refuses: [
      { given: [], when: { type: 'RevokeEnrolment' }, refused: 'enrolment-missing', field: 'code' },
      { given: [created, used], when: { type: 'RevokeEnrolment' }, refused: 'enrolment-used' },
    ],
  },
});

for (const [name, run] of cases) test(name, run);
