/**
 * Read model of task bundles. Called by api/graphql/task-bundle.ts; their transfers are in transfers.ts.
 */
import type { Fact } from '../domain/decider.ts';
import type { TaskBundleId, TenantId } from '../domain/ids.ts';
import {
  evolveTaskBundle,
  initialTaskBundle,
  type TaskBundleEvent,
  type TaskBundleState,
} from '../domain/task-bundle/task-bundle.ts';
import type { Task } from '../domain/task-bundle/tasks/index.ts';
import type { Platform } from '../domain/text.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection, sortKey } from './projection.ts';

/** A task bundle at its present version. Times are ISO 8601, UTC. */
export interface TaskBundleRow {
  readonly taskBundleId: TaskBundleId;
  readonly name: string;
  readonly platforms: readonly Platform[];
  readonly status: 'active' | 'retired';
  readonly version: number;
  readonly tasks: readonly Task[];
  readonly createdAt: string;
}

type Existing = Exclude<TaskBundleState, { status: 'none' }> & { readonly createdAt: string };

export const taskBundlesProjection: Projection = {
  name: 'task-bundles',
  version: 1,
  categories: ['task-bundle'],
  tables: [
    {
      name: 'task_bundles',
      columns: `task_bundle_id ${key} not null, name text not null, name_key ${key} not null,
        platforms jsonb not null, status text not null, version int not null, tasks jsonb not null,
        created_at ${key} not null, ${foldedColumns}, primary key (tenant_id, task_bundle_id)`,
      indexes: ['(tenant_id, name_key, task_bundle_id)'],
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'task_bundles',
      id: 'task_bundle_id',
      evolve: (state, event) => ({
        ...(evolveTaskBundle(state ?? initialTaskBundle, factOf<Fact<TaskBundleEvent>>(event)) as Existing),
        // Transfers are rows of their own; remembering them here would only grow every save.
        recentTransfers: [],
        createdAt: state?.createdAt ?? event.at,
      }),
      columns: ({ name, platforms, status, version, tasks, createdAt }) => ({
        name,
        name_key: sortKey(name),
        platforms,
        status,
        version,
        tasks,
        created_at: createdAt,
      }),
    }),
};

const columns = columnsOf<TaskBundleRow>({
  taskBundleId: 'task_bundle_id',
  name: 'name',
  platforms: 'platforms',
  status: 'status',
  version: 'version',
  tasks: 'tasks',
  createdAt: 'created_at',
});

/** One task bundle of the tenant. */
export const findTaskBundle = (
  sql: Sql,
  tenantId: TenantId,
  taskBundleId: TaskBundleId,
): Promise<TaskBundleRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<TaskBundleRow[]>`
      select ${tx.unsafe(columns)} from read.task_bundles where task_bundle_id = ${taskBundleId}`;
    return row;
  });

/** Task bundles by name, retired ones too. */
export const listTaskBundles = (
  sql: Sql,
  tenantId: TenantId,
  page: PageRequest,
): Promise<Page<TaskBundleRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.task_bundles',
        order: [
          { column: 'name_key', type: 'text' },
          { column: 'task_bundle_id', type: 'text' },
        ],
      },
      page,
    ),
  );
