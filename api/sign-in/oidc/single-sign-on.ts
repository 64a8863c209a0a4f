/**
 * Sign-in by a tenant's identity provider: where the browser is sent, and what becomes of it when it comes back.
 * Called by routes.ts.
 */

import type { IdentityProviderSettings } from '../../../domain/identity-provider/identity-provider.ts';
import type { TenantId, UserId } from '../../../domain/ids.ts';
import { isRefusal, type Refusal, refuse } from '../../../domain/refusals.ts';
import type { Portal } from '../../../domain/sign-in/sign-in.ts';
import { tenantDecider } from '../../../domain/tenant/decide.ts';
import { operatorTenantId } from '../../../domain/tenant/tenant.ts';
import { userDecider } from '../../../domain/user/decide.ts';
import { MusterError } from '../../../platform/errors.ts';
import { hashSecret } from '../../../platform/new-id.ts';
import { identityProviderSecretPurpose } from '../../../platform/sealed-secrets.ts';
import { countedAddress } from '../../address.ts';
import type { Attempt } from '../../vault/attempts.ts';
import type { SingleSignOn, Ties } from '../../vault/single-sign-ons.ts';
import { signInSettings } from '../door.ts';
import {
  type EnterParts,
  insiderOf,
  type Proven,
  requireAddress,
  requireTurn,
  subjectOf,
  tenantOf,
} from '../enter.ts';
import { providerFor } from '../identity-provider.ts';
import { accountOf, type Finding, userOf } from './owner.ts';
import type { Person, Provider } from './provider.ts';

/** Where every provider sends the browser back to. Never what a request says. */
export const redirectUriOf = ({ door }: Pick<EnterParts, 'door'>): string =>
  `${door.publicUrl()}/sign-in/oidc/callback`;

/** The provider of a tenant, ready to be spoken to. */
export const openProvider = async (
  { door, credentials }: Pick<EnterParts, 'door' | 'credentials'>,
  tenantId: TenantId,
  settings: IdentityProviderSettings,
  options: { readonly anew?: boolean } = {},
): Promise<Provider> => {
  const secret = await credentials.secrets.get(tenantId, identityProviderSecretPurpose);
  return door.providers.of(tenantId, settings, secret, options);
};

/** Where somebody wants to go. */
export interface Wanted {
  readonly tenantSlug: string;
  readonly portal: Portal;
  readonly returnTo: string;
}

/**
 * The address at the provider to which the browser goes. Refuses `identity-provider-missing`, of tenants that do not
 * exist too. Throws `address-refused`, `too-many-attempts` and what keeps the provider from being used.
 */
export const beginSingleSignOn = async (
  parts: EnterParts,
  { tenantSlug, portal, returnTo }: Wanted,
  browserSecret: string,
): Promise<string | Refusal> => {
  const { deps, credentials, address } = parts;
  const tenantId = await tenantOf(deps, tenantSlug);
  // Looked up for nobody as well, so that the answer takes as long.
  const settings = await providerFor(deps, tenantId ?? operatorTenantId, portal);
  if (!tenantId || !settings) return refuse('identity-provider-missing');
  requireAddress(await signInSettings(deps, tenantId), portal, address);
  const what: SingleSignOn = { tenantId, portal, issuer: settings.issuer, returnTo };
  const ties = await credentials.singleSignOns.begin(what, browserSecret, countedAddress(address));
  if (!ties)
    throw new MusterError('too-many-attempts', 'too many sign-ins were begun from this address', {
      retryAfterMs: 60_000,
    });
  const provider = await openProvider(parts, tenantId, settings);
  return provider.signInUrl(ties, redirectUriOf(parts));
};

/** Who came back, and where to now. */
export type Arrived =
  | { readonly kind: 'account'; readonly proven: Proven; readonly returnTo: string }
  | {
      readonly kind: 'user';
      readonly tenantId: TenantId;
      readonly userId: UserId;
      readonly returnTo: string;
    };

/** The proven owner of an account, unless something keeps it out. */
const proveAccount = async (
  parts: EnterParts,
  { tenantId, portal, settings, person }: Finding & Pick<SingleSignOn, 'portal'>,
  clientToken: string | undefined,
): Promise<Proven | Refusal> => {
  const { deps, credentials, requestId, address } = parts;
  const accountId = await accountOf({ handler: deps.handler, tenantId, settings, person, requestId });
  if (isRefusal(accountId)) return accountId;
  const owner = { tenantId, accountId };
  const insider = await insiderOf(parts, owner);
  if ('refused' in insider) return insider;
  const { account, tenantSlug } = insider;
  const attempt: Attempt = {
    account: subjectOf(tenantSlug, account.email),
    address: countedAddress(address),
    clientToken,
  };
  const { known } = await credentials.attempts.standing(attempt);
  return {
    step: 'proven',
    owner,
    account,
    settings: await signInSettings(deps, tenantId),
    passwordDue: null,
    portal,
    attempt,
    known,
    method: 'identity-provider',
    vouched: settings.trustSecondFactor || person.secondFactor,
  };
};

