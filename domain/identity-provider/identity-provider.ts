/**
 * Facts and state of a tenant's identity provider: where its people sign in once for everything (OpenID Connect Core
 * 1.0). One stream per tenant, under the tenant's own id. The client secret is never an event. Decided by decide.ts;
 * read by api/, which folds it at requests.
 */
import { z } from 'zod';
import { anyRole } from '../account/account.ts';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { type AccountId, accountId } from '../ids.ts';
import { type Portal, portal } from '../sign-in/sign-in.ts';
import { line } from '../text.ts';
import { issuerUrl } from './identity.ts';

/** A scope token (RFC 6749 §3.3). */
const scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/, 'a scope token');

export const identityProviderSettings = z.strictObject({
  issuer: issuerUrl,
  clientId: line(255),
  /** `openid` is asked for in any case. */
  scopes: z.array(scope).max(20),
  /** CA of the provider in PEM, when it is not a public one. */
  caCertificate: z
    .string()
    .max(20_000)
    .regex(/-----BEGIN CERTIFICATE-----/, 'a certificate in PEM')
    .nullable(),
  portals: z.array(portal).min(1).max(2),
  /**
   * How the provider's somebody is told to be one of ours, the first time: by an address that the provider verified,
   * or only because an administrator said so. From then on it is the subject alone that counts.
   */
  firstSignIn: z.enum(['verified-email', 'bound-only']),
  /** Role of accounts that are made for people who have none; null: they stay out. */
  provisionRole: anyRole.nullable(),
  /** Whether users are made for people who have none, in the self-service portal. */
  provisionUsers: z.boolean(),
  /** Whether the provider is trusted to ask for a second factor, whatever it says of a sign-in. */
  trustSecondFactor: z.boolean(),
  /** Values of `acr` that mean a second factor, besides `mfa` in `amr` (RFC 8176). */
  secondFactorAcr: z.array(line(200)).max(10),
  /** Whether nobody signs in with a password any more, but for `passwordAccounts`. */
  required: z.boolean(),
  /** Accounts that keep their password when the provider fails: with `required`, at least one that can help. */
  passwordAccounts: z.array(accountId).max(20),
});
export type IdentityProviderSettings = z.infer<typeof identityProviderSettings>;

export const identityProviderEvents = defineEvents('identity-provider', {
  IdentityProviderConfigured: z.strictObject({ settings: identityProviderSettings }),
  IdentityProviderSecretChanged: z.strictObject({}),
  IdentityProviderRemoved: z.strictObject({}),
});

export type IdentityProviderEvent = EventOf<typeof identityProviderEvents>;

export type IdentityProviderState =
  | { readonly status: 'none' }
  | { readonly status: 'configured'; readonly settings: IdentityProviderSettings };

export const initialIdentityProvider: IdentityProviderState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveIdentityProvider = (
  state: IdentityProviderState,
  { type, data }: Fact<IdentityProviderEvent>,
): IdentityProviderState => {
  switch (type) {
    case 'IdentityProviderConfigured':
      return { status: 'configured', settings: data.settings };
    case 'IdentityProviderSecretChanged':
      return state;
    case 'IdentityProviderRemoved':
      return initialIdentityProvider;
    default:
      return never(type);
  }
};

/** Whether a right password does not help at a portal. `accountId` null: of a user. */
export const isClosedToPasswords = (
  state: IdentityProviderState,
  portal: Portal,
  accountId: AccountId | null,
): boolean =>
  state.status === 'configured' &&
  state.settings.required &&
  state.settings.portals.includes(portal) &&
  (accountId === null || !state.settings.passwordAccounts.includes(accountId));

/** Whether the account is a way in for when the provider fails. */
export const isWayBack = (state: IdentityProviderState, accountId: AccountId): boolean =>
  state.status === 'configured' &&
  state.settings.required &&
  state.settings.passwordAccounts.includes(accountId);
