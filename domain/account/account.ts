/**
 * Facts and state of an account: a person who administers a tenant (or, in the operator tenant, the installation).
 * Decided by decide.ts beside this file; read by projections/accounts.ts. Password hashes live in PostgreSQL alone.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { email, name } from '../text.ts';
import { type Role, role } from './roles.ts';

export const accountEvents = defineEvents('account', {
  AccountCreated: z.strictObject({ email, name, role }),
  AccountPasswordChanged: z.strictObject({ mustChange: z.boolean() }),
  AccountDisabled: z.strictObject({}),
  AccountEnabled: z.strictObject({}),
});

export type AccountEvent = EventOf<typeof accountEvents>;

export type AccountState =
  | { readonly status: 'none' }
  | {
      readonly status: 'enabled' | 'disabled';
      readonly email: string;
      readonly name: string;
      readonly role: Role;
      /** True while the password is the one-time first password. */
      readonly mustChangePassword: boolean;
    };

export const initialAccount: AccountState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveAccount = (state: AccountState, { type, data }: Fact<AccountEvent>): AccountState => {
  if (type === 'AccountCreated') return { status: 'enabled', mustChangePassword: false, ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'AccountPasswordChanged':
      return { ...state, mustChangePassword: data.mustChange };
    case 'AccountDisabled':
      return { ...state, status: 'disabled' };
    case 'AccountEnabled':
      return { ...state, status: 'enabled' };
    default:
      return never(type);
  }
};
