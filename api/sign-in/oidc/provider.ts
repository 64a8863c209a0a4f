/**
 * A tenant's identity provider as a relying party sees it (OpenID Connect Core 1.0, authorization code flow with PKCE,
 * RFC 7636): discovery, the address of its sign-in, and what its answer proves. Called by single-sign-on.ts and by
 * api/graphql/identity-provider.ts. Protocol and cryptography are npm openid-client's.
 */
import { LRUCache } from 'lru-cache';
import * as client from 'openid-client';
import type { IdentityProviderSettings } from '../../../domain/identity-provider/identity-provider.ts';
import type { TenantId } from '../../../domain/ids.ts';
import { email, name } from '../../../domain/text.ts';
import { MusterError } from '../../../platform/errors.ts';
import { hashSecret } from '../../../platform/new-id.ts';
import { openEgress, requireHttps } from './egress.ts';

/** Who somebody is at the provider, as far as it can be believed. */
export interface Person {
  readonly subject: string;
  /** null: none, or none that the provider has verified. */
  readonly verifiedEmail: string | null;
  readonly name: string | null;
  /** Whether the provider says that it asked for a second factor. */
  readonly secondFactor: boolean;
}

/** What ties an answer of the provider to the question. */
export interface Checks {
  readonly state: string;
  readonly nonce: string;
  /** The secret half of PKCE. */
  readonly verifier: string;
}

export interface Provider {
  /** Where the browser is sent to sign in. */
  signInUrl(checks: Checks, redirectUri: string): Promise<string>;
  /**
   * Redeems what the browser came back with. Throws `single-sign-on-failed` unless issuer, state, nonce, audience,
   * times and signature are right, and `identity-provider-unavailable`.
   */
  redeem(callback: URL, checks: Checks): Promise<Person>;
  /** Where the browser is sent to sign out there too; null: the provider has no such place. */
  signOutUrl(returnTo: string): string | null;
  /** What works less well than it could. */
  readonly warnings: readonly string[];
}

export interface Providers {
  /**
   * The provider of a tenant, discovered at most every ten minutes unless it is to be looked at anew. Throws
   * `identity-provider-refused` and `identity-provider-unavailable`.
   */
  of(
    tenantId: TenantId,
    settings: IdentityProviderSettings,
    secret: string | null,
    options?: { readonly anew?: boolean },
  ): Promise<Provider>;
}

const timeoutSeconds = 10;
const discoveredForMs = 600_000;
const mostKept = 500;

/** The first of an error and its causes for which something is found. */
const inCauses = <T>(error: unknown, find: (error: Error) => T | undefined): T | undefined => {
  let at = error;
  for (let depth = 0; depth < 8 && at instanceof Error; depth += 1) {
    const found = find(at);
    if (found !== undefined) return found;
    at = at instanceof AggregateError ? at.errors[0] : at.cause;
  }
  return undefined;
};

/** Codes of Node, OpenSSL and undici: what went wrong before the provider said a word. */
const networkCode = /^(E[A-Z]{3,}|UND_ERR_\w+|CERT_\w+|UNABLE_\w+|\w*SELF_SIGNED\w*|ERR_(TLS|SSL)_\w+)$/;

/** What a failed call means; its own words are kept, what the provider sent is not: it may hold tokens. */
const faultOf = (error: unknown, otherwise: 'identity-provider-refused' | 'single-sign-on-failed') => {
  const known = inCauses(error, (at) => (at instanceof MusterError ? at : undefined));
  if (known) return known;
  const network = inCauses(error, (at) => {
    const { code } = at as { code?: unknown };
    return networkCode.test(String(code)) || at.name === 'TimeoutError' ? at : undefined;
  });
  const words = (said: unknown) =>
    String(said)
      .replace(/[\p{Cc}\p{Cs}]+/gu, ' ')
      .slice(0, 200);
  if (network) return new MusterError('identity-provider-unavailable', words(network.message));
  const status = inCauses(error, (at) => (at.cause instanceof Response ? at.cause.status : undefined));
  if (status !== undefined && status >= 500)
    return new MusterError('identity-provider-unavailable', `it answers with status ${status}`);
  if (error instanceof client.ResponseBodyError || error instanceof client.AuthorizationResponseError)
    return new MusterError(otherwise, `it says ${words(error.error)}`);
  return new MusterError(otherwise, words(error instanceof Error ? error.message : error));
};

/** How the client proves itself at the token endpoint: Basic unless the provider takes it in the body only. */
const authenticationOf = (secret: string | null): client.ClientAuth => {
  if (secret === null) return client.None();
  const [basic, post] = [client.ClientSecretBasic(secret), client.ClientSecretPost(secret)];
  return (server, ...rest) => {
    const taken = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
    return (taken.includes('client_secret_basic') ? basic : post)(server, ...rest);
  };
};

/** An issuer without the slash that some write and others do not. */
export const issuerOf = ({ issuer }: Pick<IdentityProviderSettings, 'issuer'>): string =>
  issuer.replace(/\/$/, '');

