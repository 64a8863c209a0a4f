/**
 * Passwords of accounts: argon2id hashes in the vault, one-time passwords.
 * Called by api/credentials.ts, which opens it, and through it by sign-in, password changes and bootstrap.
 */
import type { AccountId, TenantId } from '../../domain/ids.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { newCode } from '../../platform/new-id.ts';
import { openPasswordHashing } from '../../platform/passwords.ts';
import type { Sql } from '../../platform/sql.ts';

/** Of which account. */
export interface PasswordOwner {
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
}

export interface Passwords {
  /** Whether `password` is the owner's, and whether it must be changed. Without an owner it takes as long and fails. */
  check(owner: PasswordOwner | null, password: string): Promise<{ valid: boolean; mustChange: boolean }>;
  /** Stores a password that the owner chose. */
  choose(owner: PasswordOwner, password: string): Promise<void>;
  /** Replaces the owner's password by a new one-time password, which is answered here and nowhere else. */
  issue(owner: PasswordOwner): Promise<string>;
  /**
   * The same, unless the owner has signed in before or was issued a password within the last minute: then
   * undefined. Two processes that start together therefore issue one password.
   */
  issueFirst(owner: PasswordOwner): Promise<string | undefined>;
  /** Remembers that the owner signed in. */
  recordSignIn(owner: PasswordOwner): Promise<void>;
}

const reissueAfterMs = 60_000;

/** Opens the passwords; the vault must be migrated. */
export const openPasswords = async (sql: Sql, clock: Clock): Promise<Passwords> => {
  const hashing = await openPasswordHashing();
  const now = () => isoTime(clock());
  const store = async ({ tenantId, accountId }: PasswordOwner, password: string, mustChange: boolean) => {
    const hashed = await hashing.hash(password);
    await sql`
      insert into vault.passwords (tenant_id, account_id, hash, must_change, issued_at)
      values (${tenantId}, ${accountId}, ${hashed}, ${mustChange}, ${now()})
      on conflict (tenant_id, account_id) do update
        set hash = excluded.hash, must_change = excluded.must_change, issued_at = excluded.issued_at`;
  };
  return {
    async check(owner, password) {
      const [row] = owner
        ? await sql<{ hash: string; mustChange: boolean }[]>`
            select hash, must_change as "mustChange" from vault.passwords
            where tenant_id = ${owner.tenantId} and account_id = ${owner.accountId}`
        : [];
      return {
        valid: await hashing.matches(row?.hash, password),
        mustChange: row?.mustChange ?? false,
      };
    },
    choose: (owner, password) => store(owner, password, false),
    async issue(owner) {
      const password = newCode();
      await store(owner, password, true);
      return password;
    },
    async issueFirst({ tenantId, accountId }) {
      const password = newCode();
      const hashed = await hashing.hash(password);
      const issuedBefore = isoTime(clock() - reissueAfterMs);
      const rows = await sql`
        insert into vault.passwords as known (tenant_id, account_id, hash, must_change, issued_at)
        values (${tenantId}, ${accountId}, ${hashed}, true, ${now()})
        on conflict (tenant_id, account_id) do update
          set hash = excluded.hash, issued_at = excluded.issued_at
          where known.signed_in_at is null and known.must_change and known.issued_at < ${issuedBefore}
        returning 1`;
      return rows.length > 0 ? password : undefined;
    },
    async recordSignIn({ tenantId, accountId }) {
      await sql`
        update vault.passwords set signed_in_at = ${now()}
        where tenant_id = ${tenantId} and account_id = ${accountId}`;
    },
  };
};
