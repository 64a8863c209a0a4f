/**
 * Who may use a field or route. Every root field names exactly one scope or permission; guard.ts enforces it before
 * anything else happens. Called by builder.ts, guard.ts, routes of accounts, and whatever checks again while it runs.
 */
import { type Permission, permission } from '../../domain/account/permissions.ts';
import { MusterError } from '../../platform/errors.ts';
import type { Credential } from '../credentials.ts';
import type { ApiContext } from './context.ts';

/**
 * `public`: anybody. `signedIn`: any account, even one that must change its password first.
 * `ownPassword`: any account whose password its owner chose, even one that must set up a second factor first. `member`: any account;
 * what it gets depends on its permissions one by one. `selfService`: a user of the self-service portal, and no account.
 * Else the permission that the account needs.
 */
export const scopeNames = ['public', 'signedIn', 'ownPassword', 'member', 'selfService'] as const;
export type ScopeName = (typeof scopeNames)[number];
export type Access = ScopeName | Permission;

/** The `authScopes` of a root field. */
export interface AuthScopes {
  readonly public: boolean;
  readonly signedIn: boolean;
  readonly ownPassword: boolean;
  readonly member: boolean;
  readonly selfService: boolean;
  readonly permission: Permission;
}

/** What `authScopes` ask for; undefined when they name nothing, or not exactly one thing. */
export const accessOf = (authScopes: unknown): Access | undefined => {
  const named = Object.entries((authScopes ?? {}) as Record<string, unknown>);
  const [scope, wanted] = named[0] ?? [];
  if (named.length !== 1) return undefined;
  if (scope === 'permission') return permission.safeParse(wanted).data;
  return wanted === true ? scopeNames.find((known) => known === scope) : undefined;
};

/** Why a credential may not have that access; undefined when it may. */
export const accessFault = (credential: Credential | null, access: Access): MusterError | undefined => {
  if (access === 'public') return undefined;
  if (credential === null) return new MusterError('unauthenticated', 'sign in first');
  if (credential.kind === 'user')
    return access === 'selfService'
      ? undefined
      : new MusterError('forbidden', 'a user of the self-service portal administers nothing');
  if (access === 'signedIn')
    return credential.kind === 'account' ? undefined : new MusterError('forbidden', 'an account is needed');
  if (credential.kind === 'account' && credential.mustChangePassword)
    return new MusterError('password-change-required', 'the password is the one-time password');
  if (access === 'ownPassword')
    return credential.kind === 'account' ? undefined : new MusterError('forbidden', 'an account is needed');
  if (credential.kind === 'account' && credential.factorDue)
    return new MusterError('second-factor-required', 'the account has no second factor');
  if (access === 'selfService')
    return new MusterError('forbidden', 'a user of the self-service portal is needed');
  if (access === 'member' || credential.permissions.has(access)) return undefined;
  return new MusterError('forbidden', `${credential.role} lacks the permission ${access}`);
};

/** Throws why the caller may not have that access, and records it when only a permission is missing. */
export const refuseAccess = (
  { credential, denials, address }: Pick<ApiContext, 'credential' | 'denials' | 'address'>,
  access: Access,
  operation: string,
): void => {
  const fault = accessFault(credential, access);
  if (!fault) return;
  const wanted = permission.safeParse(access);
  if (fault.code === 'forbidden' && credential && credential.kind !== 'user' && wanted.success)
    denials.record(credential, operation, wanted.data, address);
  throw fault;
};
