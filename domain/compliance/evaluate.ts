/**
 * Evaluates a device against its compliance policy: pure, given the time. Called by domain/device/decide.ts at
 * every check-in, and by the scheduled job for verdicts that time alone changes.
 */
import type { CompliancePolicyId } from '../ids.ts';
import type { DeviceFacts, Outcome } from './rule.ts';
import { ruleOf } from './rules/index.ts';
import type { ComplianceSettings, RuleSetting } from './settings.ts';
import type { Verdict, Violation } from './verdict.ts';

/** The compliance policy that applies to a device, at a version. */
export interface EffectiveCompliancePolicy {
  readonly compliancePolicyId: CompliancePolicyId;
  readonly version: number;
  readonly settings: ComplianceSettings;
}

const violationOf = (
  setting: RuleSetting,
  outcome: Outcome & { violated: true },
  previous: Verdict | null,
  now: string,
): Violation => ({
  rule: setting.rule,
  severity: setting.severity ?? ruleOf(setting.rule).severity,
  why: outcome.why,
  since: outcome.since ?? previous?.violations.find((earlier) => earlier.rule === setting.rule)?.since ?? now,
  actions: [...setting.actions],
});

/** A verdict, and when it must be reached again although the device may stay silent (null: never). */
export interface Evaluation {
  readonly verdict: Verdict;
  readonly dueAt: string | null;
}

/**
 * The verdict on a device at `now` (ISO 8601 UTC). A violation that the previous verdict knew keeps its `since`.
 * A policy of null, or one without rules for the platform, leaves the device unchecked.
 */
export const evaluate = (
  device: DeviceFacts,
  policy: EffectiveCompliancePolicy | null,
  previous: Verdict | null,
  now: string,
): Evaluation => {
  const settings = policy?.settings[device.platform];
  const under = {
    compliancePolicyId: policy?.compliancePolicyId ?? null,
    compliancePolicyVersion: policy?.version ?? null,
  };
  if (!settings) return { verdict: { status: 'unchecked', ...under, violations: [] }, dueAt: null };
  const outcomes = settings.map((setting) => ({
    setting,
    outcome: ruleOf(setting.rule).check(device, setting.parameters, now),
  }));
  const violations = outcomes.flatMap(({ setting, outcome }) =>
    outcome.violated ? [violationOf(setting, outcome, previous, now)] : [],
  );
  const due = outcomes
    .flatMap(({ outcome }) => (!outcome.violated && outcome.dueAt ? [outcome.dueAt] : []))
    .sort();
  const status = violations.length > 0 ? 'non-compliant' : 'compliant';
  return { verdict: { status, ...under, violations }, dueAt: due[0] ?? null };
};
