/** Specifications of recorded refusals. */
import { test } from 'node:test';
import { accessDecider } from '../../../domain/access/decide.ts';
import { casesOf, longAgo } from '../../support/given.ts';

const denial = {
  operation: 'createRole',
  permission: 'role.manage',
  address: '127.0.0.1',
  count: 3,
  since: longAgo,
  until: longAgo,
} as const;

const reportId = '6e1d2a3c-55aa-4c61-9d0e-6c9f3b1f0a11';

const mailDenial = {
  easDeviceId: 'ABC123',
  user: 'eve',
  rule: 'user',
  reason: 'the device belongs to another user',
  address: '192.0.2.1',
  count: 2,
  since: longAgo,
  until: longAgo,
} as const;

const cases = casesOf(accessDecider, {
  RecordDenials: {
    accepts: [
      {
        given: [],
        when: { type: 'RecordDenials', denials: [denial] },
        events: [{ type: 'AccessDenied', data: denial }],
        again: 'every refusal is a fact of its own',
      },
    ],
    refuses: 'what happened is recorded',
  },
  RecordMailDenials: {
    accepts: [
      {
        given: [],
        when: { type: 'RecordMailDenials', denials: [mailDenial], others: 7, now: longAgo, reportId },
        events: [
          { type: 'MailDenied', data: { ...mailDenial, reportId } },
          { type: 'MoreMailDenied', data: { count: 7, until: longAgo, reportId } },
        ],
      },
    ],
    refuses: 'what happened is recorded',
  },
});

for (const [title, run] of cases) test(title, run);
