/**
 * The registry of compliance rules: a new rule is a file beside this one and a line here.
 * Called by evaluate.ts, by the facts of a compliance policy, and by the API that describes rules.
 */
import type { ComplianceRule } from '../rule.ts';
import { encryption } from './encryption.ts';
import { forbiddenApps } from './forbidden-apps.ts';
import { managed } from './managed.ts';
import { mandatoryApps } from './mandatory-apps.ts';
import { maximumOsVersion } from './maximum-os-version.ts';
import { maximumSyncGap } from './maximum-sync-gap.ts';
import { minimumOsVersion } from './minimum-os-version.ts';
import { notRooted } from './not-rooted.ts';
import { screenLock } from './screen-lock.ts';

export const rules = [
  managed,
  minimumOsVersion,
  maximumOsVersion,
  notRooted,
  screenLock,
  encryption,
  mandatoryApps,
  forbiddenApps,
  maximumSyncGap,
] as const;

/** Name of a rule, as stored in compliance policies and verdicts. */
export type RuleName = (typeof rules)[number]['name'];

export const ruleNames = rules.map((rule) => rule.name) as readonly RuleName[];

const byName: ReadonlyMap<string, ComplianceRule> = new Map(
  rules.map((rule) => [rule.name, rule as unknown as ComplianceRule]),
);

/** The rule of that name. */
export const ruleOf = (name: RuleName): ComplianceRule => byName.get(name) as ComplianceRule;
