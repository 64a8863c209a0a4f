/**
 * Facts and state of a handout: enrolment codes for every member of a user group. The codes are not in the log: they
 * follow from a secret that is kept, sealed, until the codes expire. Decided by decide.ts; read by
 * projections/handouts.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { enrolmentId, groupId, userGroupId, userId } from '../ids.ts';
import { email, ownership, platform, time } from '../text.ts';

/** Codes that one event tells of at most. */
export const mostCodesPerEvent = 200;

const request = z.strictObject({
  userGroupId,
  platform: platform.nullable(),
  ownership,
  groupId: groupId.nullable(),
  expiresAt: time,
});

/** A code that was made, and for whom. */
export const issuedCode = z.strictObject({ userId, email, enrolmentId });
export type IssuedCode = z.infer<typeof issuedCode>;

export const handoutEvents = defineEvents('handout', {
  HandoutRequested: request,
  /** `from`: how many codes were made before. */
  HandoutCodesIssued: z.strictObject({
    from: z.int().min(0),
    codes: z.array(issuedCode).min(1).max(mostCodesPerEvent),
  }),
  HandoutFinished: z.strictObject({}),
});

export type HandoutEvent = EventOf<typeof handoutEvents>;

export type HandoutState =
  | { readonly status: 'none' }
  | (z.infer<typeof request> & {
      readonly status: 'running' | 'finished';
      readonly issued: number;
      /** The last user a code was made for: they are taken in the order of their ids. */
      readonly lastUserId: string | null;
      readonly requestedAt: string;
    });

export const initialHandout: HandoutState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveHandout = (state: HandoutState, { type, data, at }: Fact<HandoutEvent>): HandoutState => {
  if (type === 'HandoutRequested')
    return { status: 'running', issued: 0, lastUserId: null, requestedAt: at, ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'HandoutCodesIssued':
      return {
        ...state,
        issued: state.issued + data.codes.length,
        lastUserId: data.codes.at(-1)?.userId ?? state.lastUserId,
      };
    case 'HandoutFinished':
      return { ...state, status: 'finished' };
    default:
      return never(type);
  }
};
