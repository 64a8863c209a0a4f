/**
 * Job: erases tenants whose deletion has had its grace. Runs by schedule, every reviewIntervalSeconds, in one process
 * at a time. Killed anywhere, the next run goes on: each step can be repeated, and the tenant's row, from which it is
 * found, is the last to go.
 */
import type { TenantId } from '../domain/ids.ts';
import { isRefusal } from '../domain/refusals.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { operatorTenantId, tenantEvents } from '../domain/tenant/tenant.ts';
import { isoTime } from '../platform/clock.ts';
import { streamName } from '../platform/event-store.ts';
import type { Sql } from '../platform/sql.ts';
import { listStreams } from '../projections/audit.ts';
import { listTenantsToPurge, type TenantRow } from '../projections/tenants.ts';
import { causeOf } from './cause.ts';
import { refusedJob } from './errors.ts';
import { eachOf } from './in-turn.ts';
import type { JobKind, Parts } from './jobs.ts';
import { untilProjected } from './pages.ts';

const tenantsPerRun = 20;
const streamsPerPage = 500;
const streamsAtOnce = 8;

/** Erases what the vault holds: every table there that names a tenant, whatever it is for. */
const eraseSecrets = async (sql: Sql, tenantId: TenantId): Promise<void> => {
  const tables = await sql<{ name: string }[]>`
    select table_name as name from information_schema.columns
    where table_schema = 'vault' and column_name = 'tenant_id' order by 1`;
  for (const { name } of tables) await sql`delete from vault.${sql(name)} where tenant_id = ${tenantId}`;
};

/** Deletes every stream of the tenant but its own; answers how many there were. */
const deleteStreams = async ({ deps, stopping }: Parts, tenantId: TenantId): Promise<number> => {
  let after = '';
  let count = 0;
  for (;;) {
    stopping.throwIfAborted();
    const streams = await listStreams(deps.sql, tenantId, after, streamsPerPage);
    await eachOf(streams, streamsAtOnce, async ({ category, entityId }) => {
      if (category === tenantEvents.category) return;
      await deps.store.deleteStream(streamName(category, tenantId, entityId));
      count += 1;
    });
    const last = streams.at(-1);
    if (last === undefined || streams.length < streamsPerPage) return count;
    after = last.entityId;
  }
};

const eraseSnapshots = (sql: Sql, tenantId: TenantId) =>
  sql`delete from write_side.snapshots where stream like ${`%-${tenantId}\\_%`}`;

const purge = async (parts: Parts, { tenantId, slug, deletion }: TenantRow, jobId: string): Promise<void> => {
  const { deps } = parts;
  const { handler, store, sql } = deps;
  const target = { tenantId, id: tenantId };
  const cause = causeOf('purge-tenants', `purge ${tenantId}`);
  const { state } = await handler.load(tenantDecider, target);
  // The tenant's own stream is gone already when an earlier run was killed right before its end.
  if (state.status !== 'none') {
    const begun = await handler.handle(
      tenantDecider,
      target,
      (now) => ({ type: 'BeginTenantPurge' as const, now }),
      cause,
    );
    // Taken back at the last moment.
    if (isRefusal(begun)) return;
    if (begun.position !== undefined) await untilProjected(parts, begun.position);
  }
  await eraseSecrets(sql, tenantId);
  const streams = await deleteStreams(parts, tenantId);
  await store.deleteStream(streamName(tenantEvents.category, tenantId, tenantId));
  await eraseSnapshots(sql, tenantId);
  const requestedBy = deletion?.requestedBy;
  if (requestedBy === undefined) return;
  const erased = await handler.handle(
    tenantDecider,
    { tenantId: operatorTenantId, id: operatorTenantId },
    { type: 'RecordTenantErased', tenantId, slug, requestedBy, streams: streams + 1 },
    cause,
  );
  if (isRefusal(erased)) throw refusedJob(erased);
  deps.log.info({ tenantId, streams, jobId }, 'tenant erased');
};

export const purgeTenants: JobKind<'purge-tenants'> = {
  queue: 'purge-tenants',
  concurrency: 1,
  async run(job, parts) {
    const now = isoTime(parts.deps.clock());
    const due = await listTenantsToPurge(parts.deps.sql, now, tenantsPerRun);
    for (const tenant of due) {
      parts.stopping.throwIfAborted();
      await purge(parts, tenant, job.id);
    }
    return { purged: due.length };
  },
};
