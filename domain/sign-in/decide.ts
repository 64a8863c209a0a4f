/**
 * Commands and decisions of a tenant's sign-in. Called through platform/handle.ts by api/graphql/sign-in.ts
 * (settings) and api/sign-in/record.ts (what happened at the door).
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import {
  evolveSignIn,
  initialSignIn,
  type PasswordPolicy,
  type Portal,
  type SessionPolicy,
  type SignInChallengeSettings,
  type SignInEvent,
  type SignInState,
  signInEvents,
} from './sign-in.ts';

type EventType = SignInEvent['type'];
type Settings =
  | 'PasswordPolicySet'
  | 'SessionPolicySet'
  | 'SignInAddressesRestricted'
  | 'SignInChallengeChosen'
  | 'SecondFactorRequirementSet';

/** What happened at the door: each is a fact of its own, however often it is told. */
export type DoorEvent = Extract<SignInEvent, { readonly type: Exclude<EventType, Settings> }>;

export type SignInCommand =
  | {
      readonly type: 'SetPasswordPolicy';
      readonly policy: PasswordPolicy;
      readonly breachedListThere: boolean;
    }
  | { readonly type: 'SetSessionPolicy'; readonly portal: Portal; readonly policy: SessionPolicy }
  | {
      readonly type: 'RestrictSignInAddresses';
      readonly portal: Portal;
      readonly ranges: readonly string[];
      /** Whether the caller's own address is outside of `ranges`. */
      readonly excludesCaller: boolean;
      readonly force: boolean;
    }
  | {
      readonly type: 'ChooseSignInChallenge';
      readonly challenge: SignInChallengeSettings;
      /** Whether the vault holds the provider's secret. */
      readonly secretThere: boolean;
    }
  | { readonly type: 'RequireSecondFactor'; readonly required: boolean }
  | { readonly type: 'RecordAtDoor'; readonly event: DoorEvent };

const setPasswordPolicy = (
  { policy, breachedListThere }: Extract<SignInCommand, { type: 'SetPasswordPolicy' }>,
  state: SignInState,
): Decision<SignInEvent> => {
  if (policy.refuseBreached && !breachedListThere)
    return refuse('breached-list-missing', { field: 'refuseBreached' });
  return same(state.passwordPolicy, policy) ? [] : [{ type: 'PasswordPolicySet', data: policy }];
};

const restrictAddresses = (
  { portal, ranges, excludesCaller, force }: Extract<SignInCommand, { type: 'RestrictSignInAddresses' }>,
  state: SignInState,
): Decision<SignInEvent> => {
  if (excludesCaller && !force) return refuse('own-address-excluded', { field: 'ranges' });
  if (same(state.addresses[portal], ranges)) return [];
  return [{ type: 'SignInAddressesRestricted', data: { portal, ranges: [...ranges] } }];
};

const chooseChallenge = (
  { challenge, secretThere }: Extract<SignInCommand, { type: 'ChooseSignInChallenge' }>,
  state: SignInState,
): Decision<SignInEvent> => {
  const on = challenge.provider !== 'none';
  if (on && challenge.siteKey === null) return refuse('challenge-key-missing', { field: 'siteKey' });
  if (on && !secretThere) return refuse('challenge-key-missing', { field: 'secret' });
  const chosen = on ? challenge : { ...challenge, siteKey: null };
  return same(state.challenge, chosen) ? [] : [{ type: 'SignInChallengeChosen', data: chosen }];
};

/** Decides one command: see the refusals it names. */
export const decideSignIn = (command: SignInCommand, state: SignInState): Decision<SignInEvent> => {
  switch (command.type) {
    case 'SetPasswordPolicy':
      return setPasswordPolicy(command, state);
    case 'SetSessionPolicy': {
      const { portal, policy } = command;
      if (same(state.sessionPolicies[portal], policy)) return [];
      return [{ type: 'SessionPolicySet', data: { portal, ...policy } }];
    }
    case 'RestrictSignInAddresses':
      return restrictAddresses(command, state);
    case 'ChooseSignInChallenge':
      return chooseChallenge(command, state);
    case 'RequireSecondFactor': {
      const { required } = command;
      if (state.secondFactorRequired === required) return [];
      return [{ type: 'SecondFactorRequirementSet', data: { required } }];
    }
    case 'RecordAtDoor':
      return [command.event];
    default:
      return never(command);
  }
};

export const signInDecider: Decider<SignInState, SignInCommand, SignInEvent> = {
  events: signInEvents,
  stateVersion: 2,
  initial: initialSignIn,
  evolve: evolveSignIn,
  decide: decideSignIn,
};
