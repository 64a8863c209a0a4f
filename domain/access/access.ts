/**
 * Facts of refused access: who asked for what without being allowed to. One stream per account, API key or EAS proxy.
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

/** Mail that a proxy refused, `count` times within a window. Device and user are as the phone claims them. */
export const mailDenial = z.strictObject({
  easDeviceId: line(128).nullable(),
  user: line(320).nullable(),
  /** Name of the proxy's rule. */
  rule: line(64),
  /** Of the first refusal. */
  reason: line(500),
  address: line(64).nullable(),
  count: z.int().min(1),
  since: time,
  until: time,
});
export type MailDenial = z.infer<typeof mailDenial>;

/** Of the proxy's report that told it: a report that is sent again is recorded once. */
const reportId = z.uuid();

export const accessEvents = defineEvents('access', {
  AccessDenied: denial,
  MailDenied: z.strictObject({ ...mailDenial.shape, reportId }),
  /** Refusals of so many more devices, users and rules that a proxy only counted them. */
  MoreMailDenied: z.strictObject({ count: z.int().min(1), until: time, reportId }),
});

export type AccessEvent = EventOf<typeof accessEvents>;

/** When access was last denied; null when it never was. */
export interface AccessState {
  readonly deniedAt: string | null;
  /** The report that was recorded last. */
  readonly reportId: string | null;
}

export const initialAccess: AccessState = { deniedAt: null, reportId: null };

/** Folds one fact into the state. */
export const evolveAccess = (state: AccessState, { type, data }: Fact<AccessEvent>): AccessState => {
  switch (type) {
    case 'AccessDenied':
      return { ...state, deniedAt: data.until };
    case 'MailDenied':
    case 'MoreMailDenied':
      return { deniedAt: data.until, reportId: data.reportId };
    default:
      return never(type);
  }
};
