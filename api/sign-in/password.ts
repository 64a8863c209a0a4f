/**
 * Holds new passwords against the tenant's policy. Called wherever somebody chooses one: changePassword, redeemLink.
 */
import type { AccountState } from '../../domain/account/account.ts';
import { type Refusal, refuse } from '../../domain/refusals.ts';
import { passwordFault } from '../../domain/sign-in/password.ts';
import type { PasswordPolicy } from '../../domain/sign-in/sign-in.ts';
import type { PasswordOwner, Passwords } from '../vault/passwords.ts';
import type { KnownPasswords } from './known-passwords.ts';

/** Whose new password it is. */
export interface Choice {
  readonly owner: PasswordOwner;
  readonly account: Exclude<AccountState, { status: 'none' }>;
  readonly policy: PasswordPolicy;
  readonly password: string;
}

export interface PasswordLists {
  readonly common: KnownPasswords;
  /** undefined: the installation has no list. */
  readonly breached: KnownPasswords | undefined;
}

/** Words about the owner: name, e-mail, and their parts. */
const personalWords = ({ email, name }: Choice['account']): string[] => {
  const [local = '', domain = ''] = email.split('@');
  return [email, local, domain.split('.')[0] ?? '', name, ...name.split(/\s+/), ...local.split(/[._+-]/)];
};

/** Refuses `password-refused` with what is wrong; undefined when the password is good enough. */
export const refusePassword = async (
  { owner, account, policy, password }: Choice,
  lists: PasswordLists,
  passwords: Pick<Passwords, 'wasUsed'>,
): Promise<Refusal | undefined> => {
  const refused = (detail: string) => refuse('password-refused', { field: 'newPassword', detail });
  const fault = passwordFault(policy, password, personalWords(account));
  if (fault) return refused(fault);
  if (policy.refuseCommon && (await lists.common.has(password))) return refused('is a common password');
  if (policy.refuseBreached && (await lists.breached?.has(password)))
    return refused('is known from a breach');
  // Even without a history, a change changes something.
  if (await passwords.wasUsed(owner, password, Math.max(1, policy.history)))
    return refused('was used before');
  return undefined;
};

const dayMs = 86_400_000;

/** Why a password must be changed before anything else: it was issued once, or is too old. */
export type PasswordDue = 'issued' | 'expired';

/** Whether a password must be changed; null when not. */
export const passwordDue = (
  { expiryDays }: Pick<PasswordPolicy, 'expiryDays'>,
  password: { readonly mustChange: boolean; readonly since: Date | null },
  now: number,
): PasswordDue | null => {
  if (password.mustChange) return 'issued';
  if (expiryDays === null || password.since === null) return null;
  return now >= password.since.getTime() + expiryDays * dayMs ? 'expired' : null;
};
