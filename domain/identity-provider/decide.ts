/**
 * Commands and decisions of a tenant's identity provider. Called through platform/handle.ts by
 * api/graphql/identity-provider.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import {
  evolveIdentityProvider,
  type IdentityProviderEvent,
  type IdentityProviderSettings,
  type IdentityProviderState,
  identityProviderEvents,
  initialIdentityProvider,
} from './identity-provider.ts';

export type IdentityProviderCommand =
  | {
      readonly type: 'ConfigureIdentityProvider';
      readonly settings: IdentityProviderSettings;
      /** Whether one of `passwordAccounts` can sign in with a password and administer the tenant. */
      readonly wayBack: boolean;
    }
  | { readonly type: 'ChangeIdentityProviderSecret' }
  | { readonly type: 'RemoveIdentityProvider' };

/** Decides one command: see the refusals it names. */
export const decideIdentityProvider = (
  command: IdentityProviderCommand,
  state: IdentityProviderState,
): Decision<IdentityProviderEvent> => {
  switch (command.type) {
    case 'ConfigureIdentityProvider': {
      const { settings, wayBack } = command;
      // Whoever closes the door from inside needs a key that does not hang at the provider.
      if (settings.required && !wayBack)
        return refuse('password-account-missing', { field: 'settings.passwordAccounts' });
      if (state.status === 'configured' && same(state.settings, settings)) return [];
      return [{ type: 'IdentityProviderConfigured', data: { settings } }];
    }
    case 'ChangeIdentityProviderSecret':
      if (state.status === 'none') return refuse('identity-provider-missing');
      return [{ type: 'IdentityProviderSecretChanged', data: {} }];
    case 'RemoveIdentityProvider':
      return state.status === 'none' ? [] : [{ type: 'IdentityProviderRemoved', data: {} }];
    default:
      return never(command);
  }
};

export const identityProviderDecider: Decider<
  IdentityProviderState,
  IdentityProviderCommand,
  IdentityProviderEvent
> = {
  events: identityProviderEvents,
  stateVersion: 1,
  initial: initialIdentityProvider,
  evolve: evolveIdentityProvider,
  decide: decideIdentityProvider,
};
