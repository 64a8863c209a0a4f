/** Specifications of the sighting decider. */
import { test } from 'node:test';
import { mailSightingDecider } from '../../../domain/mail-sighting/decide.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const seenAt = '2026-03-01T12:00:00.000Z';
const seen = {
  easDeviceId: 'SEC1',
  user: 'ada@example.org',
  deviceType: 'Android',
  userAgent: 'Android-Mail/1.0',
  address: '192.0.2.1',
  at: seenAt,
} as const;
const at = (minutes: number) => new Date(Date.parse(seenAt) + minutes * 60_000).toISOString();
const sighted = { type: 'MailDeviceSighted', data: seen, at: seenAt } as const;
const binding = { deviceId: idOf('dev', 1), automatically: false } as const;
const bound = { type: 'MailSightingBound', data: binding, at: seenAt } as const;
const dismissed = { type: 'MailSightingDismissed', data: {}, at: seenAt } as const;
const see = (minutes: number) => ({ type: 'SightMailDevice', ...seen, at: at(minutes) }) as const;
const again = (minutes: number) =>
  [{ type: 'MailDeviceSighted', data: { ...seen, at: at(minutes) } }] as const;
const missing = { given: [], refused: 'mail-sighting-missing', field: 'sightingId' } as const;

const cases = casesOf(mailSightingDecider, {
  SightMailDevice: {
    accepts: [
      { given: [], when: see(0), events: [{ type: 'MailDeviceSighted', data: seen }] },
      { given: [sighted], when: see(1439), events: [] },
      { given: [sighted], when: see(1440), events: again(1440) },
      { given: [sighted, dismissed], when: see(1439), events: [] },
      { given: [sighted, bound], when: see(9), events: [] },
      { given: [sighted, bound], when: see(10), events: again(10) },
    ],
    refuses: 'what was seen was seen',
  },
  BindMailSighting: {
    accepts: [
      {
        given: [sighted],
        when: { type: 'BindMailSighting', ...binding },
        events: [{ type: 'MailSightingBound', data: binding }],
      },
      {
        given: [sighted, dismissed],
        when: { type: 'BindMailSighting', ...binding },
        events: [{ type: 'MailSightingBound', data: binding }],
      },
      { given: [sighted, bound], when: { type: 'BindMailSighting', ...binding }, events: [] },
    ],
    refuses: [{ ...missing, when: { type: 'BindMailSighting', ...binding } }],
  },
  DismissMailSighting: {
    accepts: [
      {
        given: [sighted],
        when: { type: 'DismissMailSighting' },
        events: [{ type: 'MailSightingDismissed', data: {} }],
      },
      { given: [sighted, bound], when: { type: 'DismissMailSighting' }, events: [] },
    ],
    refuses: [{ ...missing, when: { type: 'DismissMailSighting' } }],
  },
});

for (const [name, run] of cases) test(name, run);
