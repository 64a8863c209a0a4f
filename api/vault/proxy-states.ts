/**
 * How each EAS proxy was when it last reported. In the vault rather than the log: it changes every few seconds.
 * Written by api/proxy/status.ts; shown by api/graphql/proxy.ts.
 */
import { z } from 'zod';
import type { ProxyId, TenantId } from '../../domain/ids.ts';
import { line, time } from '../../domain/text.ts';
import { isoTime } from '../../platform/clock.ts';
import type { Sql } from '../../platform/sql.ts';

const count = z.int().min(0).max(2_147_483_647);

/** What a proxy tells of itself; unknown fields are those of a newer proxy and are left out. */
export const proxyState = z.object({
  version: line(64),
  /** Proxies of before do not say it. */
  internal: z.boolean().default(false),
  startedAt: time,
  position: z
    .string()
    .regex(/^\d{1,20}$/)
    .nullable(),
  /** Since the server last confirmed the verdicts; null: never. */
  lagSeconds: count.nullable(),
  connected: z.boolean(),
  stale: z.boolean(),
  devices: count,
  heldRequests: count,
  denials: count,
  certificateExpiresAt: time.nullable(),
});
export type ProxyStateReport = z.infer<typeof proxyState>;

export type StoredProxyState = ProxyStateReport & { readonly reportedAt: string };

/** Keeps a report in place of the one before. */
export const saveProxyState = async (
  sql: Sql,
  { tenantId, proxyId }: { readonly tenantId: TenantId; readonly proxyId: ProxyId },
  state: ProxyStateReport,
  now: number,
): Promise<void> => {
  await sql`
    insert into vault.proxy_states (tenant_id, proxy_id, reported_at, state)
    values (${tenantId}, ${proxyId}, ${isoTime(now)}, ${JSON.stringify(state)}::text::jsonb)
    on conflict (tenant_id, proxy_id) do update set reported_at = excluded.reported_at, state = excluded.state`;
};

/** The last report of a proxy; null when there is none. */
export const findProxyState = async (
  sql: Sql,
  tenantId: TenantId,
  proxyId: ProxyId,
): Promise<StoredProxyState | null> => {
  const [row] = await sql<{ reportedAt: Date; state: string }[]>`
    select reported_at as "reportedAt", state::text as state from vault.proxy_states
    where tenant_id = ${tenantId} and proxy_id = ${proxyId}`;
  if (row === undefined) return null;
  return { ...proxyState.parse(JSON.parse(row.state)), reportedAt: row.reportedAt.toISOString() };
};
