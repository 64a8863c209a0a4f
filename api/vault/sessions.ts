/**
 * Sessions of signed-in accounts: a random token, stored as its SHA-256, that ends when idle, after twelve hours, or
 * when it is revoked. Opened by api/credentials.ts; called at every request of an account.
 */
import type { AccountId, TenantId } from '../../domain/ids.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { hashSecret, newSecret } from '../../platform/new-id.ts';
import type { Sql } from '../../platform/sql.ts';

/** A session that is still good; `mustChangePassword` while the account's password is a one-time password. */
export interface Session {
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
  readonly mustChangePassword: boolean;
  /** ISO 8601 UTC: when the session ends however much it is used. */
  readonly expiresAt: string;
}

export interface Sessions {
  /** Opens a session; the token is answered here and stored nowhere. */
  open(tenantId: TenantId, accountId: AccountId): Promise<{ token: string; expiresAt: string }>;
  /** The session of a token; null when there is none or it has ended. Counts as a use unless `use` is false. */
  find(token: string, options?: { readonly use?: boolean }): Promise<Session | null>;
  /** Ends one session, at once. */
  end(token: string): Promise<void>;
  /** Ends every session of an account, but for the one of `exceptToken`. */
  endAll(tenantId: TenantId, accountId: AccountId, exceptToken?: string): Promise<void>;
  /** Ends every session of a tenant. */
  endTenant(tenantId: TenantId): Promise<void>;
}

const prefix = 'muster-session.';
const lifetimeMs = 12 * 3_600_000;
/** A use within this time of the last recorded one is not recorded again. */
const useRecordedEveryMs = 60_000;

const digestOf = (token: string): string | undefined =>
  token.length < 100 && token.startsWith(prefix) ? hashSecret(token.slice(prefix.length)) : undefined;

interface Row {
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
  readonly mustChangePassword: boolean;
  readonly createdAt: Date;
  readonly usedAt: Date;
}

/** Opens the sessions; the vault must be migrated. */
export const openSessions = (sql: Sql, clock: Clock, idleMinutes: number): Sessions => {
  const idleMs = idleMinutes * 60_000;
  /** Short idle times are measured more finely than once a minute. */
  const recordEveryMs = Math.min(useRecordedEveryMs, idleMs / 4);
  return {
    async open(tenantId, accountId) {
      const secret = newSecret();
      const now = clock();
      await sql`delete from vault.sessions where created_at < ${isoTime(now - lifetimeMs)}`;
      await sql`
        insert into vault.sessions (token_hash, tenant_id, account_id, created_at, used_at)
        values (${hashSecret(secret)}, ${tenantId}, ${accountId}, ${isoTime(now)}, ${isoTime(now)})`;
      return { token: `${prefix}${secret}`, expiresAt: isoTime(now + lifetimeMs) };
    },
    async find(token, { use = true } = {}) {
      const digest = digestOf(token);
      if (digest === undefined) return null;
      const [row] = await sql<Row[]>`
        select session.tenant_id as "tenantId", session.account_id as "accountId",
          password.must_change as "mustChangePassword", created_at as "createdAt", used_at as "usedAt"
        from vault.sessions session join vault.passwords password using (tenant_id, account_id)
        where token_hash = ${digest}`;
      if (!row) return null;
      const now = clock();
      const endsAt = row.createdAt.getTime() + lifetimeMs;
      if (now >= endsAt || now - row.usedAt.getTime() >= idleMs) return null;
      if (use && now - row.usedAt.getTime() >= recordEveryMs)
        await sql`update vault.sessions set used_at = ${isoTime(now)} where token_hash = ${digest}`;
      const { tenantId, accountId, mustChangePassword } = row;
      return { tenantId, accountId, mustChangePassword, expiresAt: isoTime(endsAt) };
    },
    async end(token) {
      const digest = digestOf(token);
      if (digest !== undefined) await sql`delete from vault.sessions where token_hash = ${digest}`;
    },
    async endAll(tenantId, accountId, exceptToken = '') {
      const kept = digestOf(exceptToken) ?? '';
      await sql`
        delete from vault.sessions
        where tenant_id = ${tenantId} and account_id = ${accountId} and token_hash <> ${kept}`;
    },
    async endTenant(tenantId) {
      await sql`delete from vault.sessions where tenant_id = ${tenantId}`;
    },
  };
};
