/**
 * When an account has to set up a second factor. Called by api/ at every request of an account.
 */
import { type AccountState, hasSecondFactor } from '../account/account.ts';
import type { Portal, SignInState } from './sign-in.ts';

/** Whether the tenant asks for a second factor that the account does not have. */
export const factorDue = (
  { secondFactorRequired }: Pick<SignInState, 'secondFactorRequired'>,
  account: Pick<Exclude<AccountState, { status: 'none' }>, 'totp' | 'passkeys'>,
  portal: Portal,
): boolean => portal === 'admin' && secondFactorRequired && !hasSecondFactor(account);
