/** Specifications of the handout decider. */
import { test } from 'node:test';
import { handoutDecider } from '../../../domain/handout/decide.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const data = {
  userGroupId: idOf('ugr', 1),
  platform: null,
  ownership: 'corporate',
  groupId: null,
  expiresAt: '2026-01-04T00:00:00.000Z',
} as const;
const requested = { type: 'HandoutRequested', data } as const;
const codes = [{ userId: idOf('usr', 1), email: 'ada@example.org', enrolmentId: idOf('enr', 1) }];
const issued = { type: 'HandoutCodesIssued', data: { from: 0, codes } } as const;
const missing = { refused: 'handout-missing', field: 'handoutId' } as const;

const cases = casesOf(handoutDecider, {
  RequestHandout: {
    accepts: [{ given: [], when: { type: 'RequestHandout', ...data }, events: [requested] }],
    refuses: 'a second request under the same id is a repetition',
  },
  RecordHandoutCodes: {
    accepts: [{ given: [requested], when: { type: 'RecordHandoutCodes', from: 0, codes }, events: [issued] }],
    refuses: [{ given: [], when: { type: 'RecordHandoutCodes', from: 0, codes }, ...missing }],
  },
  FinishHandout: {
    accepts: [
      {
        given: [requested, issued],
        when: { type: 'FinishHandout' },
        events: [{ type: 'HandoutFinished', data: {} }],
      },
    ],
    refuses: [{ given: [], when: { type: 'FinishHandout' }, ...missing }],
  },
});

for (const [name, run] of cases) test(name, run);
