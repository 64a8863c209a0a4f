/**
 * Commands and decisions of a user. Called through platform/handle.ts by api/graphql/user.ts, by imports and by the
 * directory's sync.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { type Identity, mayBind } from '../identity-provider/identity.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import {
  evolveUser,
  initialUser,
  type UserDetails,
  type UserEvent,
  type UserSource,
  type UserState,
  userEvents,
} from './user.ts';

export type UserCommand =
  | ({ readonly type: 'CreateUser'; readonly email: string; readonly source: UserSource } & UserDetails)
  /** What is left out stays; null clears. */
  | { readonly type: 'ChangeUserDetails'; readonly changes: Partial<UserDetails> }
  | { readonly type: 'ChangeUserSource'; readonly source: UserSource }
  | { readonly type: 'DisableUser'; readonly reason: string | null }
  | { readonly type: 'EnableUser' }
  | { readonly type: 'BindUserIdentity'; readonly identity: Identity }
  | { readonly type: 'UnbindUserIdentity' }
  /** `devices`: how many devices name the user; any keep the user from being removed. */
  | { readonly type: 'RemoveUser'; readonly devices: number };

/** The changes that make a difference. */
const differing = (changes: Partial<UserDetails>, known: UserDetails): Partial<UserDetails> =>
  Object.fromEntries(
    Object.entries(changes).filter(
      ([key, value]) => value !== undefined && value !== known[key as keyof UserDetails],
    ),
  );

/** Decides one command: see the refusals it names. */
export const decideUser = (command: UserCommand, state: UserState): Decision<UserEvent> => {
  if (command.type === 'CreateUser') {
    const { type: _, ...data } = command;
    if (state.status === 'none') return [{ type: 'UserCreated', data }];
    return state.email === data.email && state.status !== 'removed'
      ? []
      : refuse('user-exists', { field: 'email' });
  }
  if (state.status === 'none') return refuse('user-missing', { field: 'userId' });
  if (command.type === 'RemoveUser') {
    if (state.status === 'removed') return [];
    return command.devices === 0
      ? [{ type: 'UserRemoved', data: {} }]
      : refuse('user-has-devices', { field: 'userId', detail: `there are ${command.devices}` });
  }
  if (state.status === 'removed') return refuse('user-removed', { field: 'userId' });
  switch (command.type) {
    case 'ChangeUserDetails': {
      const changes = differing(command.changes, state);
      return Object.keys(changes).length === 0 ? [] : [{ type: 'UserDetailsChanged', data: { changes } }];
    }
    case 'ChangeUserSource':
      return same(state.source, command.source)
        ? []
        : [{ type: 'UserSourceChanged', data: { source: command.source } }];
    case 'DisableUser':
      return state.status === 'disabled' ? [] : [{ type: 'UserDisabled', data: { reason: command.reason } }];
    case 'BindUserIdentity':
      if (state.status === 'disabled') return refuse('user-disabled', { field: 'userId' });
      if (same(state.identity, command.identity)) return [];
      return mayBind(state.identity, command.identity)
        ? [{ type: 'UserIdentityBound', data: command.identity }]
        : refuse('identity-bound');
    case 'UnbindUserIdentity':
      return state.identity === null ? [] : [{ type: 'UserIdentityUnbound', data: {} }];
    case 'EnableUser':
      return state.status === 'active' ? [] : [{ type: 'UserEnabled', data: {} }];
    default:
      return never(command);
  }
};

export const userDecider: Decider<UserState, UserCommand, UserEvent> = {
  events: userEvents,
  stateVersion: 2,
  initial: initialUser,
  evolve: evolveUser,
  decide: decideUser,
};
