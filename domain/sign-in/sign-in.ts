/**
 * Facts and state of how accounts of a tenant sign in: its policies, and what happened at the door. One stream per
 * tenant, under the tenant's own id. Decided by decide.ts beside this file; read by api/, which folds it at requests.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { accountId, userId } from '../ids.ts';
import { line, time } from '../text.ts';

/** Where people sign in: administrators of the tenant, or its users for their own devices. */
export const portal = z.enum(['admin', 'self-service']);
export type Portal = z.infer<typeof portal>;

/** What a new password must be like. `expiryDays` null: it never expires. */
export const passwordPolicy = z.strictObject({
  minimumLength: z.int().min(8).max(128),
  /** How many of lower case, upper case, digits and everything else must occur. */
  classes: z.int().min(0).max(4),
  refuseCommon: z.boolean(),
  refuseBreached: z.boolean(),
  /** How many earlier passwords must not come back, the present one included. */
  history: z.int().min(0).max(24),
  expiryDays: z.int().min(1).max(3650).nullable(),
});
export type PasswordPolicy = z.infer<typeof passwordPolicy>;

/** How long a session of one portal lasts. */
export const sessionPolicy = z.strictObject({
  idleMinutes: z.int().min(1).max(10_080),
  absoluteHours: z.int().min(1).max(720),
});
export type SessionPolicy = z.infer<typeof sessionPolicy>;

/** Addresses from which a portal can be used: single ones or CIDR ranges. None: from everywhere. */
export const addressRanges = z
  .array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], 'must be an IP address or a CIDR range'))
  .max(200);

/** Who asks the questions that tell people from programs, after `afterFailures` failed attempts. */
export const challengeProvider = z.enum(['none', 'recaptcha']);
export type ChallengeProvider = z.infer<typeof challengeProvider>;

export const signInChallenge = z.strictObject({
  provider: challengeProvider,
  afterFailures: z.int().min(1).max(100),
  /** The public half of the provider's key; null with `none`. The secret half is in the vault. */
  siteKey: line(200).nullable(),
});
export type SignInChallengeSettings = z.infer<typeof signInChallenge>;

/** An IP address as seen, or as much of it as is counted together. */
const address = line(60);
const count = z.int().min(1);

/** Why sessions ended before their time. */
export const sessionEnd = z.enum([
  'role-changed',
  'signed-out',
  'revoked',
  'password-changed',
  'account-disabled',
  'link-redeemed',
  'second-factor-changed',
]);
export type SessionEnd = z.infer<typeof sessionEnd>;

export const linkKind = z.enum(['invitation', 'reset']);
export type LinkKind = z.infer<typeof linkKind>;

/** How an owner was proven: by the password, by a passkey alone, or by the tenant's identity provider. */
export const signInMethod = z.enum(['password', 'passkey', 'identity-provider']);
export type SignInMethod = z.infer<typeof signInMethod>;

export const signInEvents = defineEvents(
  'sign-in',
  {
    PasswordPolicySet: passwordPolicy,
    SessionPolicySet: sessionPolicy.extend({ portal }),
    SignInAddressesRestricted: z.strictObject({ portal, ranges: addressRanges }),
    SignInChallengeChosen: signInChallenge,
    /** Whether accounts need a second factor in the portal of administrators. */
    SecondFactorRequirementSet: z.strictObject({ required: z.boolean() }),
    AccountSignedIn: z.strictObject({
      accountId,
      portal,
      sessionId: z.uuid(),
      address,
      userAgent: line(300).nullable(),
      /** Whether the account had signed in from that address or program before. */
      known: z.boolean(),
      method: signInMethod,
    }),
    /** A user entered the self-service portal. */
    UserSignedIn: z.strictObject({
      userId,
      address,
      userAgent: line(300).nullable(),
      method: z.enum(['directory', 'identity-provider']),
    }),
    /** Somebody whom the identity provider vouched for stayed out; `reason` is a code of the catalogue. */
    SingleSignOnRefused: z.strictObject({ portal, reason: line(60), address }),
    /** `accountId` null: of accounts that do not exist. `address` null: of more addresses than are told one by one. */
    SignInsFailed: z.strictObject({
      accountId: accountId.nullable(),
      address: address.nullable(),
      /** Failures since the full hour. */
      failures: count,
    }),
    SignInsPaused: z.strictObject({
      accountId: accountId.nullable(),
      address: address.nullable(),
      /** Attempts since the full hour that had to wait. */
      attempts: count,
    }),
    SessionsEnded: z.strictObject({
      accountId,
      /** null: every one, or every other one. */
      sessionId: z.uuid().nullable(),
      sessions: count,
      reason: sessionEnd,
      address: address.nullable(),
    }),
    SignInLinkIssued: z.strictObject({ accountId, kind: linkKind, mailed: z.boolean(), expiresAt: time }),
    SignInLinkRedeemed: z.strictObject({ accountId, kind: linkKind, address }),
    /** Somebody asked for a reset, and the mail with the link could not be handed over. */
    SignInLinkUndeliverable: z.strictObject({
      accountId,
      reason: z.enum(['no-mail-transport', 'mail-refused']),
    }),
  },
  // Before there were identity providers, everybody had a password.
  { AccountSignedIn: [(data) => ({ method: 'password', ...data })] },
);

export type SignInEvent = EventOf<typeof signInEvents>;

/** The settings. null: the tenant has not chosen, the installation's defaults apply. */
export interface SignInState {
  readonly passwordPolicy: PasswordPolicy;
  readonly sessionPolicies: Readonly<Record<Portal, SessionPolicy | null>>;
  readonly addresses: Readonly<Record<Portal, readonly string[]>>;
  readonly challenge: SignInChallengeSettings;
  /** True: an account without a second factor can do nothing but set one up. */
  readonly secondFactorRequired: boolean;
}

export const initialSignIn: SignInState = {
  passwordPolicy: {
    minimumLength: 12,
    classes: 0,
    refuseCommon: true,
    refuseBreached: false,
    history: 0,
    expiryDays: null,
  },
  sessionPolicies: { admin: null, 'self-service': null },
  addresses: { admin: [], 'self-service': [] },
  challenge: { provider: 'none', afterFailures: 3, siteKey: null },
  secondFactorRequired: false,
};

/** Folds one fact into the state; what happened at the door changes no setting. */
export const evolveSignIn = (state: SignInState, { type, data }: Fact<SignInEvent>): SignInState => {
  switch (type) {
    case 'PasswordPolicySet':
      return { ...state, passwordPolicy: data };
    case 'SessionPolicySet': {
      const { portal, ...policy } = data;
      return { ...state, sessionPolicies: { ...state.sessionPolicies, [portal]: policy } };
    }
    case 'SignInAddressesRestricted':
      return { ...state, addresses: { ...state.addresses, [data.portal]: data.ranges } };
    case 'SignInChallengeChosen':
      return { ...state, challenge: data };
    case 'SecondFactorRequirementSet':
      return { ...state, secondFactorRequired: data.required };
    case 'AccountSignedIn':
    case 'UserSignedIn':
    case 'SingleSignOnRefused':
    case 'SignInsFailed':
    case 'SignInsPaused':
    case 'SessionsEnded':
    case 'SignInLinkIssued':
    case 'SignInLinkRedeemed':
    case 'SignInLinkUndeliverable':
      return state;
    default:
      return never(type);
  }
};
