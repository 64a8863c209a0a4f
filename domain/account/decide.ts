/**
 * Commands and decisions of an account. Called through platform/handle.ts by api/graphql/account.ts and the CLI.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { type Identity, mayBind } from '../identity-provider/identity.ts';
import type { PasskeyId, TenantId } from '../ids.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import type { SupportLevel } from '../tenant/tenant.ts';
import {
  type AccountEvent,
  type AccountState,
  type AnyRole,
  accountEvents,
  evolveAccount,
  hasSecondFactor,
  initialAccount,
  passkeysAtMost,
} from './account.ts';

/** Which tenant an operator enters, and as what; `until` is ISO 8601, UTC. */
interface Entry {
  readonly tenantId: TenantId;
  readonly level: SupportLevel;
  readonly until: string;
}

export type AccountCommand =
  | { readonly type: 'CreateAccount'; readonly email: string; readonly name: string; readonly role: AnyRole }
  | { readonly type: 'ChangeAccountRole'; readonly role: AnyRole }
  | { readonly type: 'ChangeAccountPassword'; readonly mustChange: boolean }
  /** `last`: no other enabled account has its role, and the tenant needs one. */
  | { readonly type: 'DisableAccount'; readonly last: boolean }
  | ({ readonly type: 'EnterTenant' } & Entry)
  | { readonly type: 'LeaveTenant'; readonly tenantId: TenantId; readonly reason: 'left' | 'revoked' }
  | { readonly type: 'EnableAccount' }
  | { readonly type: 'EnableTotp' }
  | { readonly type: 'DisableTotp' }
  | { readonly type: 'UseRecoveryCode'; readonly left: number }
  | { readonly type: 'RenewRecoveryCodes' }
  | { readonly type: 'AddPasskey'; readonly passkeyId: PasskeyId; readonly name: string }
  | { readonly type: 'RenamePasskey'; readonly passkeyId: PasskeyId; readonly name: string }
  | { readonly type: 'RemovePasskey'; readonly passkeyId: PasskeyId }
  | { readonly type: 'SuspectPasskey'; readonly passkeyId: PasskeyId }
  | { readonly type: 'ResetSecondFactor' }
  | { readonly type: 'BindAccountIdentity'; readonly identity: Identity }
  | { readonly type: 'UnbindAccountIdentity' };

type FactorCommand = Extract<
  AccountCommand,
  { type: 'EnableTotp' | 'DisableTotp' | 'UseRecoveryCode' | 'RenewRecoveryCodes' | 'ResetSecondFactor' }
>;

/** Codes were looked at before: what is decided is whether the account has a second factor to begin with. */
const decideFactor = (
  command: FactorCommand,
  state: Exclude<AccountState, { status: 'none' }>,
): Decision<AccountEvent> => {
  switch (command.type) {
    case 'EnableTotp':
      return state.totp ? [] : [{ type: 'AccountTotpEnabled', data: {} }];
    case 'DisableTotp':
      return state.totp ? [{ type: 'AccountTotpDisabled', data: {} }] : [];
    case 'ResetSecondFactor':
      return hasSecondFactor(state) ? [{ type: 'AccountSecondFactorReset', data: {} }] : [];
    case 'UseRecoveryCode':
      if (!hasSecondFactor(state)) return refuse('second-factor-off');
      return [{ type: 'AccountRecoveryCodeUsed', data: { left: command.left } }];
    case 'RenewRecoveryCodes':
      if (!hasSecondFactor(state)) return refuse('second-factor-off');
      return [{ type: 'AccountRecoveryCodesRenewed', data: {} }];
    default:
      return never(command);
  }
};

type PasskeyCommand = Extract<AccountCommand, { readonly passkeyId: PasskeyId }>;

/** Possession was proven before. */
const decidePasskey = (
  command: PasskeyCommand,
  { passkeys }: Exclude<AccountState, { status: 'none' }>,
): Decision<AccountEvent> => {
  const known = passkeys.find(({ passkeyId }) => passkeyId === command.passkeyId);
  if (command.type === 'AddPasskey') {
    if (known) return [];
    return passkeys.length < passkeysAtMost
      ? [{ type: 'AccountPasskeyAdded', data: { passkeyId: command.passkeyId, name: command.name } }]
      : refuse('too-many-passkeys', { detail: `at most ${passkeysAtMost}` });
  }
  if (!known)
    return command.type === 'RemovePasskey' ? [] : refuse('passkey-missing', { field: 'passkeyId' });
  switch (command.type) {
    case 'RenamePasskey':
      return known.name === command.name
        ? []
        : [{ type: 'AccountPasskeyRenamed', data: { passkeyId: command.passkeyId, name: command.name } }];
    case 'RemovePasskey':
      return [{ type: 'AccountPasskeyRemoved', data: { passkeyId: command.passkeyId } }];
    case 'SuspectPasskey':
      return [{ type: 'AccountPasskeySuspected', data: { passkeyId: command.passkeyId } }];
    default:
      return never(command);
  }
};

/** Decides one command: see the refusals it names. */
export const decideAccount = (command: AccountCommand, state: AccountState): Decision<AccountEvent> => {
  if (command.type === 'CreateAccount') {
    const { type: _, ...data } = command;
    if (state.status === 'none') return [{ type: 'AccountCreated', data }];
    return state.email === data.email && state.role === data.role ? [] : refuse('account-exists');
  }
  if (state.status === 'none') return refuse('account-missing');
  switch (command.type) {
    case 'ChangeAccountRole':
      if (state.role === command.role) return [];
      return [{ type: 'AccountRoleChanged', data: { role: command.role } }];
    case 'ChangeAccountPassword':
      if (state.status === 'disabled') return refuse('account-disabled');
      return [{ type: 'AccountPasswordChanged', data: { mustChange: command.mustChange } }];
    case 'DisableAccount':
      if (state.status === 'disabled') return [];
      return command.last
        ? refuse('last-administrator', { field: 'accountId' })
        : [{ type: 'AccountDisabled', data: {} }];
    case 'EnableAccount':
      return state.status === 'enabled' ? [] : [{ type: 'AccountEnabled', data: {} }];
    case 'EnterTenant': {
      if (state.status === 'disabled') return refuse('account-disabled');
      const { type: _, ...data } = command;
      return [{ type: 'AccountEnteredTenant', data }];
    }
    case 'LeaveTenant': {
      const { type: _, ...data } = command;
      return state.inTenants.includes(command.tenantId) ? [{ type: 'AccountLeftTenant', data }] : [];
    }
    case 'BindAccountIdentity':
      if (state.status === 'disabled') return refuse('account-disabled');
      if (same(state.identity, command.identity)) return [];
      return mayBind(state.identity, command.identity)
        ? [{ type: 'AccountIdentityBound', data: command.identity }]
        : refuse('identity-bound');
    case 'UnbindAccountIdentity':
      return state.identity === null ? [] : [{ type: 'AccountIdentityUnbound', data: {} }];
    case 'EnableTotp':
    case 'DisableTotp':
    case 'UseRecoveryCode':
    case 'RenewRecoveryCodes':
    case 'ResetSecondFactor':
      return decideFactor(command, state);
    case 'AddPasskey':
    case 'RenamePasskey':
    case 'RemovePasskey':
    case 'SuspectPasskey':
      return decidePasskey(command, state);
    default:
      return never(command);
  }
};

export const accountDecider: Decider<AccountState, AccountCommand, AccountEvent> = {
  events: accountEvents,
  stateVersion: 5,
  initial: initialAccount,
  evolve: evolveAccount,
  decide: decideAccount,
};
