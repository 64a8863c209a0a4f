/**
 * Who is calling: opens the vault and turns bearer tokens of accounts and proxies into tenant and identity.
 * Opened by api/main.ts and api/bootstrap.ts; called by every edge of api/ but the devices', whose tokens are theirs.
 */
import type { IncomingMessage } from 'node:http';
import { accountDecider } from '../domain/account/decide.ts';
import type { Permission } from '../domain/account/permissions.ts';
import { permissionsOf, type Role } from '../domain/account/roles.ts';
import {
  type AccountId,
  type ProxyId,
  proxyId as proxyIdSchema,
  type TenantId,
  tenantId as tenantIdSchema,
} from '../domain/ids.ts';
import { proxyDecider } from '../domain/proxy/decide.ts';
import type { Portal, SessionPolicy, SignInState } from '../domain/sign-in/sign-in.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { type Clock, isoTime } from '../platform/clock.ts';
import type { ServerConfig } from '../platform/config.ts';
import type { Deps } from '../platform/deps.ts';
import { MusterError } from '../platform/errors.ts';
import { hashSecret, sameHash } from '../platform/new-id.ts';
import { isAllowed } from './address.ts';
import { signInSettings } from './sign-in/door.ts';
import { type PasswordDue, passwordDue } from './sign-in/password.ts';
import { type Attempts, openAttempts } from './vault/attempts.ts';
import { type Links, openLinks } from './vault/links.ts';
import { migrateVault } from './vault/migrations.ts';
import { openPasswords, type Passwords } from './vault/passwords.ts';
import { openSeal } from './vault/seal.ts';
import { openSecrets, type Secrets } from './vault/secrets.ts';
import { openSessions, type Session, type Sessions } from './vault/sessions.ts';
import { openTallies, type Tallies } from './vault/tallies.ts';

/** The opened vault. */
export interface Credentials {
  readonly passwords: Passwords;
  readonly sessions: Sessions;
  readonly attempts: Attempts;
  readonly links: Links;
  readonly secrets: Secrets;
  readonly tallies: Tallies;
  readonly clock: Clock;
  /** Of tenants that have chosen none. */
  readonly defaultSessionPolicy: SessionPolicy;
}

/** An account that is signed in, and with which token. Its tenant is the only one it can reach. */
export interface AccountCredential {
  readonly kind: 'account';
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
  readonly role: Role;
  /** What the role allows. */
  readonly permissions: ReadonlySet<Permission>;
  /** True: nothing but changing the password is possible. */
  readonly mustChangePassword: boolean;
  readonly passwordDue: PasswordDue | null;
  readonly token: string;
  readonly sessionId: string;
  readonly portal: Portal;
}

/** Who sends a request: with which token, if any, and from where. */
export interface Caller {
  readonly token: string | undefined;
  readonly address: string;
}

/** A registered proxy. */
export interface ProxyCredential {
  readonly kind: 'proxy';
  readonly tenantId: TenantId;
  readonly proxyId: ProxyId;
}

const defaultAbsoluteHours = 12;
/** A use within this time of the last recorded one is not recorded again, unless sessions idle sooner. */
const useRecordedEveryMs = 60_000;

/** How long sessions of a portal last in a tenant. */
export const sessionPolicyOf = (
  credentials: Pick<Credentials, 'defaultSessionPolicy'>,
  settings: SignInState,
  portal: Portal,
): SessionPolicy => settings.sessionPolicies[portal] ?? credentials.defaultSessionPolicy;

/** When a session ends however much it is used, ISO 8601 UTC. */
export const sessionEndsAt = ({ createdAt }: Pick<Session, 'createdAt'>, policy: SessionPolicy): string =>
  isoTime(createdAt.getTime() + policy.absoluteHours * 3_600_000);

/** Whether a session has ended by time. */
export const isOver = (
  session: Pick<Session, 'createdAt' | 'usedAt'>,
  policy: SessionPolicy,
  now: number,
): boolean =>
  isoTime(now) >= sessionEndsAt(session, policy) ||
  now - session.usedAt.getTime() >= policy.idleMinutes * 60_000;

/** A disabled account, a suspended tenant or a revoked proxy is noticed within this time, in every process. */
const maxAgeMs = 2000;

