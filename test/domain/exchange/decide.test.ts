/** Specifications of the decider of Exchange connections, and when a comparison is due. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fact } from '../../../domain/decider.ts';
import {
  decideExchange,
  type ExchangeCommand,
  exchangeDecider,
  mostConnections,
} from '../../../domain/exchange/decide.ts';
import type { ExchangeEvent, ExchangeSettings, Reconciliation } from '../../../domain/exchange/exchange.ts';
import { mostFailing } from '../../../domain/exchange/exchange.ts';
import { casesOf, foldOn } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const settings: ExchangeSettings = {
  kind: 'on-premises',
  host: 'mail.acme.example',
  account: 'ACME\\muster',
  ewsFollowsMail: false,
  caCertificate: null,
  certificateSha256: null,
  allowAnyCertificate: false,
  containerApps: null,
  barredApps: [],
  bindUnknown: false,
  dryRun: false,
  intervalMinutes: 60,
};
const outcome: Reconciliation = {
  dryRun: false,
  mailboxes: 1,
  drifted: 0,
  failed: 0,
  strange: 0,
  defaultAccessLevel: 'Quarantine',
  changes: [],
  strangers: [],
};
const name = 'main';
const startedAt = '2026-01-01T00:00:00.000Z';
const about = { name, deviceId: idOf('dev', 1), mailbox: 'ada@acme.example' };
const access = { ...about, partnershipId: 'APPL1', reason: 'No violation denies mail.' };
const fault = { code: 'exchange-unavailable', reason: 'away' };
const requested = { name, requestId: '6f1d2c0e-5a0b-4c8e-9d33-0e6f6d5c2b11', dryRun: true };

const configured = { type: 'ExchangeConfigured', data: { name, settings } } as const;
const granted = { type: 'MailAccessGranted', data: access } as const;
const failed = { type: 'MailAccessFailed', data: { ...about, ...fault } } as const;
const missing = <Command extends ExchangeCommand>(when: Command) => [
  { given: [], when, refused: 'exchange-connection-missing' as const },
];

const full = Array.from({ length: mostConnections }, (_, n) => ({
  type: 'ExchangeConfigured' as const,
  data: { name: `c${n}`, settings },
}));

const cases = casesOf(exchangeDecider, {
  ConfigureExchange: {
    accepts: [
      { given: [], when: { type: 'ConfigureExchange', name, settings }, events: [configured] },
      {
        given: full,
        when: { type: 'ConfigureExchange', name: 'c0', settings: { ...settings, dryRun: true } },
        events: [
          { type: 'ExchangeConfigured', data: { name: 'c0', settings: { ...settings, dryRun: true } } },
        ],
      },
    ],
    refuses: [
      {
        given: full,
        when: { type: 'ConfigureExchange', name, settings },
        refused: 'exchange-connections-full',
      },
    ],
  },
  ChangeExchangeSecret: {
    accepts: [
      {
        given: [configured],
        when: { type: 'ChangeExchangeSecret', name },
        events: [{ type: 'ExchangeSecretChanged', data: { name } }],
        again: 'every secret is a fact of its own',
      },
    ],
    refuses: missing({ type: 'ChangeExchangeSecret', name }),
  },
  RemoveExchangeConnection: {
    accepts: [
      {
        given: [configured],
        when: { type: 'RemoveExchangeConnection', name },
        events: [{ type: 'ExchangeConnectionRemoved', data: { name } }],
      },
    ],
    refuses: 'a connection that is not there is removed already',
  },
  RequestReconciliation: {
    accepts: [
      {
        given: [configured],
        when: { type: 'RequestReconciliation', ...requested },
        events: [{ type: 'ExchangeReconciliationRequested', data: requested }],
      },
    ],
    refuses: missing({ type: 'RequestReconciliation', ...requested }),
  },
  RecordReconciliation: {
    accepts: [
      {
        given: [configured],
        when: { type: 'RecordReconciliation', name, startedAt, outcome },
        events: [{ type: 'ExchangeReconciled', data: { name, startedAt, outcome } }],
      },
    ],
    refuses: missing({ type: 'RecordReconciliation', name, startedAt, outcome }),
  },
  RecordReconciliationFailure: {
    accepts: [
      {
        given: [configured],
        when: { type: 'RecordReconciliationFailure', name, startedAt, ...fault },
        events: [{ type: 'ExchangeReconciliationFailed', data: { name, startedAt, ...fault } }],
      },
    ],
    refuses: missing({ type: 'RecordReconciliationFailure', name, startedAt, ...fault }),
  },
  BindPartnership: {
    accepts: [
      {
        given: [configured],
        when: { type: 'BindPartnership', ...about, partnershipId: 'APPL1' },
        events: [{ type: 'MailPartnershipBound', data: { ...about, partnershipId: 'APPL1' } }],
      },
    ],
    refuses: missing({ type: 'BindPartnership', ...about, partnershipId: 'APPL1' }),
  },
  RecordMailAccess: {
    accepts: [
      {
        given: [configured],
        when: { type: 'RecordMailAccess', ...access, access: 'allow' },
        events: [granted],
      },
      {
        given: [configured, granted],
        when: { type: 'RecordMailAccess', ...access, access: 'block' },
        events: [{ type: 'MailAccessBlocked', data: access }],
      },
      // That it works again is news, though the access is what it was.
      {
        given: [configured, granted, failed],
        when: { type: 'RecordMailAccess', ...access, access: 'allow' },
        events: [granted],
      },
    ],
    refuses: missing({ type: 'RecordMailAccess', ...access, access: 'allow' }),
  },
  RecordMailAccessFailure: {
    accepts: [
      {
        given: [configured],
        when: { type: 'RecordMailAccessFailure', ...about, ...fault },
        events: [failed],
      },
      {
        given: [configured, failed],
        when: { type: 'RecordMailAccessFailure', ...about, code: 'mailbox-missing', reason: 'none' },
        events: [{ type: 'MailAccessFailed', data: { ...about, code: 'mailbox-missing', reason: 'none' } }],
      },
    ],
    refuses: missing({ type: 'RecordMailAccessFailure', ...about, ...fault }),
  },
});

for (const [title, run] of cases) test(title, run);

type Facts = (ExchangeEvent | Fact<ExchangeEvent>)[];
const stateAfter = (...events: Facts) => foldOn(exchangeDecider, exchangeDecider.initial, events);

test('a comparison is due after the interval; one that failed soon, later the longer it fails', () => {
  const failure = (at: string, since: string) => ({
    type: 'ExchangeReconciliationFailed' as const,
    data: { name, startedAt: since, ...fault },
    at,
  });
  const due = (...events: Facts) => stateAfter(...events).connections[name]?.dueAt;
  const done = { type: 'ExchangeReconciled' as const, data: { name, startedAt, outcome }, at: startedAt };
  assert.equal(due(configured), startedAt);
  assert.equal(due(configured, done), '2026-01-01T01:00:00.000Z');
  const first = failure('2026-01-01T01:00:00.000Z', '2026-01-01T01:00:00.000Z');
  assert.equal(due(configured, done, first), '2026-01-01T01:05:00.000Z');
  const later = failure('2026-01-01T01:20:00.000Z', '2026-01-01T01:20:00.000Z');
  assert.equal(due(configured, done, first, later), '2026-01-01T01:40:00.000Z');
  const longAfter = failure('2026-01-02T00:00:00.000Z', '2026-01-02T00:00:00.000Z');
  assert.equal(due(configured, done, first, longAfter), '2026-01-02T01:00:00.000Z');
});

test('a comparison that was overtaken records nothing', () => {
  const done = { type: 'ExchangeReconciled' as const, data: { name, startedAt, outcome } };
  const early = '2025-12-31T23:00:00.000Z';
  for (const command of [
    { type: 'RecordReconciliation', name, startedAt: early, outcome },
    { type: 'RecordReconciliationFailure', name, startedAt: early, ...fault },
  ] as const)
    assert.deepEqual(decideExchange(command, stateAfter(configured, done)), []);
});

test('a server that fails for everybody does not flood the log', () => {
  const failures = Array.from({ length: mostFailing }, (_, n) => ({
    type: 'MailAccessFailed' as const,
    data: { ...about, deviceId: idOf('dev', n + 2), ...fault },
  }));
  const more = { type: 'RecordMailAccessFailure', ...about, ...fault } as const;
  assert.deepEqual(decideExchange(more, stateAfter(configured, ...failures)), []);
  assert.deepEqual(decideExchange(more, stateAfter(configured, ...failures.slice(1))), [failed]);
});

test('what was switched outlives new settings, and goes with the connection', () => {
  const again = {
    type: 'ExchangeConfigured' as const,
    data: { name, settings: { ...settings, dryRun: true } },
  };
  const removed = { type: 'ExchangeConnectionRemoved' as const, data: { name } };
  assert.ok(stateAfter(configured, granted, again).connections[name]?.switched[about.deviceId]);
  assert.deepEqual(stateAfter(configured, granted, removed).connections, {});
  assert.deepEqual(stateAfter(configured, granted, removed, configured).connections[name]?.switched, {});
});
