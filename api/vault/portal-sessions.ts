/**
 * Sessions of users in the self-service portal: a random token, stored as its SHA-256. When they end by time is the
 * tenant's to say (api/identify/portal-user.ts). Opened by api/credentials.ts; called at every request of the portal.
 */
import type { TenantId, UserId } from '../../domain/ids.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { hashSecret, newSecret } from '../../platform/new-id.ts';
import type { Sql } from '../../platform/sql.ts';

export interface PortalSession {
  readonly tenantId: TenantId;
  readonly userId: UserId;
  readonly createdAt: Date;
  readonly usedAt: Date;
}

export interface PortalSessions {
  /** Opens a session; the token is answered here and stored nowhere. */
  open(tenantId: TenantId, userId: UserId): Promise<{ token: string; createdAt: Date }>;
  /** The session of a token, even one that has ended by time; null when there is none. */
  find(token: string): Promise<PortalSession | null>;
  /** Records a use, unless the last recorded one is less than `everyMs` ago. */
  use(session: PortalSession, token: string, everyMs: number): Promise<void>;
  end(token: string): Promise<void>;
  /** Ends every session of a user. */
  endAll(tenantId: TenantId, userId: UserId): Promise<void>;
}

const prefix = 'muster-portal.';
/** Longer than any policy allows a session to last. */
const keptMs = 720 * 3_600_000;

const digestOf = (token: string): string | undefined =>
  token.length < 100 && token.startsWith(prefix) ? hashSecret(token.slice(prefix.length)) : undefined;

/** Opens the sessions; the vault must be migrated. */
export const openPortalSessions = (sql: Sql, clock: Clock): PortalSessions => ({
  async open(tenantId, userId) {
    const secret = newSecret();
    const now = clock();
    await sql`delete from vault.portal_sessions where created_at < ${isoTime(now - keptMs)}`;
    await sql`
      insert into vault.portal_sessions (token_hash, tenant_id, user_id, created_at, used_at)
      values (${hashSecret(secret)}, ${tenantId}, ${userId}, ${isoTime(now)}, ${isoTime(now)})`;
    return { token: `${prefix}${secret}`, createdAt: new Date(now) };
  },
  async find(token) {
    const digest = digestOf(token);
    if (digest === undefined) return null;
    const [row] = await sql<PortalSession[]>`
      select tenant_id as "tenantId", user_id as "userId", created_at as "createdAt", used_at as "usedAt"
      from vault.portal_sessions where token_hash = ${digest}`;
    return row ?? null;
  },
  async use(session, token, everyMs) {
    const digest = digestOf(token);
    const now = clock();
    if (digest === undefined || now - session.usedAt.getTime() < everyMs) return;
    await sql`update vault.portal_sessions set used_at = ${isoTime(now)} where token_hash = ${digest}`;
  },
  async end(token) {
    const digest = digestOf(token);
    if (digest !== undefined) await sql`delete from vault.portal_sessions where token_hash = ${digest}`;
  },
  async endAll(tenantId, userId) {
    await sql`delete from vault.portal_sessions where tenant_id = ${tenantId} and user_id = ${userId}`;
  },
});
