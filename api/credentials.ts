/**
 * Who is calling: opens the vault and turns bearer tokens of accounts and proxies into tenant and identity.
 * Opened by api/main.ts and api/bootstrap.ts; called by every edge of api/ but the devices', whose tokens are theirs.
 */
import type { IncomingMessage } from 'node:http';
import type { AnyRole } from '../domain/account/account.ts';
import { accountDecider } from '../domain/account/decide.ts';
import type { Permission } from '../domain/account/permissions.ts';
import { role as builtInRole, permissionsOf, supportPermissionsOf } from '../domain/account/roles.ts';
import { apiKeyDecider } from '../domain/api-key/decide.ts';
import {
  type AccountId,
  type ApiKeyId,
  apiKeyId as apiKeyIdSchema,
  type ProxyId,
  proxyId as proxyIdSchema,
  type TenantId,
  tenantId as tenantIdSchema,
  type UserId,
} from '../domain/ids.ts';
import { proxyDecider } from '../domain/proxy/decide.ts';
import { roleDecider } from '../domain/role/decide.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { standingSupport } from '../domain/tenant/standing.ts';
import { operatorTenantId } from '../domain/tenant/tenant.ts';
import { userDecider } from '../domain/user/decide.ts';
import { isoTime } from '../platform/clock.ts';
import type { Deps } from '../platform/deps.ts';
import type { Actor } from '../platform/event-store.ts';
import { hashSecret, sameHash } from '../platform/new-id.ts';
import { openSealedSecrets, type SealedSecrets } from '../platform/sealed-secrets.ts';
import { type ApiKeyUses, openApiKeyUses } from './vault/api-key-uses.ts';
import { type Attempts, openAttempts } from './vault/attempts.ts';
import { migrateVault } from './vault/migrations.ts';
import { openPasswords, type Passwords } from './vault/passwords.ts';
import { openPortalSessions, type PortalSessions } from './vault/portal-sessions.ts';
import { openSeal } from './vault/seal.ts';
import { openSessions, type Sessions } from './vault/sessions.ts';
import { isSupportToken, openSupportSessions, type SupportSessions } from './vault/support-sessions.ts';

/** The opened vault. */
export interface Credentials {
  readonly passwords: Passwords;
  readonly sessions: Sessions;
  readonly supportSessions: SupportSessions;
  readonly attempts: Attempts;
  readonly apiKeyUses: ApiKeyUses;
  readonly portalSessions: PortalSessions;
  /** Secrets of tenants that are read back. */
  readonly secrets: SealedSecrets;
}

/** What is the same of everybody who calls within a tenant. Its tenant is the only one it can reach. */
interface Caller {
  readonly tenantId: TenantId;
  /** What the role, or the key, is called. */
  readonly role: string;
  readonly permissions: ReadonlySet<Permission>;
  readonly token: string;
}

/** An account that is signed in, and with which token. */
export interface AccountCredential extends Caller {
  readonly kind: 'account';
  readonly accountId: AccountId;
  readonly mustChangePassword: boolean;
  /** An operator within the tenant, by its support access: the account is one of the operator tenant. */
  readonly support: boolean;
}

/** A program with an API key of the tenant. */
export interface ApiKeyCredential extends Caller {
  readonly kind: 'api-key';
  readonly apiKeyId: ApiKeyId;
}

/** Who may act in a tenant, as far as the permissions reach. */
export type Member = AccountCredential | ApiKeyCredential;

/** Who may call GraphQL. */
export type Credential = Member | UserCredential;

/** The credential as the cause of events. */
export const actorOf = (credential: Member): Actor =>
  credential.kind === 'account'
    ? { kind: 'account', id: credential.accountId, ...(credential.support ? { support: true } : {}) }
    : { kind: 'api-key', id: credential.apiKeyId };

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
    supportSessions: openSupportSessions(deps.sql, deps.clock),
    sessions: openSessions(deps.sql, deps.clock, config.sessionIdleMinutes),
    attempts: openAttempts(deps.sql, deps.clock),
    apiKeyUses: openApiKeyUses(deps.sql, deps.clock),
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
const identifyAccount = async (
  deps: Pick<Deps, 'handler' | 'clock'>,
  credentials: Credentials,
  token: string | undefined,
  options: { readonly use?: boolean } = {},
): Promise<AccountCredential | null> => {
  if (token !== undefined && isSupportToken(token)) return identifySupport(deps, credentials, token);
  const session = token === undefined ? null : await credentials.sessions.find(token, options);
  if (!session || token === undefined) return null;
  const { tenantId, accountId, mustChangePassword } = session;
  const [tenant, account] = await Promise.all([
    deps.handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs }),
    deps.handler.load(accountDecider, { tenantId, id: accountId }, { maxAgeMs }),
  ]);
  if (tenant.state.status !== 'active' || account.state.status !== 'enabled') return null;
  const { role, permissions } = await roleInForce(deps, tenantId, account.state.role);
  return {
    kind: 'account',
    tenantId,
    accountId,
    role,
    permissions,
    mustChangePassword,
    token,
    support: false,
  };
};