/** Opens the vault, migrating it when needed. */
export const openCredentials = async (
  deps: Pick<Deps, 'sql' | 'clock'>,
  config: Pick<ServerConfig, 'sessionIdleMinutes' | 'secretKey' | 'dataDir'>,
): Promise<Credentials> => {
  await migrateVault(deps.sql);
  return {
    passwords: await openPasswords(deps.sql, deps.clock),
    sessions: openSessions(deps.sql, deps.clock),
    attempts: openAttempts(deps.sql, deps.clock),
    links: openLinks(deps.sql, deps.clock),
    secrets: openSecrets(deps.sql, openSeal(config)),
    tallies: openTallies(deps.sql, deps.clock),
    clock: deps.clock,
    defaultSessionPolicy: { idleMinutes: config.sessionIdleMinutes, absoluteHours: defaultAbsoluteHours },
  };
};

/** The token of an `Authorization: Bearer` header (RFC 6750 §2.1); undefined when there is none. */
export const bearerToken = (req: Pick<IncomingMessage, 'headers'>): string | undefined =>
  /^Bearer ([\w.~+/-]{1,500}=*)$/i.exec(req.headers.authorization ?? '')?.[1];

/**
 * The account that a session token stands for; null when the session, its account or its tenant has ended, or it is
 * another portal's. Throws `address-refused` when the tenant does not allow the address. Counts as a use of the
 * session unless `use` is false: a stream that is only watched does not keep one alive.
 */
export const identifyAccount = async (
  deps: Pick<Deps, 'handler'>,
  credentials: Credentials,
  { token, address }: Caller,
  options: { readonly use?: boolean; readonly portal?: Portal } = {},
): Promise<AccountCredential | null> => {
  const { use = true, portal = 'admin' } = options;
  const session = token === undefined ? null : await credentials.sessions.find(token);
  if (!session || token === undefined || session.portal !== portal) return null;
  const { tenantId, accountId, sessionId } = session;
  const [tenant, account, settings] = await Promise.all([
    deps.handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs }),
    deps.handler.load(accountDecider, { tenantId, id: accountId }, { maxAgeMs }),
    signInSettings(deps, tenantId),
  ]);
  const now = credentials.clock();
  const policy = sessionPolicyOf(credentials, settings, portal);
  if (isOver(session, policy, now)) return null;
  if (tenant.state.status !== 'active' || account.state.status !== 'enabled') return null;
  if (!isAllowed(address, settings.addresses[portal]))
    throw new MusterError('address-refused', `${address} is not in the list of allowed addresses`);
  // Short idle times are measured more finely than once a minute.
  const recordEveryMs = Math.min(useRecordedEveryMs, (policy.idleMinutes * 60_000) / 4);
  if (use) await credentials.sessions.use(session, token, address, recordEveryMs);
  const since = { mustChange: session.mustChangePassword, since: session.passwordSince };
  const due = passwordDue(settings.passwordPolicy, since, now);
  const { role } = account.state;
  return {
    kind: 'account',
    tenantId,
    accountId,
    role,
    permissions: permissionsOf(role),
    mustChangePassword: due !== null,
    passwordDue: due,
    token,
    sessionId,
    portal,
  };
};

/** The token of a proxy, `muster-proxy.<tenantId>.<proxyId>.<secret>`: it says whose it is, the secret proves it. */
export const proxyToken = (tenantId: TenantId, proxyId: ProxyId, secret: string): string =>
  `muster-proxy.${tenantId}.${proxyId}.${secret}`;

/** The proxy that a token stands for; null when it is malformed, unknown, replaced or revoked. */
export const identifyProxy = async (
  deps: Pick<Deps, 'handler'>,
  token: string | undefined,
): Promise<ProxyCredential | null> => {
  const [kind, tenant, proxy, secret, ...rest] = (token ?? '').split('.');
  const tenantId = tenantIdSchema.safeParse(tenant);
  const proxyId = proxyIdSchema.safeParse(proxy);
  if (kind !== 'muster-proxy' || !tenantId.success || !proxyId.success || !secret || rest.length > 0)
    return null;
  const target = { tenantId: tenantId.data, id: proxyId.data };
  const [{ state }, owner] = await Promise.all([
    deps.handler.load(proxyDecider, target, { maxAgeMs }),
    deps.handler.load(tenantDecider, { tenantId: tenantId.data, id: tenantId.data }, { maxAgeMs }),
  ]);
  if (state.status !== 'active' || owner.state.status !== 'active') return null;
  if (!sameHash(state.tokenHash, hashSecret(secret))) return null;
  return { kind: 'proxy', tenantId: tenantId.data, proxyId: proxyId.data };
};
