/**
 * Facts and state of a device group: what its devices have in common is their compliance policy, and that a task
 * bundle can be transferred to all of them. Decided by decide.ts beside this file; membership is a device's fact.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { type CompliancePolicyId, compliancePolicyId } from '../ids.ts';
import { line, name } from '../text.ts';

export const groupEvents = defineEvents('group', {
  GroupCreated: z.strictObject({ name }),
  GroupRenamed: z.strictObject({ name }),
  GroupDescribed: z.strictObject({ description: line(500).nullable() }),
  GroupDeleted: z.strictObject({}),
  GroupCompliancePolicyAssigned: z.strictObject({ compliancePolicyId: compliancePolicyId.nullable() }),
});

export type GroupEvent = EventOf<typeof groupEvents>;

export type GroupState =
  | { readonly status: 'none' }
  | {
      readonly status: 'active' | 'deleted';
      readonly name: string;
      readonly description: string | null;
      /** null: the tenant's compliance policy applies. */
      readonly compliancePolicyId: CompliancePolicyId | null;
    };

export const initialGroup: GroupState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveGroup = (state: GroupState, { type, data }: Fact<GroupEvent>): GroupState => {
  if (type === 'GroupCreated')
    return { status: 'active', name: data.name, description: null, compliancePolicyId: null };
  if (state.status === 'none') return state;
  switch (type) {
    case 'GroupRenamed':
      return { ...state, name: data.name };
    case 'GroupDescribed':
      return { ...state, description: data.description };
    case 'GroupDeleted':
      return { ...state, status: 'deleted', compliancePolicyId: null };
    case 'GroupCompliancePolicyAssigned':
      return { ...state, compliancePolicyId: data.compliancePolicyId };
    default:
      return never(type);
  }
};
