/**
 * The contract of a compliance rule and the facts about a device that rules may look at.
 * Implemented by rules/<rule>.ts, listed in rules/index.ts, run by evaluate.ts.
 */
import type { z } from 'zod';
import type { Apps, Inventory } from '../device/inventory.ts';
import type { Platform } from '../text.ts';

/** What rules know of a device. Times are ISO 8601 UTC. */
export interface DeviceFacts {
  readonly platform: Platform;
  readonly managed: boolean;
  readonly inventory: Inventory;
  readonly apps: Apps;
  /** False until the device has reported its apps for the first time. */
  readonly appsKnown: boolean;
  readonly lastCheckInAt: string | null;
}

/** Severity of a violation, as admins sort by it. */
export type Severity = 'high' | 'medium' | 'low';

/**
 * Outcome of one rule. A violation says why in one sentence and, when the rule itself knows, since when. `dueAt` is
 * the next time at which the outcome changes without the device doing anything.
 */
export type Outcome =
  | { readonly violated: false; readonly dueAt?: string }
  | { readonly violated: true; readonly why: string; readonly since?: string };

/** One rule: `name` is stable and stored in events; `parameters` validates what an admin sets. */
export interface ComplianceRule<Name extends string = string, Parameters extends z.ZodType = z.ZodType> {
  readonly name: Name;
  readonly title: string;
  readonly severity: Severity;
  readonly platforms: readonly Platform[];
  readonly parameters: Parameters;
  readonly check: (device: DeviceFacts, parameters: z.infer<Parameters>, now: string) => Outcome;
}

/** Declares a rule, keeping the types of its name and parameters. */
export const defineRule = <const Name extends string, Parameters extends z.ZodType>(
  rule: ComplianceRule<Name, Parameters>,
): ComplianceRule<Name, Parameters> => rule;

/** The outcome of a rule that is satisfied and stays so until the device reports something. */
export const satisfied: Outcome = { violated: false };
