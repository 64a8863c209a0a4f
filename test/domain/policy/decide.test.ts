/** Specifications of the policy decider, and of what a policy may contain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { policyDecider } from '../../../domain/policy/decide.ts';
import type { PolicyEvent } from '../../../domain/policy/policy.ts';
import { policySettings } from '../../../domain/policy/settings.ts';
import { casesOf } from '../../support/given.ts';

const settings = { passcode: { required: true, minimumLength: 6 } };
const stricter = { passcode: { required: true, minimumLength: 8 } };
const data = { name: 'Passcode', policyType: 'device' as const, platforms: ['android' as const], settings };
const created: PolicyEvent = { type: 'PolicyCreated', data };
const revised: PolicyEvent = { type: 'PolicyRevised', data: { version: 2, settings: stricter } };
const retired: PolicyEvent = { type: 'PolicyRetired', data: {} };

const cases = casesOf(policyDecider, {
  CreatePolicy: {
    accepts: [{ given: [], when: { type: 'CreatePolicy', ...data }, events: [created] }],
    refuses: [
      {
        given: [created],
        when: { type: 'CreatePolicy', ...data, settings: stricter },
        refused: 'name-taken',
      },
    ],
  },
  RenamePolicy: {
    accepts: [
      {
        given: [created],
        when: { type: 'RenamePolicy', name: 'PIN' },
        events: [{ type: 'PolicyRenamed', data: { name: 'PIN' } }],
      },
    ],
    refuses: [
      { given: [], when: { type: 'RenamePolicy', name: 'x' }, refused: 'policy-missing', field: 'policyId' },
    ],
  },
  RevisePolicy: {
    accepts: [
      { given: [created], when: { type: 'RevisePolicy', settings: stricter }, events: [revised] },
      {
        given: [created],
        when: { type: 'RevisePolicy', settings: stricter, expectedVersion: 1 },
        events: [revised],
      },
    ],
    refuses: [
      { given: [], when: { type: 'RevisePolicy', settings }, refused: 'policy-missing', field: 'policyId' },
      {
        given: [created, retired],
        when: { type: 'RevisePolicy', settings: stricter },
        refused: 'policy-retired',
        field: 'policyId',
      },
      {
        given: [created, revised],
        when: { type: 'RevisePolicy', settings: { restrictions: { camera: false } }, expectedVersion: 1 },
        refused: 'version-conflict',
        field: 'expectedVersion',
      },
    ],
  },
  RetirePolicy: {
    accepts: [{ given: [created], when: { type: 'RetirePolicy' }, events: [retired] }],
    refuses: [{ given: [], when: { type: 'RetirePolicy' }, refused: 'policy-missing', field: 'policyId' }],
  },
});

for (const [name, run] of cases) test(name, run);

test('settings need a section, and know every key', () => {
  const faulty: unknown[] = [
    {},
    { passcode: undefined },
    { passcode: { required: true, extra: 1 } },
    { unknown: {} },
    { passcode: { required: 'yes' } },
    { passcode: { required: true, minimumLength: 3 } },
    { wifi: [{ ssid: 'a\u0000', security: 'open' }] },
    { wifi: [{ ssid: 'a', security: 'wep' }] },
    { mail: { host: 'h', syncDays: 181 } },
  ];
  for (const settings of faulty)
    assert.ok(!policySettings.safeParse(settings).success, JSON.stringify(settings));
  assert.ok(policySettings.safeParse({ mail: { host: 'mail.example.org', syncDays: 0 } }).success);
});
