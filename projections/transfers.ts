/**
 * Read model of the transfers of task bundles to devices and groups. Called by api/graphql/task-bundle.ts.
 */
import type { TaskBundleId, TenantId, TransferId } from '../domain/ids.ts';
import type { TaskBundleEvent, TransferTarget } from '../domain/task-bundle/task-bundle.ts';
import type { Actor } from '../platform/event-store.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { saveRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';
import { type TransferCounts, taskStates } from './tasks.ts';

/** A transfer, and how its tasks stand. Times are ISO 8601, UTC. */
export interface TransferRow {
  readonly transferId: TransferId;
  readonly taskBundleId: TaskBundleId;
  /** The bundle's version that was transferred. */
  readonly version: number;
  readonly target: TransferTarget;
  readonly at: string;
  readonly actor: Actor;
  /** All 0 until its tasks are queued. */
  readonly counts: TransferCounts;
}

type Transferred = Extract<TaskBundleEvent, { type: 'TaskBundleTransferred' }>['data'];

export const transfersProjection: Projection = {
  name: 'transfers',
  version: 1,
  categories: ['task-bundle'],
  tables: [
    {
      name: 'transfers',
      columns: `transfer_id ${key} not null, task_bundle_id ${key} not null, version int not null,
        target jsonb not null, at ${key} not null, actor jsonb not null, position bigint not null,
        primary key (tenant_id, transfer_id)`,
      indexes: ['(tenant_id, position)', '(tenant_id, task_bundle_id, position)'],
    },
  ],
  apply: (tx, events) =>
    saveRows(
      tx,
      'transfers',
      ['transfer_id'],
      events
        .filter(({ type }) => type === 'TaskBundleTransferred')
        .map(({ tenantId, entityId, data, at, metadata, position }) => {
          const { transferId, target, version } = data as Transferred;
          return {
            tenant_id: tenantId,
            transfer_id: transferId,
            task_bundle_id: entityId,
            version,
            target,
            at,
            actor: metadata.actor,
            position: position.toString(),
          };
        }),
    ),
};

const counts = [
  ...taskStates.map((state) => `'${state}', coalesce(c.${state}, 0)`),
  `'devices', (select count(*) from read.transfer_devices d where d.transfer_id = t.transfer_id)`,
].join(', ');

const columns = columnsOf<TransferRow>({
  transferId: 't.transfer_id',
  taskBundleId: 't.task_bundle_id',
  version: 't.version',
  target: 't.target',
  at: 't.at',
  actor: 't.actor',
  counts: `jsonb_build_object(${counts})`,
});
const from = 'read.transfers t left join read.transfer_counts c on c.transfer_id = t.transfer_id';

/** One transfer of the tenant. */
export const findTransfer = (
  sql: Sql,
  tenantId: TenantId,
  transferId: TransferId,
): Promise<TransferRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<TransferRow[]>`
      select ${tx.unsafe(columns)} from ${tx.unsafe(from)} where t.transfer_id = ${transferId}`;
    return row;
  });

/** Transfers, the newest first; those of one bundle when `taskBundleId` is given. */
export const listTransfers = (
  sql: Sql,
  tenantId: TenantId,
  page: PageRequest,
  filter: { readonly taskBundleId?: TaskBundleId | undefined } = {},
): Promise<Page<TransferRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from,
        where: filter.taskBundleId === undefined ? [] : [tx`t.task_bundle_id = ${filter.taskBundleId}`],
        order: [{ column: 't.position', type: 'bigint' }],
        descending: true,
      },
      page,
    ),
  );
