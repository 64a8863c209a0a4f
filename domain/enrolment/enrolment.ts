/**
 * Facts and state of an enrolment: a one-time code with which one device joins a tenant, for one person. With a
 * `deviceId` it enrols that registered device, else a new one. Decided by decide.ts beside this file.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { type DeviceId, deviceId, type GroupId, groupId } from '../ids.ts';
import { digest } from '../proxy/proxy.ts';
import { email, line, type Ownership, ownership, type Platform, platform, time } from '../text.ts';

/** What a client sends to make a repeated enrolment request recognisable. */
export const requestId = line(100);

export const enrolmentEvents = defineEvents('enrolment', {
  EnrolmentCreated: z.strictObject({
    /** SHA-256 of the canonical code; the code itself is shown once and never stored. */
    codeHash: digest,
    deviceId: deviceId.nullable(),
    userEmail: email.nullable(),
    /** null: any platform may use the code. */
    platform: platform.nullable(),
    ownership,
    groupId: groupId.nullable(),
    expiresAt: time,
  }),
  EnrolmentUsed: z.strictObject({ deviceId, requestId }),
  EnrolmentRevoked: z.strictObject({}),
});

export type EnrolmentEvent = EventOf<typeof enrolmentEvents>;

export type EnrolmentState =
  | { readonly status: 'none' }
  | {
      readonly status: 'open' | 'used' | 'revoked';
      /** The registered device to enrol, or once used the device that enrolled. */
      readonly deviceId: DeviceId | null;
      readonly userEmail: string | null;
      readonly platform: Platform | null;
      readonly ownership: Ownership;
      readonly groupId: GroupId | null;
      readonly expiresAt: string;
      /** Request that used the code. */
      readonly requestId: string | null;
    };

export const initialEnrolment: EnrolmentState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveEnrolment = (
  state: EnrolmentState,
  { type, data }: Fact<EnrolmentEvent>,
): EnrolmentState => {
  if (type === 'EnrolmentCreated') {
    const { codeHash: _, ...rest } = data;
    return { status: 'open', requestId: null, ...rest };
  }
  if (state.status === 'none') return state;
  switch (type) {
    case 'EnrolmentUsed':
      return { ...state, status: 'used', deviceId: data.deviceId, requestId: data.requestId };
    case 'EnrolmentRevoked':
      return { ...state, status: 'revoked' };
    default:
      return never(type);
  }
};
