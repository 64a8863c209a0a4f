/**
 * Sessions of users in the self-service portal: a random token, stored as its SHA-256, that ends when idle or after
 * four hours. Opened by api/credentials.ts; called at every request of the portal.
 */
import type { TenantId, UserId } from '../../domain/ids.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { hashSecret, newSecret } from '../../platform/new-id.ts';
import type { Sql } from '../../platform/sql.ts';

export interface PortalSession {
  readonly tenantId: TenantId;
  readonly userId: UserId;
}

export interface PortalSessions {
  /** Opens a session; the token is answered here and stored nowhere. */
  open(tenantId: TenantId, userId: UserId): Promise<{ token: string; expiresAt: string }>;
  /** The session of a token; null when there is none or it has ended. Counts as a use. */
  find(token: string): Promise<PortalSession | null>;
  end(token: string): Promise<void>;
  /** Ends every session of a user. */
  endAll(tenantId: TenantId, userId: UserId): Promise<void>;
}

const prefix = 'muster-portal.';
const lifetimeMs = 4 * 3_600_000;
const idleMs = 30 * 60_000;

const digestOf = (token: string): string | undefined =>
  token.length < 100 && token.startsWith(prefix) ? hashSecret(token.slice(prefix.length)) : undefined;

/** Opens the sessions; the vault must be migrated. */
export const openPortalSessions = (sql: Sql, clock: Clock): PortalSessions => ({
  async open(tenantId, userId) {
    const secret = newSecret();
    const now = clock();
    await sql`delete from vault.portal_sessions where created_at < ${isoTime(now - lifetimeMs)}`;
    await sql`
      insert into vault.portal_sessions (token_hash, tenant_id, user_id, created_at, used_at)
      values (${hashSecret(secret)}, ${tenantId}, ${userId}, ${isoTime(now)}, ${isoTime(now)})`;
    return { token: `${prefix}${secret}`, expiresAt: isoTime(now + lifetimeMs) };
  },
  async find(token) {
    const digest = digestOf(token);
    if (digest === undefined) return null;
    const now = clock();
    const [row] = await sql<PortalSession[]>`
      update vault.portal_sessions set used_at = ${isoTime(now)}
      where token_hash = ${digest} and created_at > ${isoTime(now - lifetimeMs)}
        and used_at > ${isoTime(now - idleMs)}
      returning tenant_id as "tenantId", user_id as "userId"`;
    return row ?? null;
  },
  async end(token) {
    const digest = digestOf(token);
    if (digest !== undefined) await sql`delete from vault.portal_sessions where token_hash = ${digest}`;
  },
  async endAll(tenantId, userId) {
    await sql`delete from vault.portal_sessions where tenant_id = ${tenantId} and user_id = ${userId}`;
  },
});