/** The user that a token of the portal stands for; null when the session, its user or its tenant has ended. */
const identifyUser = async (
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

/** The role that support has in a tenant, by the level of its access. */
const supportRoles = { read: 'read-only', change: 'administrator' } as const;

/**
 * The operator that a support token stands for, within the tenant that it entered; null when the tenant's grant, the
 * operator's account or the session has ended. A suspended tenant can be entered, one that was deleted cannot.
 */
const identifySupport = async (
  { handler, clock }: Pick<Deps, 'handler' | 'clock'>,
  credentials: Credentials,
  token: string,
): Promise<AccountCredential | null> => {
  const session = await credentials.supportSessions.find(token);
  if (!session) return null;
  const { tenantId, accountId } = session;
  const [tenant, account] = await Promise.all([
    handler.load(tenantDecider, { tenantId, id: tenantId }, { maxAgeMs }),
    handler.load(accountDecider, { tenantId: operatorTenantId, id: accountId }, { maxAgeMs }),
  ]);
  const grant = standingSupport(tenant.state, isoTime(clock()));
  if (grant === null || account.state.status !== 'enabled' || account.state.role !== 'operator') return null;
  const role = supportRoles[grant.level];
  const permissions = supportPermissionsOf(role);
  return {
    kind: 'account',
    tenantId,
    accountId,
    role,
    permissions,
    mustChangePassword: false,
    token,
    support: true,
  };
};

const nothingAllowed: ReadonlySet<Permission> = new Set();

/** Title and permissions of a role. One of the tenant's own that is retired, or not there, allows nothing. */
export const roleInForce = async (
  deps: Pick<Deps, 'handler'>,
  tenantId: TenantId,
  given: AnyRole,
): Promise<{ readonly role: string; readonly permissions: ReadonlySet<Permission> }> => {
  const builtIn = builtInRole.safeParse(given);
  if (builtIn.success) return { role: builtIn.data, permissions: permissionsOf(builtIn.data) };
  const { state } = await deps.handler.load(roleDecider, { tenantId, id: given }, { maxAgeMs });
  return state.status === 'active'
    ? { role: state.name, permissions: new Set(state.permissions) }
    : { role: given, permissions: nothingAllowed };
};

/** The token of an API key, `muster-key.<tenantId>.<apiKeyId>.<secret>`: it says whose it is, the secret proves it. */
export const apiKeyToken = (tenantId: TenantId, apiKeyId: ApiKeyId, secret: string): string =>
  `muster-key.${tenantId}.${apiKeyId}.${secret}`;

/** The API key that a token stands for; null when it is malformed, unknown, expired or revoked. */
const identifyApiKey = async (
  deps: Pick<Deps, 'handler' | 'clock'>,
  credentials: Credentials,
  token: string,
  { use = true, address }: IdentifyOptions,
): Promise<ApiKeyCredential | null> => {
  const [, tenant, key, secret, ...rest] = token.split('.');
  const tenantId = tenantIdSchema.safeParse(tenant);
  const apiKeyId = apiKeyIdSchema.safeParse(key);
  if (!tenantId.success || !apiKeyId.success || !secret || rest.length > 0) return null;
  const target = { tenantId: tenantId.data, id: apiKeyId.data };
  const [{ state }, owner] = await Promise.all([
    deps.handler.load(apiKeyDecider, target, { maxAgeMs }),
    deps.handler.load(tenantDecider, { tenantId: tenantId.data, id: tenantId.data }, { maxAgeMs }),
  ]);
  if (state.status !== 'active' || owner.state.status !== 'active') return null;
  if (!sameHash(state.tokenHash, hashSecret(secret)) || state.expiresAt <= isoTime(deps.clock())) return null;
  if (use) await credentials.apiKeyUses.record(tenantId.data, apiKeyId.data, address ?? '');
  const permissions = new Set(state.permissions);
  const ids = { tenantId: tenantId.data, apiKeyId: apiKeyId.data };
  return { kind: 'api-key', ...ids, role: `API key ${state.name}`, permissions, token };
};

interface IdentifyOptions {
  /** False: only looked at, not used. */
  readonly use?: boolean;
  /** Where the request comes from. */
  readonly address?: string;
}

/** The account, API key or user of the portal that a token stands for; null when it stands for nobody. */
export const identify = async (
  deps: Pick<Deps, 'handler' | 'clock'>,
  credentials: Credentials,
  token: string | undefined,
  options: IdentifyOptions = {},
): Promise<Credential | null> => {
  if (token?.startsWith('muster-key.')) return identifyApiKey(deps, credentials, token, options);
  if (token?.startsWith('muster-portal.')) return identifyUser(deps, credentials, token);
  return identifyAccount(deps, credentials, token, options);
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
