/**
 * Facts and state of an account: a person who administers a tenant (or, in the operator tenant, the installation).
 * Decided by decide.ts beside this file; read by projections/accounts.ts. Password hashes live in PostgreSQL alone.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { type Identity, identity } from '../identity-provider/identity.ts';
import { type PasskeyId, passkeyId, type RoleId, roleId, type TenantId, tenantId } from '../ids.ts';
import { supportLevel } from '../tenant/tenant.ts';
import { email, name, time } from '../text.ts';
import { type Role, role } from './roles.ts';

/** A built-in role, or one of the tenant's own by its id. Exactly one per account. */
export const anyRole = z.union([role, roleId]);
export type AnyRole = Role | RoleId;

export const accountEvents = defineEvents('account', {
  AccountCreated: z.strictObject({ email, name, role: anyRole }),
  AccountRoleChanged: z.strictObject({ role: anyRole }),
  AccountPasswordChanged: z.strictObject({ mustChange: z.boolean() }),
  AccountDisabled: z.strictObject({}),
  AccountEnabled: z.strictObject({}),
  /** An operator entered, or left, a tenant by the support access that it grants. */
  AccountEnteredTenant: z.strictObject({ tenantId, level: supportLevel, until: time }),
  AccountLeftTenant: z.strictObject({ tenantId, reason: z.enum(['left', 'revoked']) }),
  AccountTotpEnabled: z.strictObject({}),
  AccountTotpDisabled: z.strictObject({}),
  /** `left`: how many codes are good still. */
  AccountRecoveryCodeUsed: z.strictObject({ left: z.int().min(0) }),
  AccountRecoveryCodesRenewed: z.strictObject({}),
  AccountPasskeyAdded: z.strictObject({ passkeyId, name }),
  AccountPasskeyRenamed: z.strictObject({ passkeyId, name }),
  AccountPasskeyRemoved: z.strictObject({ passkeyId }),
  /** Its counter went back: there may be a copy of it. It was refused. */
  AccountPasskeySuspected: z.strictObject({ passkeyId }),
  /** Somebody else turned the second factor off: the app, recovery codes and passkeys. */
  AccountSecondFactorReset: z.strictObject({}),
  /** Whoever is that at the tenant's identity provider is the account's owner. */
  AccountIdentityBound: identity,
  AccountIdentityUnbound: z.strictObject({}),
});

export type AccountEvent = EventOf<typeof accountEvents>;

/** A passkey as its owner knows it; what proves it is in PostgreSQL alone. */
export interface Passkey {
  readonly passkeyId: PasskeyId;
  readonly name: string;
}

/** Passkeys that one account can have. */
export const passkeysAtMost = 20;

export type AccountState =
  | { readonly status: 'none' }
  | {
      readonly status: 'enabled' | 'disabled';
      readonly email: string;
      readonly name: string;
      readonly role: AnyRole;
      /** True while the password is the one-time first password. */
      readonly mustChangePassword: boolean;
      /** Whether an authenticator app is set up. */
      readonly totp: boolean;
      readonly passkeys: readonly Passkey[];
      /** Who the owner is at the tenant's identity provider. */
      readonly identity: Identity | null;
      /** Since when nobody else had the account in hand: its creation, role, password, enabling, reset or binding. */
      readonly trustedSince: string;
      /** Tenants that an operator entered and has not left; the support access itself may have ended. */
      readonly inTenants: readonly TenantId[];
    };

export const initialAccount: AccountState = { status: 'none' };

/** Whether signing in takes more than the password. */
export const hasSecondFactor = ({
  totp,
  passkeys,
}: Pick<Exclude<AccountState, { status: 'none' }>, 'totp' | 'passkeys'>): boolean =>
  totp || passkeys.length > 0;

export const secondFactor = z.enum(['totp', 'passkey']);
export type SecondFactor = z.infer<typeof secondFactor>;

/** What an account can show besides its password. */
export const secondFactorKinds = ({
  totp,
  passkeys,
}: Pick<Exclude<AccountState, { status: 'none' }>, 'totp' | 'passkeys'>): SecondFactor[] => [
  ...(totp ? (['totp'] as const) : []),
  ...(passkeys.length > 0 ? (['passkey'] as const) : []),
];

/** Folds one fact into the state. */
export const evolveAccount = (state: AccountState, { type, data, at }: Fact<AccountEvent>): AccountState => {
  if (type === 'AccountCreated')
    return {
      status: 'enabled',
      mustChangePassword: false,
      totp: false,
      passkeys: [],
      identity: null,
      trustedSince: at,
      inTenants: [],
      ...data,
    };
  if (state.status === 'none') return state;
  switch (type) {
    case 'AccountRoleChanged':
      return { ...state, role: data.role, trustedSince: at };
    case 'AccountPasswordChanged':
      return {
        ...state,
        mustChangePassword: data.mustChange,
        trustedSince: data.mustChange ? at : state.trustedSince,
      };
    case 'AccountDisabled':
      return { ...state, status: 'disabled' };
    case 'AccountEnabled':
      return { ...state, status: 'enabled', trustedSince: at };
    case 'AccountEnteredTenant':
      return { ...state, inTenants: [...new Set([...state.inTenants, data.tenantId])] };
    case 'AccountLeftTenant':
      return { ...state, inTenants: state.inTenants.filter((id) => id !== data.tenantId) };
    case 'AccountTotpEnabled':
      return { ...state, totp: true };
    case 'AccountTotpDisabled':
      return { ...state, totp: false };
    case 'AccountIdentityBound':
      return { ...state, identity: data, trustedSince: at };
    case 'AccountIdentityUnbound':
      return { ...state, identity: null };
    case 'AccountSecondFactorReset':
      return { ...state, totp: false, passkeys: [], trustedSince: at };
    case 'AccountPasskeyAdded':
      return { ...state, passkeys: [...state.passkeys, data] };
    case 'AccountPasskeyRenamed':
      return {
        ...state,
        passkeys: state.passkeys.map((one) => (one.passkeyId === data.passkeyId ? data : one)),
      };
    case 'AccountPasskeyRemoved':
      return { ...state, passkeys: state.passkeys.filter((one) => one.passkeyId !== data.passkeyId) };
    case 'AccountPasskeySuspected':
    case 'AccountRecoveryCodeUsed':
    case 'AccountRecoveryCodesRenewed':
      return state;
    default:
      return never(type);
  }
};
