/** Specifications of the compliance policy decider, and of what such a policy may contain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complianceSettings } from '../../../domain/compliance/settings.ts';
import type { CompliancePolicyEvent } from '../../../domain/compliance-policy/compliance-policy.ts';
import { compliancePolicyDecider } from '../../../domain/compliance-policy/decide.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const settings = complianceSettings.parse({ android: [{ rule: 'managed', parameters: {}, actions: [] }] });
const stricter = complianceSettings.parse({
  android: [{ rule: 'encryption', parameters: {}, severity: 'low', actions: [{ action: 'deny-mail' }] }],
});
const created: CompliancePolicyEvent = {
  type: 'CompliancePolicyCreated',
  data: { name: 'Base', settings },
};
const revised: CompliancePolicyEvent = {
  type: 'CompliancePolicyRevised',
  data: { version: 2, settings: stricter },
};
const retired: CompliancePolicyEvent = { type: 'CompliancePolicyRetired', data: {} };
const field = 'compliancePolicyId';

const cases = casesOf(compliancePolicyDecider, {
  CreateCompliancePolicy: {
    accepts: [
      { given: [], when: { type: 'CreateCompliancePolicy', name: 'Base', settings }, events: [created] },
    ],
    refuses: [
      {
        given: [created],
        when: { type: 'CreateCompliancePolicy', name: 'Base', settings: stricter },
        refused: 'name-taken',
      },
    ],
  },
  RenameCompliancePolicy: {
    accepts: [
      {
        given: [created],
        when: { type: 'RenameCompliancePolicy', name: 'Floor' },
        events: [{ type: 'CompliancePolicyRenamed', data: { name: 'Floor' } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'RenameCompliancePolicy', name: 'x' },
        refused: 'compliance-policy-missing',
        field,
      },
    ],
  },
  ReviseCompliancePolicy: {
    accepts: [
      {
        given: [created],
        when: { type: 'ReviseCompliancePolicy', settings: stricter, expectedVersion: 1 },
        events: [revised],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'ReviseCompliancePolicy', settings },
        refused: 'compliance-policy-missing',
        field,
      },
      {
        given: [created, retired],
        when: { type: 'ReviseCompliancePolicy', settings: stricter },
        refused: 'compliance-policy-retired',
        field,
      },
      {
        given: [created, revised],
        when: { type: 'ReviseCompliancePolicy', settings, expectedVersion: 1 },
        refused: 'version-conflict',
        field: 'expectedVersion',
      },
    ],
  },
  RetireCompliancePolicy: {
    accepts: [
      { given: [created], when: { type: 'RetireCompliancePolicy', assigned: false }, events: [retired] },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'RetireCompliancePolicy', assigned: false },
        refused: 'compliance-policy-missing',
        field,
      },
      {
        given: [created],
        when: { type: 'RetireCompliancePolicy', assigned: true },
        refused: 'compliance-policy-in-use',
      },
    ],
  },
});

for (const [name, run] of cases) test(name, run);

test('settings are refused for unknown rules, parameters, platforms, keys, repetitions', () => {
  const rule = { rule: 'managed', parameters: {}, actions: [] };
  const faulty: unknown[] = [
    { symbian: [] },
    { android: [{ ...rule, rule: 'nonsense' }] },
    { android: [{ ...rule, parameters: { extra: 1 } }] },
    { android: [{ ...rule, extra: 1 }] },
    { android: [rule, rule] },
    { windows: [{ ...rule, rule: 'not-rooted' }] },
    { android: [{ ...rule, actions: [{ action: 'explode' }] }] },
    { android: [{ ...rule, actions: [{ action: 'transfer-task-bundle' }] }] },
    { android: [{ ...rule, severity: 'fatal' }] },
    { android: [{ ...rule, rule: 'maximum-sync-gap', parameters: { minutes: 0 } }] },
    { android: [{ ...rule, rule: 'minimum-os-version', parameters: { version: 'new' } }] },
    { android: [{ ...rule, rule: 'mandatory-apps', parameters: { appIds: [] } }] },
  ];
  for (const settings of faulty)
    assert.ok(!complianceSettings.safeParse(settings).success, JSON.stringify(settings));
  const actions = [{ action: 'transfer-task-bundle', taskBundleId: idOf('bdl', 1) }];
  assert.ok(complianceSettings.safeParse({ ios: [{ ...rule, actions }], macos: [] }).success);
});