const discover = async (
  settings: IdentityProviderSettings,
  secret: string | null,
  allowed: readonly string[],
): Promise<client.Configuration> => {
  const issuer = requireHttps(settings.issuer, 'the issuer');
  const fetch = openEgress({ allowed, caCertificate: settings.caCertificate });
  const found = await client
    .discovery(issuer, settings.clientId, undefined, authenticationOf(secret), {
      [client.customFetch]: fetch,
      timeout: timeoutSeconds,
      // Without it, a token is believed for having come over TLS.
      execute: [client.enableNonRepudiationChecks],
    })
    .catch((error: unknown) => {
      throw faultOf(error, 'identity-provider-refused');
    });
  const metadata = found.serverMetadata();
  // Those that stand for the issuers of many organisations would let each of them in.
  if (issuerOf(metadata) !== issuerOf(settings))
    throw new MusterError('identity-provider-refused', `it calls itself ${metadata.issuer.slice(0, 200)}`);
  for (const endpoint of ['authorization_endpoint', 'token_endpoint', 'jwks_uri'] as const)
    requireHttps(metadata[endpoint] ?? '', endpoint);
  for (const endpoint of ['userinfo_endpoint', 'end_session_endpoint'] as const)
    if (metadata[endpoint] !== undefined) requireHttps(metadata[endpoint], endpoint);
  return found;
};

const textOf = <T>(schema: { safeParse(given: unknown): { data?: T | undefined } }, given: unknown) =>
  schema.safeParse(given).data ?? null;

const personOf = (
  { secondFactorAcr }: Pick<IdentityProviderSettings, 'secondFactorAcr'>,
  token: client.IDToken,
  details: Readonly<Record<string, unknown>>,
): Person => {
  const { amr, acr } = token;
  return {
    subject: token.sub,
    // Some providers send the word instead of the truth value.
    verifiedEmail: [true, 'true'].includes(details['email_verified'] as boolean)
      ? textOf(email, details['email'])
      : null,
    name: textOf(name, details['name']),
    secondFactor:
      (Array.isArray(amr) && amr.includes('mfa')) ||
      (typeof acr === 'string' && secondFactorAcr.includes(acr)),
  };
};

const warningsOf = (metadata: client.ServerMetadata): string[] => [
  ...(metadata.code_challenge_methods_supported?.includes('S256')
    ? []
    : ['It does not announce PKCE with S256: the code that it sends is protected less well.']),
  ...(metadata.authorization_response_iss_parameter_supported
    ? []
    : ['It does not name itself in its answers (RFC 9207).']),
];

const providerOf = (settings: IdentityProviderSettings, found: client.Configuration): Provider => {
  const metadata = found.serverMetadata();
  const { secondFactorAcr, clientId } = settings;
  return {
    warnings: warningsOf(metadata),
    async signInUrl({ state, nonce, verifier }, redirectUri) {
      const url = client.buildAuthorizationUrl(found, {
        redirect_uri: redirectUri,
        scope: [...new Set(['openid', ...settings.scopes])].join(' '),
        state,
        nonce,
        code_challenge: await client.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        ...(secondFactorAcr.length > 0 ? { acr_values: secondFactorAcr.join(' ') } : {}),
      });
      return url.href;
    },
    async redeem(callback, { state, nonce, verifier }) {
      try {
        const tokens = await client.authorizationCodeGrant(found, callback, {
          expectedState: state,
          expectedNonce: nonce,
          pkceCodeVerifier: verifier,
          idTokenExpected: true,
        });
        const token = tokens.claims() as client.IDToken;
        const more =
          token['email'] === undefined && metadata.userinfo_endpoint !== undefined
            ? await client.fetchUserInfo(found, tokens.access_token, token.sub)
            : {};
        return personOf(settings, token, { ...more, ...token });
      } catch (error) {
        throw faultOf(error, 'single-sign-on-failed');
      }
    },
    signOutUrl(returnTo) {
      if (metadata.end_session_endpoint === undefined) return null;
      const url = new URL(metadata.end_session_endpoint);
      url.searchParams.set('client_id', clientId);
      url.searchParams.set('post_logout_redirect_uri', returnTo);
      return url.href;
    },
  };
};

interface Kept {
  readonly key: string;
  readonly provider: Promise<Provider>;
}

/** Opens the providers of all tenants. `allowed` are addresses and ranges besides public ones. */
export const openProviders = (allowed: readonly string[]): Providers => {
  const kept = new LRUCache<TenantId, Kept>({ max: mostKept, ttl: discoveredForMs });
  return {
    of(tenantId, settings, secret, { anew = false } = {}) {
      const key = hashSecret(JSON.stringify([settings, secret]));
      const known = kept.get(tenantId);
      if (!anew && known?.key === key) return known.provider;
      const provider = discover(settings, secret, allowed).then((found) => providerOf(settings, found));
      const entry = { key, provider };
      kept.set(tenantId, entry);
      provider.catch(() => {
        if (kept.peek(tenantId) === entry) kept.delete(tenantId);
      });
      return provider;
    },
  };
};
