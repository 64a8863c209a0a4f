/**
 * Commands and decisions of an account. Called through platform/handle.ts by api/graphql/account.ts and the CLI.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import {
  type AccountEvent,
  type AccountState,
  accountEvents,
  evolveAccount,
  initialAccount,
} from './account.ts';
import type { Role } from './roles.ts';

export type AccountCommand =
  | { readonly type: 'CreateAccount'; readonly email: string; readonly name: string; readonly role: Role }
  | { readonly type: 'ChangeAccountPassword'; readonly mustChange: boolean }
  | { readonly type: 'DisableAccount' }
  | { readonly type: 'EnableAccount' };

/** Decides one command: see the refusals it names. */
export const decideAccount = (command: AccountCommand, state: AccountState): Decision<AccountEvent> => {
  if (command.type === 'CreateAccount') {
    const { type: _, ...data } = command;
    if (state.status === 'none') return [{ type: 'AccountCreated', data }];
    return state.email === data.email && state.role === data.role ? [] : refuse('account-exists');
  }
  if (state.status === 'none') return refuse('account-missing');
  switch (command.type) {
    case 'ChangeAccountPassword':
      if (state.status === 'disabled') return refuse('account-disabled');
      return [{ type: 'AccountPasswordChanged', data: { mustChange: command.mustChange } }];
    case 'DisableAccount':
      return state.status === 'disabled' ? [] : [{ type: 'AccountDisabled', data: {} }];
    case 'EnableAccount':
      return state.status === 'enabled' ? [] : [{ type: 'AccountEnabled', data: {} }];
    default:
      return never(command);
  }
};

export const accountDecider: Decider<AccountState, AccountCommand, AccountEvent> = {
  events: accountEvents,
  stateVersion: 1,
  initial: initialAccount,
  evolve: evolveAccount,
  decide: decideAccount,
};
