/**
 * Facts of refused access: who asked for what without being allowed to. One stream per account or API key.
 * Decided by decide.ts beside this file; read by the audit trail alone, so that there is no state to speak of.
 */
import { z } from 'zod';
import { permission } from '../account/permissions.ts';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { line, time } from '../text.ts';

/** The same refusal `count` times within a window; the first of a window is recorded at once, alone. */
export const denial = z.strictObject({
  /** GraphQL field or REST route that was asked for. */
  operation: line(200),
  permission,
  address: line(64),
  count: z.int().min(1),
  since: time,
  until: time,
});
export type Denial = z.infer<typeof denial>;

export const accessEvents = defineEvents('access', { AccessDenied: denial });

export type AccessEvent = EventOf<typeof accessEvents>;

/** When access was last denied; null when it never was. */
export interface AccessState {
  readonly deniedAt: string | null;
}

export const initialAccess: AccessState = { deniedAt: null };

/** Folds one fact into the state. */
export const evolveAccess = (_: AccessState, { type, data }: Fact<AccessEvent>): AccessState => {
  switch (type) {
    case 'AccessDenied':
      return { deniedAt: data.until };
    default:
      return never(type);
  }
};
