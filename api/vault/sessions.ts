/**
 * Sessions of signed-in accounts: a random token, stored as its SHA-256. How long one lasts is the tenant's policy
 * and judged by api/credentials.ts, which opens this and asks at every request of an account.
 */
import type { AccountId, TenantId } from '../../domain/ids.ts';
import type { Portal, SignInMethod } from '../../domain/sign-in/sign-in.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { hashSecret, newSecret, newUuid } from '../../platform/new-id.ts';
import type { Sql } from '../../platform/sql.ts';

/** A session as stored; whether it has ended is for the caller to judge. */
export interface Session {
  readonly sessionId: string;
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
  readonly portal: Portal;
  readonly address: string;
  readonly userAgent: string | null;
  readonly createdAt: Date;
  readonly usedAt: Date;
  readonly method: SignInMethod;
}

/** A session with what its password asks for. */
export interface FoundSession extends Session {
  /** True while the password is a one-time password. */
  readonly mustChangePassword: boolean;
  /** When the password was chosen or issued; null: the account has none. */
  readonly passwordSince: Date | null;
  /** Whether the identity provider answers for a second factor. */
  readonly vouched: boolean;
}

/** Whose session, and how it came about. */
export interface Opening {
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
  readonly portal: Portal;
  readonly address: string;
  readonly userAgent: string | null;
  readonly method: SignInMethod;
  readonly vouched: boolean;
}

export interface Sessions {
  /** Opens a session; the token is answered here and stored nowhere. */
  open(opening: Opening): Promise<{ sessionId: string; token: string; createdAt: Date }>;
  /** The session of a token; null when there is none. */
  find(token: string): Promise<FoundSession | null>;
  /** Records a use from `address`, at most once in `everyMs`. */
  use(session: FoundSession, token: string, address: string, everyMs: number): Promise<void>;
  /** Gives a session a new token; the old one ends. Undefined when it has ended meanwhile. */
  rotate(token: string): Promise<string | undefined>;
  /** Sessions of an account, the last used first. */
  list(tenantId: TenantId, accountId: AccountId): Promise<Session[]>;
  /** Ends the session of a token, at once; whether there was one. */
  end(token: string): Promise<boolean>;
  /** Ends the session of that id of the account; whether there was one. */
  endOne(tenantId: TenantId, accountId: AccountId, sessionId: string): Promise<boolean>;
  /** Ends every session of an account, but for the one of `exceptToken`; answers how many. */
  endAll(tenantId: TenantId, accountId: AccountId, exceptToken?: string): Promise<number>;
  /** Ends every session of a tenant. */
  endTenant(tenantId: TenantId): Promise<void>;
}

const prefix = 'muster-session.';
/** Longer than any policy allows a session to last. */
const keptMs = 720 * 3_600_000;
const listed = 200;

const digestOf = (token: string): string | undefined =>
  token.length < 100 && token.startsWith(prefix) ? hashSecret(token.slice(prefix.length)) : undefined;

/** Opens the sessions; the vault must be migrated. */
export const openSessions = (sql: Sql, clock: Clock): Sessions => ({
  async open({ tenantId, accountId, portal, address, userAgent, method, vouched }) {
    const secret = newSecret();
    const sessionId = newUuid();
    const now = clock();
    await sql`delete from vault.sessions where created_at < ${isoTime(now - keptMs)}`;
    await sql`
      insert into vault.sessions
        (token_hash, session_id, tenant_id, account_id, portal, address, user_agent, method, vouched, created_at,
          used_at)
      values (${hashSecret(secret)}, ${sessionId}, ${tenantId}, ${accountId}, ${portal}, ${address},
        ${userAgent}, ${method}, ${vouched}, ${isoTime(now)}, ${isoTime(now)})`;
    return { sessionId, token: `${prefix}${secret}`, createdAt: new Date(now) };
  },
  async find(token) {
    const digest = digestOf(token);
    if (digest === undefined) return null;
    const [row] = await sql<FoundSession[]>`
      select session_id as "sessionId", session.tenant_id as "tenantId", session.account_id as "accountId", portal,
        address, user_agent as "userAgent", created_at as "createdAt", used_at as "usedAt",
        method, vouched, coalesce(password.must_change, false) as "mustChangePassword",
        password.issued_at as "passwordSince"
      from vault.sessions session left join vault.passwords password using (tenant_id, account_id)
      where token_hash = ${digest}`;
    return row ?? null;
  },
  async use(session, token, address, everyMs) {
    const digest = digestOf(token);
    const now = clock();
    if (digest === undefined || now - session.usedAt.getTime() < everyMs) return;
    await sql`
      update vault.sessions set used_at = ${isoTime(now)}, address = ${address} where token_hash = ${digest}`;
  },
  async rotate(token) {
    const secret = newSecret();
    const rows = await sql`
      update vault.sessions set token_hash = ${hashSecret(secret)}
      where token_hash = ${digestOf(token) ?? ''} returning 1`;
    return rows.length > 0 ? `${prefix}${secret}` : undefined;
  },
  list: (tenantId, accountId) => sql<Session[]>`
    select session_id as "sessionId", tenant_id as "tenantId", account_id as "accountId", portal, address,
      user_agent as "userAgent", created_at as "createdAt", used_at as "usedAt", method
    from vault.sessions where tenant_id = ${tenantId} and account_id = ${accountId}
    order by used_at desc, session_id limit ${listed}`,
  async end(token) {
    const digest = digestOf(token);
    if (digest === undefined) return false;
    return (await sql`delete from vault.sessions where token_hash = ${digest}`).count > 0;
  },
  async endOne(tenantId, accountId, sessionId) {
    const ended = await sql`
      delete from vault.sessions
      where tenant_id = ${tenantId} and account_id = ${accountId} and session_id = ${sessionId}`;
    return ended.count > 0;
  },
  async endAll(tenantId, accountId, exceptToken = '') {
    const kept = digestOf(exceptToken) ?? '';
    const ended = await sql`
      delete from vault.sessions
      where tenant_id = ${tenantId} and account_id = ${accountId} and token_hash <> ${kept}`;
    return ended.count;
  },
  async endTenant(tenantId) {
    await sql`delete from vault.sessions where tenant_id = ${tenantId}`;
  },
});
