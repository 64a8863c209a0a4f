/**
 * Commands and decisions of the licence. Called through platform/handle.ts by api/bootstrap.ts, by
 * api/graphql/licence.ts and by `muster licence`. Signatures are verified before: platform/licence.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import type { TenantId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import { findIn } from '../shards.ts';
import {
  type Allotment,
  type Edition,
  evolveLicence,
  initialLicence,
  type LicenceClaims,
  type LicenceEvent,
  type LicenceState,
  licenceEvents,
} from './licence.ts';

export type LicenceCommand =
  /** Identifies a new installation and starts its trial. */
  | { readonly type: 'InstallLicence'; readonly now: string; readonly installationId: string }
  | { readonly type: 'RegisterTrial'; readonly email: string }
  | { readonly type: 'ActivateLicence'; readonly now: string; readonly claims: LicenceClaims }
  | {
      readonly type: 'AllotSeats';
      readonly tenantId: TenantId;
      readonly seats: number;
      readonly edition: Edition;
    };

type Installed = Exclude<LicenceState, { status: 'none' }>;

const trialSeats = 5;
const trialMs = 30 * 24 * 3_600_000;

const install = (command: LicenceCommand & { type: 'InstallLicence' }): LicenceEvent[] => [
  { type: 'InstallationIdentified', data: { installationId: command.installationId } },
  {
    type: 'TrialStarted',
    data: {
      edition: 'advanced',
      seats: trialSeats,
      expiresAt: new Date(Date.parse(command.now) + trialMs).toISOString(),
    },
  },
];

/** A key replaces what is in force, unless it is older, or does not cover what is allotted. */
const activate = (
  { now, claims }: LicenceCommand & { type: 'ActivateLicence' },
  state: Installed,
): Decision<LicenceEvent> => {
  const present = state.grant?.key;
  if (present?.keyId === claims.keyId) return [];
  if (claims.installationId !== state.installationId) {
    return refuse('licence-key-foreign', {
      field: 'key',
      detail: `it is for ${claims.installationId}, this is ${state.installationId}`,
    });
  }
  if (claims.expiresAt <= now)
    return refuse('licence-key-expired', { field: 'key', detail: `it expired at ${claims.expiresAt}` });
  if (present && claims.issuedAt < present.issuedAt) {
    return refuse('licence-key-superseded', {
      field: 'key',
      detail: `it was issued at ${claims.issuedAt}, the present one at ${present.issuedAt}`,
    });
  }
  if (claims.seats < state.allotted) {
    return refuse('seats-exceed-licence', {
      field: 'key',
      detail: `it has ${claims.seats} seats, ${state.allotted} are allotted to tenants`,
    });
  }
  return [{ type: 'LicenceActivated', data: claims }];
};

const none: Allotment = { seats: 0, edition: 'standard' };

/**
 * The sum never exceeds the licence. An allotment may be reduced below what is in use: nothing is taken away, but no
 * new seat is taken until fewer are in use.
 */
const allot = (
  { tenantId, seats, edition }: LicenceCommand & { type: 'AllotSeats' },
  state: Installed,
): Decision<LicenceEvent> => {
  const { grant } = state;
  const present = findIn(state.allotments, tenantId) ?? none;
  if (present.seats === seats && present.edition === edition) return [];
  if (grant?.kind === 'trial' && state.registrationEmail === null && seats > 0)
    return refuse('trial-unregistered');
  if (edition === 'advanced' && grant?.edition !== 'advanced') {
    return refuse('edition-required', { field: 'edition', detail: 'the licence is of the Standard edition' });
  }
  const allotted = state.allotted - present.seats + seats;
  const licensed = grant?.seats ?? 0;
  if (seats > present.seats && allotted > licensed) {
    return refuse('seats-exceed-licence', {
      field: 'seats',
      detail: `${licensed - state.allotted + present.seats} of ${licensed} are free for this tenant`,
    });
  }
  return [{ type: 'SeatsAllotted', data: { tenantId, seats, edition, allotted } }];
};

/** Decides one command: see the refusals it names. */
export const decideLicence = (command: LicenceCommand, state: LicenceState): Decision<LicenceEvent> => {
  if (command.type === 'InstallLicence') return state.status === 'none' ? install(command) : [];
  if (state.status === 'none') return refuse('licence-missing');
  switch (command.type) {
    case 'RegisterTrial':
      return state.registrationEmail === command.email
        ? []
        : [{ type: 'TrialRegistered', data: { email: command.email } }];
    case 'ActivateLicence':
      return activate(command, state);
    case 'AllotSeats':
      return allot(command, state);
    default:
      return never(command);
  }
};

export const licenceDecider: Decider<LicenceState, LicenceCommand, LicenceEvent> = {
  events: licenceEvents,
  stateVersion: 1,
  initial: initialLicence,
  evolve: evolveLicence,
  decide: decideLicence,
};
