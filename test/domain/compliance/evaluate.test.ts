/** Verdicts: which policy, which severity and actions, since when, due when. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EffectiveCompliancePolicy, evaluate } from '../../../domain/compliance/evaluate.ts';
import type { DeviceFacts } from '../../../domain/compliance/rule.ts';
import type { RuleSetting } from '../../../domain/compliance/settings.ts';
import { deniesMail, verdict as verdictSchema } from '../../../domain/compliance/verdict.ts';
import { idOf } from '../../support/ids.ts';

const now = '2026-03-01T12:00:00.000Z';
const later = '2026-03-02T12:00:00.000Z';
const facts: DeviceFacts = {
  platform: 'android',
  managed: true,
  inventory: { encrypted: false },
  apps: {},
  appsKnown: true,
  lastCheckInAt: now,
};
const encryption: RuleSetting = { rule: 'encryption', parameters: {}, actions: [{ action: 'deny-mail' }] };
const gap: RuleSetting = { rule: 'maximum-sync-gap', parameters: { minutes: 60 }, actions: [] };
const policy = (settings: RuleSetting[], version = 1): EffectiveCompliancePolicy => ({
  compliancePolicyId: idOf('cmp', 1),
  version,
  settings: { android: settings },
});

test('without a policy, or without rules for the platform, a device is unchecked', () => {
  for (const [device, under] of [
    [facts, null],
    [{ ...facts, platform: 'ios' as const }, policy([encryption])],
  ] as const) {
    const { verdict, dueAt } = evaluate(device, under, null, now);
    assert.deepEqual([verdict.status, verdict.violations, dueAt], ['unchecked', [], null]);
    assert.equal(verdict.compliancePolicyId, under?.compliancePolicyId ?? null);
  }
});

test('an empty list of rules is satisfied by every device', () => {
  assert.equal(evaluate(facts, policy([]), null, now).verdict.status, 'compliant');
});

test('a violation takes the severity of its setting, else of its rule, and the actions of its setting', () => {
  const { verdict } = evaluate(facts, policy([encryption]), null, now);
  assert.deepEqual(verdict.violations, [
    {
      rule: 'encryption',
      severity: 'high',
      why: 'The storage is not encrypted.',
      since: now,
      actions: [{ action: 'deny-mail' }],
    },
  ]);
  assert.ok(deniesMail(verdict));
  const lower = evaluate(facts, policy([{ ...encryption, severity: 'low', actions: [] }]), null, now).verdict;
  assert.equal(lower.violations[0]?.severity, 'low');
  assert.ok(!deniesMail(lower));
  assert.ok(verdictSchema.safeParse(verdict).success);
});

test('a violation keeps its beginning while it lasts, also under a new version, and begins anew after a pause', () => {
  const first = evaluate(facts, policy([encryption]), null, now).verdict;
  const second = evaluate(facts, policy([encryption], 2), first, later).verdict;
  assert.equal(second.violations[0]?.since, now);
  assert.equal(second.compliancePolicyVersion, 2);
  const paused = evaluate({ ...facts, inventory: { encrypted: true } }, policy([encryption]), second, later);
  assert.equal(paused.verdict.status, 'compliant');
  const third = evaluate(facts, policy([encryption]), paused.verdict, later).verdict;
  assert.equal(third.violations[0]?.since, later);
});

test('a rule that knows since when says so, whatever the earlier verdict said', () => {
  const silent = { ...facts, lastCheckInAt: '2026-03-01T10:00:00.000Z' };
  const before = evaluate({ ...facts, lastCheckInAt: null }, policy([gap]), null, now).verdict;
  const { verdict, dueAt } = evaluate(silent, policy([gap]), before, later);
  assert.equal(verdict.violations[0]?.since, '2026-03-01T11:00:00.000Z');
  assert.equal(dueAt, null);
});

test('a verdict is due when the first of its satisfied rules runs out, also beside violations', () => {
  const { verdict, dueAt } = evaluate(facts, policy([encryption, gap]), null, now);
  assert.equal(verdict.status, 'non-compliant');
  assert.equal(dueAt, '2026-03-01T13:00:00.000Z');
});
