/**
 * Links by which an account's owner chooses a password: invitations and resets. A random token, stored as its
 * SHA-256, good once and for a time. Opened by api/credentials.ts; called by api/sign-in/links.ts.
 */
import type { AccountId, TenantId } from '../../domain/ids.ts';
import type { LinkKind } from '../../domain/sign-in/sign-in.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { hashSecret, newSecret } from '../../platform/new-id.ts';
import type { Sql } from '../../platform/sql.ts';

export interface Link {
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
  readonly kind: LinkKind;
}

export interface Links {
  /** Makes a link; those of the account before it end. The token is answered here and stored nowhere. */
  issue(link: Link): Promise<{ readonly token: string; readonly expiresAt: string }>;
  /** What a token stands for; undefined when it is unknown, used, replaced or expired. */
  find(token: string): Promise<Link | undefined>;
  /** Uses a link up: true for exactly one of those who try. */
  take(token: string): Promise<boolean>;
  /** Whether a reset was issued within the last five minutes: no mailbox is flooded. */
  wasResetJustNow(tenantId: TenantId, accountId: AccountId): Promise<boolean>;
  /** Ends the links of an account. */
  endAll(tenantId: TenantId, accountId: AccountId): Promise<void>;
}

/** An invitation may wait for its reader's holidays; a reset was asked for just now. */
const lifetimeMs: Readonly<Record<LinkKind, number>> = { invitation: 7 * 24 * 3_600_000, reset: 3_600_000 };
const resetPauseMs = 300_000;
const prefix = 'muster-link.';

const digestOf = (token: string): string =>
  token.startsWith(prefix) ? hashSecret(token.slice(prefix.length)) : '';

/** Opens the links; the vault must be migrated. */
export const openLinks = (sql: Sql, clock: Clock): Links => {
  const now = () => isoTime(clock());
  const endAll: Links['endAll'] = async (tenantId, accountId) => {
    await sql`delete from vault.links where tenant_id = ${tenantId} and account_id = ${accountId}`;
  };
  return {
    async issue({ tenantId, accountId, kind }) {
      const secret = newSecret();
      const expiresAt = isoTime(clock() + lifetimeMs[kind]);
      await sql`delete from vault.links where expires_at < ${now()}`;
      await endAll(tenantId, accountId);
      await sql`
        insert into vault.links (token_hash, tenant_id, account_id, kind, expires_at)
        values (${hashSecret(secret)}, ${tenantId}, ${accountId}, ${kind}, ${expiresAt})`;
      return { token: `${prefix}${secret}`, expiresAt };
    },
    async find(token) {
      const [row] = await sql<Link[]>`
        select tenant_id as "tenantId", account_id as "accountId", kind from vault.links
        where token_hash = ${digestOf(token)} and expires_at > ${now()}`;
      return row;
    },
    async take(token) {
      const taken = await sql`
        delete from vault.links where token_hash = ${digestOf(token)} and expires_at > ${now()}`;
      return taken.count > 0;
    },
    async wasResetJustNow(tenantId, accountId) {
      const since = isoTime(clock() + lifetimeMs.reset - resetPauseMs);
      const rows = await sql`
        select 1 from vault.links
        where tenant_id = ${tenantId} and account_id = ${accountId} and kind = 'reset' and expires_at > ${since}`;
      return rows.length > 0;
    },
    endAll,
  };
};
