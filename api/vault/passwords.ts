/**
 * Passwords of accounts: argon2id hashes in the vault, one-time passwords.
 * Called by api/credentials.ts, which opens it, and through it by sign-in, password changes and bootstrap.
 */
import { z } from 'zod';
import type { AccountId, TenantId } from '../../domain/ids.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import { newCode } from '../../platform/new-id.ts';
import { openPasswordHashing } from '../../platform/passwords.ts';
import { type Sql, transaction } from '../../platform/sql.ts';

/** What may be offered as a new password at all: the tenant's policy asks for more (domain/sign-in/password.ts). */
export const chosenPassword = z
  .string()
  .min(8)
  .max(256)
  .refine((value) => !/\p{Cs}/u.test(value), 'contains a lone surrogate');

/** Of which account. */
export interface PasswordOwner {
  readonly tenantId: TenantId;
  readonly accountId: AccountId;
}

export interface Passwords {
  /**
   * Whether `password` is the owner's, whether it must be changed, and since when it is there. Without an owner it
   * takes as long and fails.
   */
  check(
    owner: PasswordOwner | null,
    password: string,
  ): Promise<{ readonly valid: boolean; readonly mustChange: boolean; readonly since: Date | null }>;
  /** Whether the owner's password must be changed, and since when it is there. */
  standing(owner: PasswordOwner): Promise<{ readonly mustChange: boolean; readonly since: Date | null }>;
  /** Whether `password` is the owner's present one or one of the `count` - 1 before it. */
  wasUsed(owner: PasswordOwner, password: string, count: number): Promise<boolean>;
  /** Stores a password that the owner chose; the one before goes into the history. */
  choose(owner: PasswordOwner, password: string): Promise<void>;
  /** Replaces the owner's password by a new one-time password, which is answered here and nowhere else. */
  issue(owner: PasswordOwner): Promise<string>;
  /**
   * The same, unless the owner has signed in before or was issued a password within the last minute: then
   * undefined. Two processes that start together therefore issue one password.
   */
  issueFirst(owner: PasswordOwner): Promise<string | undefined>;
  /** Whether the owner has a password at all. */
  has(owner: PasswordOwner): Promise<boolean>;
  /** Remembers that the owner signed in. */
  recordSignIn(owner: PasswordOwner): Promise<void>;
}

const reissueAfterMs = 60_000;

/** The most that any policy looks back. */
const historyKept = 24;

/** Opens the passwords; the vault must be migrated. */
export const openPasswords = async (sql: Sql, clock: Clock): Promise<Passwords> => {
  const hashing = await openPasswordHashing();
  const now = () => isoTime(clock());
  const store = async ({ tenantId, accountId }: PasswordOwner, password: string, mustChange: boolean) => {
    const hashed = await hashing.hash(password);
    await transaction(sql, async (tx) => {
      // One-time passwords were nobody's choice: they are not remembered.
      await tx`
        insert into vault.password_history (tenant_id, account_id, hash, at)
        select tenant_id, account_id, hash, issued_at from vault.passwords
        where tenant_id = ${tenantId} and account_id = ${accountId} and not must_change for update`;
      await tx`
        insert into vault.passwords (tenant_id, account_id, hash, must_change, issued_at)
        values (${tenantId}, ${accountId}, ${hashed}, ${mustChange}, ${now()})
        on conflict (tenant_id, account_id) do update
          set hash = excluded.hash, must_change = excluded.must_change, issued_at = excluded.issued_at`;
      await tx`
        delete from vault.password_history where ctid in (
          select ctid from vault.password_history
          where tenant_id = ${tenantId} and account_id = ${accountId} order by at desc offset ${historyKept})`;
    });
  };
  return {
    async check(owner, password) {
      const [row] = owner
        ? await sql<{ hash: string; mustChange: boolean; since: Date }[]>`
            select hash, must_change as "mustChange", issued_at as since from vault.passwords
            where tenant_id = ${owner.tenantId} and account_id = ${owner.accountId}`
        : [];
      return {
        valid: await hashing.matches(row?.hash, password),
        mustChange: row?.mustChange ?? false,
        since: row?.since ?? null,
      };
    },
    async standing({ tenantId, accountId }) {
      const [row] = await sql<{ mustChange: boolean; since: Date }[]>`
        select must_change as "mustChange", issued_at as since from vault.passwords
        where tenant_id = ${tenantId} and account_id = ${accountId}`;
      return row ?? { mustChange: false, since: null };
    },
    async wasUsed({ tenantId, accountId }, password, count) {
      if (count === 0) return false;
      const rows = await sql<{ hash: string }[]>`
        select hash from vault.passwords where tenant_id = ${tenantId} and account_id = ${accountId}
        union all (select hash from vault.password_history
          where tenant_id = ${tenantId} and account_id = ${accountId} order by at desc limit ${count - 1})`;
      for (const row of rows) if (await hashing.matches(row.hash, password)) return true;
      return false;
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
    async has({ tenantId, accountId }) {
      const rows = await sql`
        select 1 from vault.passwords where tenant_id = ${tenantId} and account_id = ${accountId}`;
      return rows.length > 0;
    },
    async recordSignIn({ tenantId, accountId }) {
      await sql`
        update vault.passwords set signed_in_at = ${now()}
        where tenant_id = ${tenantId} and account_id = ${accountId}`;
    },
  };
};
