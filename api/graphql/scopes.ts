/**
 * Who may use a field. Every root field names exactly one scope; guard.ts enforces it before anything else happens.
 * Called by builder.ts, guard.ts and the subscription, which checks again while it runs.
 */
import { MusterError } from '../../platform/errors.ts';
import type { AccountCredential } from '../credentials.ts';

/**
 * `public`: anybody. `signedIn`: any account, even one that must change its password first. `administrator`: any
 * account, within its own tenant. `operator`: accounts of the operator tenant, for what concerns tenants as such.
 */
export const scopeNames = ['public', 'signedIn', 'administrator', 'operator'] as const;
export type ScopeName = (typeof scopeNames)[number];

/** Why a credential may not use a field of that scope; undefined when it may. */
export const scopeFault = (
  credential: AccountCredential | null,
  scope: ScopeName,
): MusterError | undefined => {
  if (scope === 'public') return undefined;
  if (credential === null) return new MusterError('unauthenticated', 'sign in first');
  if (scope === 'signedIn') return undefined;
  if (credential.mustChangePassword)
    return new MusterError('password-change-required', 'the password is the one-time password');
  if (scope === 'operator' && credential.role !== 'operator')
    return new MusterError('forbidden', 'an operator is needed');
  return undefined;
};
