/**
 * The kinds of caller there are, and what each gets from fields and routes, as the code decides it. Called by
 * generate.ts, which writes it down; test/api/{permissions,routes}.test.ts hold the server to what is written.
 */
import type { Credential } from '../api/credentials.ts';
import { type Access, accessFault } from '../api/graphql/scopes.ts';
import type { RouteAccess } from '../api/route.ts';
import { type Permission, permissionNames } from '../domain/account/permissions.ts';

const account = (over: object, permissions: readonly Permission[]): Credential =>
  ({
    kind: 'account',
    role: '',
    mustChangePassword: false,
    factorDue: false,
    permissions: new Set(permissions),
    ...over,
  }) as unknown as Credential;

const key = (permissions: readonly Permission[]): Credential => account({ kind: 'api-key' }, permissions);

interface CallerKind {
  readonly title: string;
  /** Null: the edges for people and programs know nobody by that token. */
  readonly credential: Credential | null;
}

/** Every kind of caller. */
export const callers = {
  nobody: { title: 'without a token, or with one of nobody', credential: null },
  newcomer: {
    title: 'an account that must change its one-time password',
    credential: account({ mustChangePassword: true }, permissionNames),
  },
  factorless: {
    title: 'an account that must set up a second factor',
    credential: account({ factorDue: true }, permissionNames),
  },
  permitted: {
    title: 'an account whose role has the permissions',
    credential: account({}, permissionNames),
  },
  unpermitted: { title: 'an account whose role lacks them', credential: account({}, []) },
  'permitted-key': { title: 'an API key with the permissions', credential: key(permissionNames) },
  'unpermitted-key': { title: 'an API key without them', credential: key([]) },
  user: {
    title: 'a user of the self-service portal',
    credential: { kind: 'user' } as Credential,
  },
  device: { title: 'an enrolled device', credential: null },
  proxy: { title: 'an EAS proxy, which has a certificate and no token', credential: null },
} as const satisfies Record<string, CallerKind>;

export type CallerName = keyof typeof callers;

/** What a kind of caller gets: `yes`, or the code of the fault. */
export const fieldOutcome = (caller: CallerName, access: Access): string =>
  accessFault(callers[caller].credential, access)?.code ?? 'yes';

/** The same for a route. */
export const routeOutcome = (caller: CallerName, access: RouteAccess): string => {
  if (access === 'device' || access === 'proxy') return caller === access ? 'yes' : 'unauthenticated';
  if (typeof access === 'string') return 'yes';
  return access.map((permission) => fieldOutcome(caller, permission)).find((code) => code !== 'yes') ?? 'yes';
};
