/**
 * Facts and state of a sighting: somebody whose password the mail server took asked for mail from a device that no
 * enrolled device claims. One stream for each pair of user and EAS id. Decided by decide.ts; read by
 * projections/mail-sightings.ts as the quarantine.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { easDeviceId } from '../device/inventory.ts';
import { deviceId } from '../ids.ts';
import { line, time } from '../text.ts';

/** What was seen, as the phone says it; the mail server vouches for the user alone. */
export const sighting = z.strictObject({
  /** Canonical: upper case. */
  easDeviceId,
  /** As signed in: `user`, `DOMAIN\user` or an address, lower case. */
  user: line(320),
  deviceType: line(64).nullable(),
  userAgent: line(200).nullable(),
  address: line(64).nullable(),
  at: time,
});
export type Sighting = z.infer<typeof sighting>;

export const mailSightingEvents = defineEvents('mail-sighting', {
  MailDeviceSighted: sighting,
  /** `automatically`: by the tenant's rule, not by an administrator. */
  MailSightingBound: z.strictObject({ deviceId, automatically: z.boolean() }),
  MailSightingDismissed: z.strictObject({}),
});

export type MailSightingEvent = EventOf<typeof mailSightingEvents>;

export type MailSightingState =
  | { readonly status: 'none' }
  | (Sighting & {
      readonly status: 'open' | 'bound' | 'dismissed';
      readonly firstSeenAt: string;
      /** The device that it was bound to last. */
      readonly deviceId: z.infer<typeof deviceId> | null;
      /** When it was bound or dismissed last. */
      readonly settledAt: string | null;
    });

export const initialMailSighting: MailSightingState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveMailSighting = (
  state: MailSightingState,
  { type, data, at }: Fact<MailSightingEvent>,
): MailSightingState => {
  if (type === 'MailDeviceSighted') {
    const before =
      state.status === 'none' ? { firstSeenAt: data.at, deviceId: null, settledAt: null } : state;
    return { ...before, ...data, status: state.status === 'dismissed' ? 'dismissed' : 'open' };
  }
  if (state.status === 'none') return state;
  switch (type) {
    case 'MailSightingBound':
      return { ...state, status: 'bound', deviceId: data.deviceId, settledAt: at };
    case 'MailSightingDismissed':
      return { ...state, status: 'dismissed', settledAt: at };
    default:
      return never(type);
  }
};
