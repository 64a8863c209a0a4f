/**
 * The identity provider of a tenant, as sign-in asks for it: its settings from the log, its secret from the vault.
 * Called by enter.ts, oidc/ and api/graphql/.
 */

import { identityProviderDecider } from '../../domain/identity-provider/decide.ts';
import {
  type IdentityProviderSettings,
  type IdentityProviderState,
  isClosedToPasswords,
} from '../../domain/identity-provider/identity-provider.ts';
import type { AccountId, TenantId } from '../../domain/ids.ts';
import type { Portal } from '../../domain/sign-in/sign-in.ts';
import type { Deps } from '../../platform/deps.ts';

/** A change is noticed within this time, in every process. */
const maxAgeMs = 2000;

/** How a tenant's provider stands. `fresh` reads what was decided last, for who is about to change it. */
export const identityProviderState = async (
  { handler }: Pick<Deps, 'handler'>,
  tenantId: TenantId,
  options: { readonly fresh?: boolean } = {},
): Promise<IdentityProviderState> => {
  const target = { tenantId, id: tenantId };
  return (await handler.load(identityProviderDecider, target, options.fresh ? {} : { maxAgeMs })).state;
};

/** The provider by which a portal can be entered; undefined when there is none. */
export const providerFor = async (
  deps: Pick<Deps, 'handler'>,
  tenantId: TenantId,
  portal: Portal,
): Promise<IdentityProviderSettings | undefined> => {
  const state = await identityProviderState(deps, tenantId);
  return state.status === 'configured' && state.settings.portals.includes(portal)
    ? state.settings
    : undefined;
};

/** Whether a right password does not help there, since everybody signs in by the provider. */
export const isPasswordClosed = async (
  deps: Pick<Deps, 'handler'>,
  tenantId: TenantId,
  portal: Portal,
  accountId: AccountId | null,
): Promise<boolean> => isClosedToPasswords(await identityProviderState(deps, tenantId), portal, accountId);
