/**
 * A compliance verdict: what a device's last evaluation concluded, under which policy, and what follows from it.
 * Yielded by evaluate.ts, stored in the device's events.
 */
import { z } from 'zod';
import { compliancePolicyId } from '../ids.ts';
import { line, time } from '../text.ts';
import { ruleNames } from './rules/index.ts';
import { action, severity } from './settings.ts';

/** One violated rule: why, and since when it has been violated. */
export const violation = z.strictObject({
  rule: z.enum(ruleNames),
  severity,
  why: line(4000),
  since: time,
  actions: z.array(action),
});
export type Violation = z.infer<typeof violation>;

/** `unchecked`: no compliance policy applies to the device, or the policy leaves its platform out. */
export const verdict = z.strictObject({
  status: z.enum(['compliant', 'non-compliant', 'unchecked']),
  compliancePolicyId: compliancePolicyId.nullable(),
  compliancePolicyVersion: z.int().nullable(),
  violations: z.array(violation),
});
export type Verdict = z.infer<typeof verdict>;

/** True when a violation of the verdict demands that mail be denied. */
export const deniesMail = (reached: Verdict): boolean =>
  reached.violations.some((violated) => violated.actions.some((taken) => taken.action === 'deny-mail'));
