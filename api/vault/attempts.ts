/**
 * Slows down guessing of passwords: each failed attempt of one address on one account, and each of one address on
 * any, doubles the pause until the next. Never permanent. Opened by api/credentials.ts; called by sign-in.
 */
import { createHash } from 'node:crypto';
import { type Clock, isoTime } from '../../platform/clock.ts';
import type { Sql } from '../../platform/sql.ts';

export interface Attempts {
  /**
   * Counts an attempt before its password is looked at, so that attempts at the same time count too. Answers 0 when
   * it may go on, else the seconds until the next one may.
   */
  begin(account: string, address: string): Promise<number>;
  /** Takes the attempt back: it succeeded. */
  succeed(account: string, address: string): Promise<void>;
}

interface Limit {
  /** Attempts without any pause. */
  readonly free: number;
  readonly longestPauseSeconds: number;
}

const perAccount: Limit = { free: 5, longestPauseSeconds: 900 };
const perAddress: Limit = { free: 50, longestPauseSeconds: 60 };
/** Attempts are forgotten after this long. */
const forgottenAfterMs = 24 * 3_600_000;

const digest = (...parts: string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex');
const accountSubject = (account: string, address: string) => digest('account', account, address);
const addressSubject = (address: string) => digest('address', address);

/** Opens the counters; the vault must be migrated. */
export const openAttempts = (sql: Sql, clock: Clock): Attempts => {
  const count = async (subject: string, { free, longestPauseSeconds }: Limit): Promise<number> => {
    const now = clock();
    const at = isoTime(now);
    const counted = await sql`
      insert into vault.attempts as known (subject, failures, free_at, last_at)
      values (${subject}, 1, '-infinity', ${at})
      on conflict (subject) do update
        set failures = known.failures + 1, last_at = excluded.last_at,
          free_at = case when known.failures + 1 < ${free} then known.free_at
            else excluded.last_at + make_interval(secs =>
              least(${longestPauseSeconds}, power(2, least(known.failures + 1 - ${free}, 20)))) end
        where known.free_at <= excluded.last_at
      returning 1`;
    if (counted.length > 0) return 0;
    const [row] = await sql<{ freeAt: Date }[]>`
      select free_at as "freeAt" from vault.attempts where subject = ${subject}`;
    return row ? Math.max(1, Math.ceil((row.freeAt.getTime() - now) / 1000)) : 1;
  };
  return {
    async begin(account, address) {
      const pause = await count(addressSubject(address), perAddress);
      if (pause > 0) return pause;
      return count(accountSubject(account, address), perAccount);
    },
    async succeed(account, address) {
      await sql`delete from vault.attempts where last_at < ${isoTime(clock() - forgottenAfterMs)}`;
      await sql`delete from vault.attempts where subject = ${accountSubject(account, address)}`;
      await sql`
        update vault.attempts set failures = greatest(failures - 1, 0), free_at = '-infinity'
        where subject = ${addressSubject(address)}`;
    },
  };
};
