/**
 * Who may be calling, and the opened vault by which it is found out. The callers themselves are found in identify/.
 * Opened by api/main.ts and api/bootstrap.ts; called by every edge of api/ but the devices', whose tokens are theirs.
 */
import type { IncomingMessage } from 'node:http';
import type { Permission } from '../domain/account/permissions.ts';
import type { AccountId, ApiKeyId, ProxyId, TenantId, UserId } from '../domain/ids.ts';
import type { Portal, SessionPolicy, SignInMethod } from '../domain/sign-in/sign-in.ts';
import type { Clock } from '../platform/clock.ts';
import type { ServerConfig } from '../platform/config.ts';
import type { Deps } from '../platform/deps.ts';
import type { Actor } from '../platform/event-store.ts';
import { openSeal } from '../platform/seal.ts';
import { openSealedSecrets, type SealedSecrets } from '../platform/sealed-secrets.ts';
import type { PasswordDue } from './sign-in/password.ts';
import { type ApiKeyUses, openApiKeyUses } from './vault/api-key-uses.ts';
import { type Attempts, openAttempts } from './vault/attempts.ts';
import { type Links, openLinks } from './vault/links.ts';
import { migrateVault } from './vault/migrations.ts';
import { openPasskeys, type Passkeys } from './vault/passkeys.ts';
import { openPasswords, type Passwords } from './vault/passwords.ts';
import { openPendingSignIns, type PendingSignIns } from './vault/pending-sign-ins.ts';
import { openPortalSessions, type PortalSessions } from './vault/portal-sessions.ts';
import { openSecondFactors, type SecondFactors } from './vault/second-factors.ts';
import { openSessions, type Sessions } from './vault/sessions.ts';
import { openSingleSignOns, type SingleSignOns } from './vault/single-sign-ons.ts';
import { openSupportSessions, type SupportSessions } from './vault/support-sessions.ts';
import { openTallies, type Tallies } from './vault/tallies.ts';

/** The opened vault. */
export interface Credentials {
  readonly passwords: Passwords;
  readonly sessions: Sessions;
  readonly supportSessions: SupportSessions;
  readonly portalSessions: PortalSessions;
  readonly attempts: Attempts;
  readonly links: Links;
  readonly pendingSignIns: PendingSignIns;
  readonly secondFactors: SecondFactors;
  readonly passkeys: Passkeys;
  readonly singleSignOns: SingleSignOns;
  readonly apiKeyUses: ApiKeyUses;
  /** Secrets of tenants that are read back. */
  readonly secrets: SealedSecrets;
  readonly tallies: Tallies;
  readonly clock: Clock;
  /** Of tenants that have chosen none. */
  readonly defaultSessionPolicy: SessionPolicy;
}

/** What is the same of everybody who acts within a tenant. Its tenant is the only one it can reach. */
interface Acting {
  readonly tenantId: TenantId;
  /** What the role, or the key, is called. */
  readonly role: string;
  readonly permissions: ReadonlySet<Permission>;
  readonly token: string;
}

/** An account that is signed in, and with which token. */
export interface AccountCredential extends Acting {
  readonly kind: 'account';
  readonly accountId: AccountId;
  /** True: nothing but changing the password is possible. */
  readonly mustChangePassword: boolean;
  readonly passwordDue: PasswordDue | null;
  /** True: nothing but setting up a second factor is possible. */
  readonly factorDue: boolean;
  readonly sessionId: string;
  readonly portal: Portal;
  /** How and when the session came about. */
  readonly method: SignInMethod;
  readonly enteredAt: Date;
  /** An operator within the tenant, by its support access: the account is one of the operator tenant. */
  readonly support: boolean;
}

/** A program with an API key of the tenant. */
export interface ApiKeyCredential extends Acting {
  readonly kind: 'api-key';
  readonly apiKeyId: ApiKeyId;
}

/** Who may act in a tenant, as far as the permissions reach. */
export type Member = AccountCredential | ApiKeyCredential;

/** A user who is signed in to the self-service portal: sees what is the user's own, and nothing of the tenant. */
export interface UserCredential {
  readonly kind: 'user';
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly token: string;
}

/** Who may call GraphQL. */
export type Credential = Member | UserCredential;

/** A registered proxy. */
export interface ProxyCredential {
  readonly kind: 'proxy';
  readonly tenantId: TenantId;
  readonly proxyId: ProxyId;
}

/** The credential as the cause of events. */
export const actorOf = (credential: Member): Actor =>
  credential.kind === 'account'
    ? { kind: 'account', id: credential.accountId, ...(credential.support ? { support: true } : {}) }
    : { kind: 'api-key', id: credential.apiKeyId };

/** Who sends a request: with which token, if any, and from where. */
export interface Caller {
  readonly token: string | undefined;
  readonly address: string;
}

const defaultAbsoluteHours = 12;

/** Opens the vault, migrating it when needed. */
export const openCredentials = async (
  deps: Pick<Deps, 'sql' | 'clock'>,
  config: Pick<ServerConfig, 'sessionIdleMinutes' | 'secretKey' | 'dataDir'>,
): Promise<Credentials> => {
  const { sql, clock } = deps;
  await migrateVault(sql);
  const secrets = openSealedSecrets(sql, openSeal(config));
  return {
    passwords: await openPasswords(sql, clock),
    sessions: openSessions(sql, clock),
    supportSessions: openSupportSessions(sql, clock),
    portalSessions: openPortalSessions(sql, clock),
    attempts: openAttempts(sql, clock),
    links: openLinks(sql, clock),
    pendingSignIns: openPendingSignIns(sql, clock),
    secondFactors: openSecondFactors(sql, secrets, clock),
    passkeys: openPasskeys(sql, clock),
    singleSignOns: openSingleSignOns(sql, clock),
    apiKeyUses: openApiKeyUses(sql, clock),
    secrets,
    tallies: openTallies(sql, clock),
    clock,
    defaultSessionPolicy: { idleMinutes: config.sessionIdleMinutes, absoluteHours: defaultAbsoluteHours },
  };
};

/** A disabled account, a suspended tenant or a revoked proxy is noticed within this time, in every process. */
export const credentialMaxAgeMs = 2000;

/** Streams look at their credential this often: with the time for which it is believed, they end within five seconds. */
export const streamCheckMs = 2500;

/** The token of an `Authorization: Bearer` header (RFC 6750 §2.1); undefined when there is none. */
export const bearerToken = (req: Pick<IncomingMessage, 'headers'>): string | undefined =>
  /^Bearer ([\w.~+/-]{1,500}=*)$/i.exec(req.headers.authorization ?? '')?.[1];
