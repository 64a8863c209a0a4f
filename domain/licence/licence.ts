/**
 * Facts and state of the licence: what the installation may use, and how its seats are split among tenants. There is
 * one, in the operator tenant. Decided by decide.ts beside this file; what it permits is in entitlement.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { type LicenceId, tenantId } from '../ids.ts';
import { putInto, type Shards } from '../shards.ts';
import { email, name, time } from '../text.ts';

/** The id of the one licence, the same in every installation: processes that start together make one. */
export const theLicenceId = `lic${'0'.repeat(26)}` as LicenceId;

/** `advanced` includes the management of container apps. */
export const edition = z.enum(['standard', 'advanced']);
export type Edition = z.infer<typeof edition>;

/** More seats than any installation has devices. */
export const seatCount = z.int().min(0).max(10_000_000);

/** What a licence key says once its signature is verified. `issuer` is the thumbprint of the key that signed it. */
export const licenceClaims = z.strictObject({
  keyId: z.uuid(),
  issuer: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  installationId: z.uuid(),
  licensee: name,
  edition,
  seats: seatCount,
  issuedAt: time,
  expiresAt: time,
});
export type LicenceClaims = z.infer<typeof licenceClaims>;

export const licenceEvents = defineEvents('licence', {
  InstallationIdentified: z.strictObject({ installationId: z.uuid() }),
  TrialStarted: z.strictObject({ edition, seats: seatCount, expiresAt: time }),
  TrialRegistered: z.strictObject({ email }),
  LicenceActivated: licenceClaims,
  /** `allotted` is the sum over all tenants after it. */
  SeatsAllotted: z.strictObject({ tenantId, seats: seatCount, edition, allotted: seatCount }),
});

export type LicenceEvent = EventOf<typeof licenceEvents>;

/** What a tenant may use of the licence. */
export interface Allotment {
  readonly seats: number;
  readonly edition: Edition;
}

/** What is in force: the trial, or the key that replaced it or another key. */
export interface Grant {
  readonly kind: 'trial' | 'key';
  readonly edition: Edition;
  readonly seats: number;
  readonly expiresAt: string;
  /** Of a key: its id, who it was made out to, and when. */
  readonly key: { readonly keyId: string; readonly licensee: string; readonly issuedAt: string } | null;
}

export type LicenceState =
  | { readonly status: 'none' }
  | {
      readonly status: 'installed';
      readonly installationId: string;
      /** Who the trial is registered to; null until then. */
      readonly registrationEmail: string | null;
      readonly grant: Grant | null;
      /** Sum of the allotted seats. */
      readonly allotted: number;
      readonly allotments: Shards<Allotment>;
    };

export const initialLicence: LicenceState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveLicence = (state: LicenceState, { type, data }: Fact<LicenceEvent>): LicenceState => {
  if (type === 'InstallationIdentified') {
    const { installationId } = data;
    return {
      status: 'installed',
      installationId,
      registrationEmail: null,
      grant: null,
      allotted: 0,
      allotments: [],
    };
  }
  if (state.status === 'none') return state;
  switch (type) {
    case 'TrialStarted':
      return { ...state, grant: { kind: 'trial', ...data, key: null } };
    case 'TrialRegistered':
      return { ...state, registrationEmail: data.email };
    case 'LicenceActivated': {
      const { keyId, licensee, issuedAt, seats, expiresAt } = data;
      return {
        ...state,
        grant: {
          kind: 'key',
          edition: data.edition,
          seats,
          expiresAt,
          key: { keyId, licensee, issuedAt },
        },
      };
    }
    case 'SeatsAllotted': {
      const { seats, allotted } = data;
      return {
        ...state,
        allotted,
        allotments: putInto(state.allotments, data.tenantId, { seats, edition: data.edition }),
      };
    }
    default:
      return never(type);
  }
};
