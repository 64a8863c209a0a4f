/**
 * Facts and state of an account: a person who administers a tenant (or, in the operator tenant, the installation).
 * Decided by decide.ts beside this file; read by projections/accounts.ts. Password hashes live in PostgreSQL alone.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { type Identity, identity } from '../identity-provider/identity.ts';
import { type RoleId, roleId, type TenantId, tenantId } from '../ids.ts';
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
  /** Somebody else turned the second factor off. */
  AccountSecondFactorReset: z.strictObject({}),
  /** Whoever is that at the tenant's identity provider is the account's owner. */
  AccountIdentityBound: identity,
  AccountIdentityUnbound: z.strictObject({}),
});

export type AccountEvent = EventOf<typeof accountEvents>;

export type AccountState =
  | { readonly status: 'none' }
  | {
      readonly status: 'enabled' | 'disabled';
      readonly email: string;
      readonly name: string;
      readonly role: AnyRole;
      /** True while the password is the one-time first password. */
      readonly mustChangePassword: boolean;
      /** Whether signing in takes a code besides the password. */
      readonly secondFactor: boolean;
      /** Who the owner is at the tenant's identity provider. */
      readonly identity: Identity | null;
      /** Since when nobody else had the account in hand: its creation, role, password, enabling, reset or binding. */
      readonly trustedSince: string;
      /** Tenants that an operator entered and has not left; the support access itself may have ended. */
      readonly inTenants: readonly TenantId[];
    };

export const initialAccount: AccountState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveAccount = (state: AccountState, { type, data, at }: Fact<AccountEvent>): AccountState => {
  if (type === 'AccountCreated')
    return {
      status: 'enabled',
      mustChangePassword: false,
      secondFactor: false,
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
      return { ...state, secondFactor: true };
    case 'AccountTotpDisabled':
      return { ...state, secondFactor: false };
    case 'AccountSecondFactorReset':
      return { ...state, secondFactor: false, trustedSince: at };
    case 'AccountIdentityBound':
      return { ...state, identity: data, trustedSince: at };
    case 'AccountIdentityUnbound':
      return { ...state, identity: null };
    case 'AccountRecoveryCodeUsed':
    case 'AccountRecoveryCodesRenewed':
      return state;
    default:
      return never(type);
  }
};
