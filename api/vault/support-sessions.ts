/**
 * Sessions of operators within a tenant that grants support access: a token of their own kind, stored as its SHA-256.
 * They end with the grant, with the session that opened them, and when they are left. Opened by api/credentials.ts.
 */
import type { AccountId, TenantId } from '../../domain/ids.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { hashSecret, newSecret } from '../../platform/new-id.ts';
import type { Sql } from '../../platform/sql.ts';

/** An operator within a tenant. Whether the grant still stands is the tenant's to say. */
export interface SupportSession {
  /** The tenant that is entered. */
  readonly tenantId: TenantId;
  /** Account of the operator tenant. */
  readonly accountId: AccountId;
}

export interface SupportSessions {
  /** Opens a session until `until` (ISO 8601, UTC) at the latest; the token is answered here and stored nowhere. */
  open(session: SupportSession, openedBy: string, until: string): Promise<string>;
  /** The session of a token; null when there is none or its time is over. */
  find(token: string): Promise<SupportSession | null>;
  /** Ends one session, at once. */
  end(token: string): Promise<void>;
  /** Ends every session within a tenant; answers whose they were. */
  endWithin(tenantId: TenantId): Promise<readonly AccountId[]>;
}

const prefix = 'muster-support.';

/** Whether a token is of this kind. */
export const isSupportToken = (token: string): boolean => token.startsWith(prefix);

const digestOf = (token: string): string | undefined =>
  token.length < 100 && isSupportToken(token) ? hashSecret(token.slice(prefix.length)) : undefined;

/** Digest of the operator's own session token, as vault.sessions has it. */
const openerOf = (token: string): string => hashSecret(token.slice(token.indexOf('.') + 1));

/** Opens the sessions; the vault must be migrated. */
export const openSupportSessions = (sql: Sql, clock: Clock): SupportSessions => ({
  async open({ tenantId, accountId }, openedBy, until) {
    const secret = newSecret();
    await sql`delete from vault.support_sessions where until <= ${isoTime(clock())}`;
    await sql`
      insert into vault.support_sessions (token_hash, tenant_id, account_id, opened_by, until)
      values (${hashSecret(secret)}, ${tenantId}, ${accountId}, ${openerOf(openedBy)}, ${until})`;
    return `${prefix}${secret}`;
  },
  async find(token) {
    const digest = digestOf(token);
    if (digest === undefined) return null;
    const [row] = await sql<SupportSession[]>`
      select support.tenant_id as "tenantId", support.account_id as "accountId"
      from vault.support_sessions support join vault.sessions opener on opener.token_hash = support.opened_by
      where support.token_hash = ${digest} and support.until > ${isoTime(clock())}`;
    return row ?? null;
  },
  async end(token) {
    const digest = digestOf(token);
    if (digest !== undefined) await sql`delete from vault.support_sessions where token_hash = ${digest}`;
  },
  async endWithin(tenantId) {
    const rows = await sql<{ accountId: AccountId }[]>`
      delete from vault.support_sessions where tenant_id = ${tenantId} returning account_id as "accountId"`;
    return [...new Set(rows.map(({ accountId }) => accountId))];
  },
});
