/**
 * Facts and state of a user: a person of a tenant who holds devices. The e-mail never changes, since devices name
 * their user by it. Decided by decide.ts beside this file; read by projections/users.ts.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { type Identity, identity } from '../identity-provider/identity.ts';
import { email, line, name } from '../text.ts';

/** Where a user comes from. `guid` is the directory's own lasting id; it survives a move to another DN. */
export const userSource = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('internal') }),
  z.strictObject({ kind: z.literal('ldap'), dn: line(1000), guid: line(128) }),
]);
export type UserSource = z.infer<typeof userSource>;

/** What is known about a user besides the e-mail; null: nothing. */
export const userDetails = z.strictObject({
  name,
  externalId: line(128).nullable(),
  department: line(120).nullable(),
  phone: line(40).nullable(),
});
export type UserDetails = z.infer<typeof userDetails>;

export const userEvents = defineEvents('user', {
  UserCreated: userDetails.extend({ email, source: userSource }),
  UserDetailsChanged: z.strictObject({ changes: userDetails.partial() }),
  UserSourceChanged: z.strictObject({ source: userSource }),
  UserDisabled: z.strictObject({ reason: line(200).nullable() }),
  UserEnabled: z.strictObject({}),
  UserRemoved: z.strictObject({}),
  /** Whoever is that at the tenant's identity provider is the user. */
  UserIdentityBound: identity,
  UserIdentityUnbound: z.strictObject({}),
});

export type UserEvent = EventOf<typeof userEvents>;

export type UserState =
  | { readonly status: 'none' }
  | (UserDetails & {
      readonly status: 'active' | 'disabled' | 'removed';
      readonly email: string;
      readonly source: UserSource;
      /** Who it is at the tenant's identity provider. */
      readonly identity: Identity | null;
    });

export const initialUser: UserState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveUser = (state: UserState, { type, data }: Fact<UserEvent>): UserState => {
  if (type === 'UserCreated') return { status: 'active', identity: null, ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'UserDetailsChanged': {
      const known = Object.entries(data.changes).filter(([, value]) => value !== undefined);
      return { ...state, ...Object.fromEntries(known) };
    }
    case 'UserSourceChanged':
      return { ...state, source: data.source };
    case 'UserDisabled':
      return { ...state, status: 'disabled' };
    case 'UserEnabled':
      return { ...state, status: 'active' };
    case 'UserRemoved':
      return { ...state, status: 'removed' };
    case 'UserIdentityBound':
      return { ...state, identity: data };
    case 'UserIdentityUnbound':
      return { ...state, identity: null };
    default:
      return never(type);
  }
};
