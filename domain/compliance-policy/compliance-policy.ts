/**
 * Facts and state of a compliance policy: the rules that devices of a tenant or group must satisfy, versioned.
 * Decided by decide.ts beside this file; evaluated by domain/compliance/evaluate.ts.
 */
import { z } from 'zod';
import { type ComplianceSettings, complianceSettings } from '../compliance/settings.ts';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { name } from '../text.ts';

export const compliancePolicyEvents = defineEvents('compliance-policy', {
  CompliancePolicyCreated: z.strictObject({ name, settings: complianceSettings }),
  CompliancePolicyRenamed: z.strictObject({ name }),
  CompliancePolicyRevised: z.strictObject({ version: z.int().min(2), settings: complianceSettings }),
  CompliancePolicyRetired: z.strictObject({}),
});

export type CompliancePolicyEvent = EventOf<typeof compliancePolicyEvents>;

export type CompliancePolicyState =
  | { readonly status: 'none' }
  | {
      readonly status: 'active' | 'retired';
      readonly name: string;
      /** 1 when created, one more with each revision. */
      readonly version: number;
      readonly settings: ComplianceSettings;
    };

export const initialCompliancePolicy: CompliancePolicyState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveCompliancePolicy = (
  state: CompliancePolicyState,
  { type, data }: Fact<CompliancePolicyEvent>,
): CompliancePolicyState => {
  if (type === 'CompliancePolicyCreated') return { status: 'active', version: 1, ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'CompliancePolicyRenamed':
      return { ...state, name: data.name };
    case 'CompliancePolicyRevised':
      return { ...state, version: data.version, settings: data.settings };
    case 'CompliancePolicyRetired':
      return { ...state, status: 'retired' };
    default:
      return never(type);
  }
};
