/**
 * Facts and state of a policy: settings under a version number that a device follows. A device has at most one
 * policy of each type and receives every revision at its next sync. Decided by decide.ts beside this file.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { name, type Platform, platform } from '../text.ts';
import { type PolicySettings, policySettings } from './settings.ts';

/** `device` configures the whole device, `container` its managed work container. */
export const policyType = z.enum(['device', 'container']);
export type PolicyType = z.infer<typeof policyType>;

export const policyEvents = defineEvents('policy', {
  PolicyCreated: z.strictObject({
    name,
    policyType,
    platforms: z.array(platform).min(1),
    settings: policySettings,
  }),
  PolicyRenamed: z.strictObject({ name }),
  PolicyRevised: z.strictObject({ version: z.int().min(2), settings: policySettings }),
  PolicyRetired: z.strictObject({}),
});

export type PolicyEvent = EventOf<typeof policyEvents>;

export type PolicyState =
  | { readonly status: 'none' }
  | {
      readonly status: 'active' | 'retired';
      readonly name: string;
      readonly policyType: PolicyType;
      readonly platforms: readonly Platform[];
      /** 1 when created, one more with each revision. */
      readonly version: number;
      readonly settings: PolicySettings;
    };

export const initialPolicy: PolicyState = { status: 'none' };

/** Folds one fact into the state. */
export const evolvePolicy = (state: PolicyState, { type, data }: Fact<PolicyEvent>): PolicyState => {
  if (type === 'PolicyCreated') return { status: 'active', version: 1, ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'PolicyRenamed':
      return { ...state, name: data.name };
    case 'PolicyRevised':
      return { ...state, version: data.version, settings: data.settings };
    case 'PolicyRetired':
      return { ...state, status: 'retired' };
    default:
      return never(type);
  }
};