const proveUser = async ({ deps }: EnterParts, finding: Finding): Promise<UserId | Refusal> => {
  const { handler } = deps;
  const { tenantId } = finding;
  const userId = await userOf(finding);
  if (isRefusal(userId)) return userId;
  const [tenant, user] = await Promise.all([
    handler.load(tenantDecider, { tenantId, id: tenantId }),
    handler.load(userDecider, { tenantId, id: userId }),
  ]);
  if (tenant.state.status !== 'active') return refuse('tenant-suspended');
  return user.state.status === 'active' ? userId : refuse('user-disabled');
};

type Begun = SingleSignOn & { readonly ties: Ties };

/** Whom the provider vouches for. A provider that was changed meanwhile is not handed the other one's code. */
const redeem = async (
  parts: EnterParts,
  { tenantId, portal, issuer, ties }: Begun,
  query: URLSearchParams,
): Promise<{ settings: IdentityProviderSettings; person: Person } | Refusal> => {
  const settings = await providerFor(parts.deps, tenantId, portal);
  if (!settings) return refuse('identity-provider-missing');
  if (settings.issuer !== issuer) return refuse('sign-in-over');
  requireAddress(await signInSettings(parts.deps, tenantId), portal, parts.address);
  const tenant = await parts.deps.handler.load(tenantDecider, { tenantId, id: tenantId });
  if (tenant.state.status !== 'active') return refuse('tenant-suspended');
  const provider = await openProvider(parts, tenantId, settings);
  const person = await provider.redeem(new URL(`${redirectUriOf(parts)}?${query}`), ties);
  return { settings, person };
};

const arrive = async (
  parts: EnterParts,
  begun: Begun,
  query: URLSearchParams,
  clientToken: string | undefined,
): Promise<Arrived | Refusal> => {
  const { deps, requestId } = parts;
  const { tenantId, portal, returnTo } = begun;
  const redeemed = await redeem(parts, begun, query);
  if (isRefusal(redeemed)) return redeemed;
  const finding = { handler: deps.handler, tenantId, requestId, ...redeemed };
  if (portal === 'admin') {
    const proven = await proveAccount(parts, { ...finding, portal }, clientToken);
    return isRefusal(proven) ? proven : { kind: 'account', proven, returnTo };
  }
  const userId = await proveUser(parts, finding);
  return isRefusal(userId) ? userId : { kind: 'user', tenantId, userId, returnTo };
};

/** Says in the tenant's log that somebody stayed out, after the answer. */
const recordRefused = (parts: EnterParts, { tenantId, portal }: Begun, reason: string): void => {
  const { door, requestId, address } = parts;
  const data = { portal, reason, address: countedAddress(address) };
  door.recorder.later('single sign-on', async () => {
    await door.recorder.tell(tenantId, { type: 'SingleSignOnRefused', data }, { requestId });
  });
};

/**
 * Takes a browser back from the provider. Refuses `sign-in-over` when it was not the one that was sent, or not just
 * now, and what keeps out an owner. Throws as `Provider.redeem` does, `address-refused` and `too-many-attempts`.
 */
export const completeSingleSignOn = async (
  parts: EnterParts,
  query: URLSearchParams,
  { browserSecret, clientToken }: { browserSecret: string | undefined; clientToken: string | undefined },
): Promise<Arrived | Refusal> => {
  const { attempts, singleSignOns } = parts.credentials;
  const browser = browserSecret === undefined ? 'none' : hashSecret(browserSecret);
  const attempt = { account: `single-sign-on/${browser}`, address: countedAddress(parts.address) };
  await requireTurn(parts, attempt, null);
  const state = query.get('state');
  const begun =
    state === null || browserSecret === undefined
      ? undefined
      : await singleSignOns.take(state, browserSecret);
  if (!begun) return refuse('sign-in-over');
  try {
    const arrived = await arrive(parts, begun, query, clientToken);
    if (isRefusal(arrived)) recordRefused(parts, begun, arrived.refused);
    else await attempts.succeed(attempt);
    return arrived;
  } catch (error) {
    if (error instanceof MusterError) recordRefused(parts, begun, error.code);
    throw error;
  }
};
