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
  type UserId,
} from '../domain/ids.ts';
import { proxyDecider } from '../domain/proxy/decide.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { userDecider } from '../domain/user/decide.ts';
import type { Deps } from '../platform/deps.ts';
import { hashSecret, sameHash } from '../platform/new-id.ts';
import { openSealedSecrets, type SealedSecrets } from '../platform/sealed-secrets.ts';
import { type Attempts, openAttempts } from './vault/attempts.ts';
import { migrateVault } from './vault/migrations.ts';
import { openPasswords, type Passwords } from './vault/passwords.ts';
import { openPortalSessions, type PortalSessions } from './vault/portal-sessions.ts';
import { openSeal } from './vault/seal.ts';
import { openSessions, type Sessions } from './vault/sessions.ts';

/** The opened vault. */
export interface Credentials {
  readonly passwords: Passwords;
  readonly sessions: Sessions;
  readonly attempts: Attempts;
  readonly portalSessions: PortalSessions;
  /** Secrets of tenants that are read back. */
  readonly secrets: SealedSecrets;
}

/** An account that is signed in, and with which token. Its tenant is the only one it can reach. */
export interface AccountCredential {
  readonly kind: 'account';
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
  readonly role: Role;
  /** What the role allows. */
  readonly permissions: ReadonlySet<Permission>;
  readonly mustChangePassword: boolean;
  readonly token: string;
}

/** A user who is signed in to the self-service portal: sees what is the user's own, and nothing of the tenant. */
export interface UserCredential {
  readonly kind: 'user';
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly token: string;
}

/** A registered proxy. */
export interface ProxyCredential {
  readonly kind: 'proxy';
  readonly tenantId: TenantId;
  readonly proxyId: ProxyId;
}

/** A disabled account, a suspended tenant or a revoked proxy is noticed within this time, in every process. */
const maxAgeMs = 2000;

/** Opens the vault, migrating it when needed. */
export const openCredentials = async (
  deps: Pick<Deps, 'sql' | 'clock'>,
  config: {
    readonly sessionIdleMinutes: number;
    readonly dataDir: string;
    readonly secretKey?: string | undefined;
  },
): Promise<Credentials> => {
  await migrateVault(deps.sql);
  return {
    passwords: await openPasswords(deps.sql, deps.clock),
    sessions: openSessions(deps.sql, deps.clock, config.sessionIdleMinutes),
    attempts: openAttempts(deps.sql, deps.clock),
    portalSessions: openPortalSessions(deps.sql, deps.clock),
    secrets: openSealedSecrets(deps.sql, openSeal(config)),
  };
};

/** The token of an `Authorization: Bearer` header (RFC 6750 §2.1); undefined when there is none. */
export const bearerToken = (req: Pick<IncomingMessage, 'headers'>): string | undefined =>
  /^Bearer ([\w.~+/-]{1,500}=*)$/i.exec(req.headers.authorization ?? '')?.[1];

/**
 * The account that a session token stands for; null when the session, its account or its tenant has ended. Counts as
 * a use of the session unless `use` is false: a stream that is only watched does not keep one alive.
 */
export const identifyAccount = async (
  deps: Pick<Deps, 'handler'>,
  credentials: Credentials,
  token: string | undefined,
  options: { readonly use?: boolean } = {},
): Promise<AccountCredential | null> => {
  const session = token === undefined ? null : await credentials.sessions.find(token, options);
  if (!session || token === undefined) return null;
  const { tenantId, accountId, mustChangePassword } = session;
  const [tenant, account] = await Promise.all([
    deps.handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs }),
    deps.handler.load(accountDecider, { tenantId, id: accountId }, { maxAgeMs }),
  ]);
  if (tenant.state.status !== 'active' || account.state.status !== 'enabled') return null;
  const { role } = account.state;
  const permissions = permissionsOf(role);
  return { kind: 'account', tenantId, accountId, role, permissions, mustChangePassword, token };
};

/** The user that a token of the portal stands for; null when the session, its user or its tenant has ended. */
export const identifyUser = async (
  deps: Pick<Deps, 'handler'>,
  credentials: Credentials,
  token: string | undefined,
): Promise<UserCredential | null> => {
  const session = token === undefined ? null : await credentials.portalSessions.find(token);
  if (!session || token === undefined) return null;
  const { tenantId, userId } = session;
  const [tenant, user] = await Promise.all([
    deps.handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs }),
    deps.handler.load(userDecider, { tenantId, id: userId }, { maxAgeMs }),
  ]);
  if (tenant.state.status !== 'active' || user.state.status !== 'active') return null;
  return { kind: 'user', tenantId, userId, token };
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
