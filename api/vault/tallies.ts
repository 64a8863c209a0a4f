/**
 * Counts what happens at the door per account, address and hour, and says when it is worth an event: the 1st, 10th,
 * 100th… time, for a bounded number of addresses, so that a guesser cannot flood the log.
 * Opened by api/credentials.ts; called by api/sign-in/record.ts.
 */
import type { AccountId, TenantId } from '../../domain/ids.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import type { Sql } from '../../platform/sql.ts';

export interface Tallies {
  /** Counts once more. Answers the count to be told, and of which address (null: of more than are told singly). */
  count(
    kind: 'failed' | 'paused',
    tenantId: TenantId,
    accountId: AccountId | null,
    address: string,
  ): Promise<{ readonly times: number; readonly address: string | null } | undefined>;
}

const hourMs = 3_600_000;
/** Addresses of one account and hour that are told one by one. */
const addressesTold = 20;
/** Stands for the addresses beyond them. */
const theRest = '';

const isPowerOfTen = (count: number): boolean => Number.isInteger(Math.log10(count));

/** Opens the counters; the vault must be migrated. */
export const openTallies = (sql: Sql, clock: Clock): Tallies => ({
  async count(kind, tenantId, accountId, address) {
    const now = clock();
    const hour = isoTime(now - (now % hourMs));
    await sql`delete from vault.tallies where hour < ${isoTime(now - 2 * hourMs)}`;
    const [row] = await sql<{ times: number; address: string }[]>`
      insert into vault.tallies as known (kind, tenant_id, account_id, hour, address, times)
      select ${kind}, ${tenantId}, ${accountId ?? ''}, ${hour}, case when exists (
          select 1 from vault.tallies
          where kind = ${kind} and tenant_id = ${tenantId} and account_id = ${accountId ?? ''} and hour = ${hour}
            and address = ${address}) or (
          select count(*) from vault.tallies
          where kind = ${kind} and tenant_id = ${tenantId} and account_id = ${accountId ?? ''} and hour = ${hour}
          ) < ${addressesTold} then ${address} else ${theRest} end, 1
      on conflict (kind, tenant_id, account_id, hour, address) do update set times = known.times + 1
      returning times, address`;
    if (!row || !isPowerOfTen(row.times)) return undefined;
    return { times: row.times, address: row.address === theRest ? null : row.address };
  },
});
