/**
 * When each API key was last used, and from where. In the vault rather than the log: it changes with every request.
 * Opened by api/credentials.ts; shown by api/graphql/api-key.ts.
 */
import { LRUCache } from 'lru-cache';
import type { ApiKeyId, TenantId } from '../../domain/ids.ts';
import { type Clock, isoTime } from '../../platform/clock.ts';
import type { Sql } from '../../platform/sql.ts';

/** The last use of a key: ISO 8601 UTC, to the minute, and the caller's IP address. */
export interface ApiKeyUse {
  readonly usedAt: string;
  readonly address: string;
}

export interface ApiKeyUses {
  /** Records a use; at most one a minute is written. */
  record(tenantId: TenantId, apiKeyId: ApiKeyId, address: string): Promise<void>;
  /** Last uses by key; a key that was never used is missing. */
  lastOf(tenantId: TenantId, apiKeyIds: readonly ApiKeyId[]): Promise<ReadonlyMap<ApiKeyId, ApiKeyUse>>;
}

const recordedEveryMs = 60_000;
/** Keys whose last write is remembered, so that most requests do not touch the table. */
const rememberedKeys = 10_000;

/** Opens the uses; the vault must be migrated. */
export const openApiKeyUses = (sql: Sql, clock: Clock): ApiKeyUses => {
  const recordedAt = new LRUCache<string, number>({ max: rememberedKeys });
  return {
    async record(tenantId, apiKeyId, address) {
      const now = clock();
      const key = `${tenantId}/${apiKeyId}`;
      if (now - (recordedAt.get(key) ?? Number.NEGATIVE_INFINITY) < recordedEveryMs) return;
      recordedAt.set(key, now);
      await sql`
        insert into vault.api_key_uses (tenant_id, api_key_id, used_at, address)
        values (${tenantId}, ${apiKeyId}, ${isoTime(now)}, ${address})
        on conflict (tenant_id, api_key_id) do update set used_at = excluded.used_at, address = excluded.address`;
    },
    async lastOf(tenantId, apiKeyIds) {
      const rows = await sql<{ apiKeyId: ApiKeyId; usedAt: Date; address: string }[]>`
        select api_key_id as "apiKeyId", used_at as "usedAt", address from vault.api_key_uses
        where tenant_id = ${tenantId} and api_key_id = any(${sql.array([...apiKeyIds], 1009)}::text[])`;
      return new Map(
        rows.map(({ apiKeyId, usedAt, address }) => [apiKeyId, { usedAt: usedAt.toISOString(), address }]),
      );
    },
  };
};
