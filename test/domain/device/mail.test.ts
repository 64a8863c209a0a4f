/** The mail verdict: every combination of enrolment, access and compliance. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Verdict } from '../../../domain/compliance/verdict.ts';
import { type DeviceState, initialDevice } from '../../../domain/device/device.ts';
import { mailVerdict } from '../../../domain/device/mail.ts';

const verdict = (status: Verdict['status'], ...actions: ('deny-mail' | 'create-alert')[][]): Verdict => ({
  status,
  compliancePolicyId: null,
  compliancePolicyVersion: null,
  violations: actions.map((taken, index) => ({
    rule: 'managed',
    severity: 'high',
    why: `Reason ${index + 1}.`,
    since: '2026-01-01T00:00:00.000Z',
    actions: taken.map((action) => ({ action })),
  })),
});

const rows: [Partial<DeviceState>, 'allow' | 'deny', string][] = [
  [{ status: 'none' }, 'deny', 'The device is not enrolled.'],
  [{ status: 'registered', mailAccess: 'allow' }, 'deny', 'The device is not enrolled.'],
  [
    { status: 'unenrolled', mailAccess: 'allow', verdict: verdict('compliant') },
    'deny',
    'The device is not enrolled.',
  ],
  [
    { mailAccess: 'deny', verdict: verdict('compliant') },
    'deny',
    'An administrator denies mail to this device.',
  ],
  [
    { mailAccess: 'allow', verdict: verdict('non-compliant', ['deny-mail']) },
    'allow',
    'An administrator allows mail to this device.',
  ],
  [{ mailAccess: 'allow' }, 'allow', 'An administrator allows mail to this device.'],
  [{ verdict: null }, 'deny', 'The device has no compliance verdict yet.'],
  [{ verdict: verdict('compliant') }, 'allow', 'No violation denies mail.'],
  [{ verdict: verdict('unchecked') }, 'allow', 'No violation denies mail.'],
  [{ verdict: verdict('non-compliant', ['create-alert']) }, 'allow', 'No violation denies mail.'],
  [
    { verdict: verdict('non-compliant', ['deny-mail'], [], ['create-alert', 'deny-mail']) },
    'deny',
    'Reason 1. Reason 3.',
  ],
];

for (const [over, access, reason] of rows) {
  test(`mail: ${JSON.stringify({ ...over, verdict: over.verdict?.status })} → ${access}`, () => {
    assert.deepEqual(mailVerdict({ ...initialDevice, status: 'enrolled', ...over }), { access, reason });
  });
}
