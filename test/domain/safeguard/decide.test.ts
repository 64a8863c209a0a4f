/** Specifications of the safeguard: what one person may do alone, and what needs a second one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { safeguardDecider } from '../../../domain/safeguard/decide.ts';
import type { SafeguardEvent } from '../../../domain/safeguard/safeguard.ts';
import { casesOf, foldOn } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const at = (hour: number, minute = 0): string => new Date(Date.UTC(2026, 0, 10, hour, minute)).toISOString();
const now = at(12);
const trustedSince = '2026-01-01T00:00:00.000Z';
const [ada, eve] = [idOf('acc', 1), idOf('acc', 2)];
const approvalId = idOf('apr', 1);
const operation = { kind: 'unenrol-device', deviceId: idOf('dev', 1) } as const;
const ask = { type: 'AskDangerousAct', approvalId, actorId: ada, devices: 1, operation, now } as const;
const allowed = (devices: number, time = at(11, 30), actorId: string = ada) =>
  ({
    type: 'DangerousActAllowed',
    data: { approvalId: idOf('apr', 9), actorId, devices },
    at: time,
  }) as const;
const expiresAt = '2026-01-11T12:00:00.000Z';
const requested = (devices: number) =>
  ({ type: 'ApprovalRequested', data: { approvalId, actorId: ada, devices, operation, expiresAt } }) as const;
const asked = { ...requested(11), at: now } as const;
const grant = { type: 'GrantApproval', approvalId, actorId: eve, trustedSince, now: at(13) } as const;
const granted = { type: 'ApprovalGranted', data: { approvalId, actorId: eve }, at: at(13) } as const;
const refuseIt = { type: 'RefuseApproval', approvalId, actorId: eve, reason: 'No.' } as const;
const refused = {
  type: 'ApprovalRefused',
  data: { approvalId, actorId: eve, reason: 'No.' },
  at: at(13),
} as const;
const limit = (devicesPerHour: number) => ({ kind: 'set-safeguard', devicesPerHour }) as const;
const byItself = { type: 'DangerousActAllowed', data: { approvalId, actorId: ada, devices: 1 } } as const;

const take = { type: 'TakeAutomaticAct', approvalId, now } as const;
const taken = {
  type: 'DangerousActAllowed',
  data: { approvalId, actorId: 'compliance', devices: 1 },
} as const;

const cases = casesOf(safeguardDecider, {
  AskDangerousAct: {
    accepts: [
      { given: [], when: ask, events: [byItself] },
      { given: [allowed(9)], when: ask, events: [byItself] },
      { given: [allowed(10)], when: ask, events: [requested(1)] },
      { given: [allowed(10, at(10, 59))], when: ask, events: [byItself] },
      { given: [allowed(10, at(11, 30), eve)], when: ask, events: [byItself] },
      { given: [], when: { ...ask, devices: 11 }, events: [requested(11)] },
      {
        given: [{ type: 'SafeguardSet', data: { devicesPerHour: 0 } }],
        when: ask,
        events: [requested(1)],
      },
      {
        given: [],
        when: { ...ask, devices: 0, operation: limit(5) },
        events: [{ type: 'DangerousActAllowed', data: { approvalId, actorId: ada, devices: 0 } }],
      },
      {
        given: [],
        when: { ...ask, devices: 0, operation: limit(11) },
        events: [
          {
            type: 'ApprovalRequested',
            data: { approvalId, actorId: ada, devices: 0, operation: limit(11), expiresAt },
          },
        ],
      },
    ],
    refuses: 'what is too much waits for approval',
  },
  GrantApproval: {
    accepts: [{ given: [asked], when: grant, events: [{ type: 'ApprovalGranted', data: granted.data }] }],
    refuses: [
      { given: [], when: grant, refused: 'approval-missing', field: 'approvalId' },
      { given: [asked], when: { ...grant, actorId: ada }, refused: 'approval-own', field: 'approvalId' },
      {
        given: [asked],
        when: { ...grant, now: expiresAt },
        refused: 'approval-expired',
        field: 'approvalId',
      },
      { given: [asked], when: { ...grant, trustedSince: at(0) }, refused: 'approver-too-new' },
      { given: [asked, refused], when: grant, refused: 'approval-decided', field: 'approvalId' },
    ],
  },
  RefuseApproval: {
    accepts: [{ given: [asked], when: refuseIt, events: [{ type: 'ApprovalRefused', data: refused.data }] }],
    refuses: [
      { given: [], when: refuseIt, refused: 'approval-missing', field: 'approvalId' },
      { given: [asked, granted], when: refuseIt, refused: 'approval-decided', field: 'approvalId' },
    ],
  },
  RecordCarriedOut: {
    accepts: [
      {
        given: [asked, granted],
        when: { type: 'RecordCarriedOut', approvalId },
        events: [{ type: 'ApprovalCarriedOut', data: { approvalId } }],
      },
    ],
    refuses: [
      {
        given: [asked],
        when: { type: 'RecordCarriedOut', approvalId },
        refused: 'approval-missing',
        field: 'approvalId',
      },
    ],
  },
  TakeAutomaticAct: {
    accepts: [
      { given: [], when: take, events: [taken] },
      { given: [allowed(10)], when: take, events: [taken] },
      { given: [allowed(9, at(11, 30), 'compliance')], when: take, events: [taken] },
      { given: [allowed(10, at(10, 59), 'compliance')], when: take, events: [taken] },
      { given: [{ ...taken, at: at(11, 30) }], when: take, events: [] },
    ],
    refuses: [
      { given: [allowed(10, at(11, 30), 'compliance')], when: take, refused: 'approval-required' },
      {
        given: [{ type: 'SafeguardSet', data: { devicesPerHour: 0 } }],
        when: take,
        refused: 'approval-required',
      },
    ],
  },
  SetSafeguard: {
    accepts: [
      {
        given: [],
        when: { type: 'SetSafeguard', devicesPerHour: 3 },
        events: [{ type: 'SafeguardSet', data: { devicesPerHour: 3 } }],
      },
    ],
    refuses: 'whether it may be set is asked before',
  },
});

for (const [title, run] of cases) test(title, run);

test('what no decision needs any more is forgotten', () => {
  const events: SafeguardEvent[] = [asked, granted];
  const days = (n: number) => new Date(Date.parse(now) + n * 86_400_000).toISOString();
  const state = foldOn(safeguardDecider, safeguardDecider.initial, [allowed(4), ...events]);
  assert.deepEqual([state.acts.length, Object.keys(state.approvals)], [0, [approvalId]]);
  const later = foldOn(safeguardDecider, state, [{ ...allowed(1), at: days(3) }]);
  assert.deepEqual([later.acts.length, Object.keys(later.approvals)], [1, []]);
});
