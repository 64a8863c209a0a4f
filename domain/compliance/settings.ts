/**
 * What a compliance policy contains: per platform, which rules apply, with which parameters, severity and actions.
 * Called by the facts of a compliance policy, by evaluate.ts and by the API's input validation.
 */
import { z } from 'zod';
import { taskBundleId } from '../ids.ts';
import { type Platform, platforms } from '../text.ts';
import type { Severity } from './rule.ts';
import { type RuleName, rules } from './rules/index.ts';

export const severity = z.enum(['high', 'medium', 'low']);

/** What a violation leads to. */
export const action = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('deny-mail') }),
  z.strictObject({ action: z.literal('create-alert') }),
  z.strictObject({ action: z.literal('transfer-task-bundle'), taskBundleId }),
]);
export type Action = z.infer<typeof action>;

/** One rule of a policy. Without `severity` the rule's own applies. */
export interface RuleSetting {
  readonly rule: RuleName;
  readonly parameters: Record<string, unknown>;
  readonly severity?: Severity | undefined;
  readonly actions: readonly Action[];
}

const settingOf = (rule: (typeof rules)[number]) =>
  z.strictObject({
    rule: z.literal(rule.name),
    parameters: rule.parameters,
    severity: severity.optional(),
    actions: z.array(action).max(10),
  });

/** A setting of any rule, its parameters validated by the rule it names. */
export const ruleSetting = z.discriminatedUnion(
  'rule',
  rules.map(settingOf) as [ReturnType<typeof settingOf>],
) as unknown as z.ZodType<RuleSetting>;

const rulesOf = (platform: Platform) =>
  z
    .array(ruleSetting)
    .max(50)
    .refine((list) => new Set(list.map((setting) => setting.rule)).size === list.length, 'names a rule twice')
    .refine(
      (list) =>
        list.every((setting) =>
          rules.find((rule) => rule.name === setting.rule)?.platforms.includes(platform as never),
        ),
      'names a rule that is not for this platform',
    )
    .optional();

/** Rules per platform. A platform without a list is not checked: its devices stay `unchecked`. */
export const complianceSettings = z.strictObject(
  Object.fromEntries(platforms.map((platform) => [platform, rulesOf(platform)])) as Record<
    Platform,
    ReturnType<typeof rulesOf>
  >,
);
export type ComplianceSettings = z.infer<typeof complianceSettings>;
