/**
 * Read model of tasks, one row per task of a device, and how the tasks of each transfer stand.
 * Called by api/graphql/task.ts and by projections/transfers.ts.
 */
import { type Fact, never } from '../domain/decider.ts';
import type { DeviceEvent } from '../domain/device/device.ts';
import type { DeviceId, TaskBundleId, TaskId, TenantId, TransferId } from '../domain/ids.ts';
import type { TaskTypeName } from '../domain/task-bundle/tasks/index.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import { asTenant, type Sql, type Transaction } from '../platform/sql.ts';
import { type FoldedEntity, factOf, foldEntities, foldedColumns, saveRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

/** Where a task stands: `retrying` waits to be sent again after a failure. */
export const taskStates = [
  'queued',
  'sent',
  'retrying',
  'completed',
  'failed',
  'cancelled',
  'expired',
] as const;
export type TaskStateName = (typeof taskStates)[number];

/** A task of a device. Times are ISO 8601, UTC. */
export interface TaskRow {
  readonly taskId: TaskId;
  readonly deviceId: DeviceId;
  readonly transferId: TransferId;
  /** null: the task was queued without a bundle. */
  readonly taskBundleId: TaskBundleId | null;
  readonly type: TaskTypeName;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly state: TaskStateName;
  /** How often it was sent. */
  readonly attempts: number;
  /** What the device said about it last, or why it was cancelled. */
  readonly message: string | null;
  readonly queuedAt: string;
  /** When it was last sent. */
  readonly sentAt: string | null;
  readonly finishedAt: string | null;
  readonly expiresAt: string;
}

/** Tasks of a transfer by where they stand, and the devices it reached. */
export type TransferCounts = Readonly<Record<TaskStateName, number>> & { readonly devices: number };

type TaskEvent = Extract<DeviceEvent, { type: `Task${string}` }>;
type Task = Omit<TaskRow, 'taskId' | 'deviceId'> & { readonly queuedPosition: string };

const evolve = (task: Task | undefined, event: StoredEvent): Task => {
  const { type, data, at } = factOf<Fact<TaskEvent>>(event);
  if (type === 'TaskQueued') {
    const { transferId, taskBundleId, expiresAt } = data;
    return {
      ...data.task,
      transferId,
      taskBundleId,
      expiresAt,
      state: 'queued',
      attempts: 0,
      message: null,
      queuedAt: at,
      sentAt: null,
      finishedAt: null,
      queuedPosition: event.position.toString(),
    };
  }
  if (!task) throw new TypeError(`${type} of a task that was never queued: ${data.taskId}`);
  switch (type) {
    case 'TaskSent':
      return { ...task, state: 'sent', attempts: data.attempt, sentAt: at };
    case 'TaskRetryScheduled':
      return { ...task, state: 'retrying', message: data.message };
    case 'TaskCompleted':
      return { ...task, state: 'completed', message: data.message, finishedAt: at };
    case 'TaskFailed':
      return { ...task, state: 'failed', message: data.message, finishedAt: at };
    case 'TaskCancelled':
      return { ...task, state: 'cancelled', message: data.reason, finishedAt: at };
    case 'TaskExpired':
      return { ...task, state: 'expired', finishedAt: at };
    default:
      return never(type);
  }
};

type Counts = Record<TaskStateName, number>;

/** Adds what the batch changed to the counts of each transfer. */
const countTransfers = async (tx: Transaction, folded: readonly FoldedEntity<Task>[]): Promise<void> => {
  const changes = new Map<string, { tenant_id: string; transfer_id: string } & Counts>();
  const reached = new Map<string, { tenant_id: string; transfer_id: string; device_id: string }>();
  const none = Object.fromEntries(taskStates.map((state) => [state, 0])) as Counts;
  for (const { tenantId, keys, before, state } of folded) {
    const { transferId } = state;
    const id = `${tenantId}/${transferId}`;
    const change = changes.get(id) ?? { tenant_id: tenantId, transfer_id: transferId, ...none };
    if (before) change[before.state] -= 1;
    change[state.state] += 1;
    changes.set(id, change);
    const deviceId = keys[0] as string;
    if (!before)
      reached.set(`${id}/${deviceId}`, { tenant_id: tenantId, transfer_id: transferId, device_id: deviceId });
  }
  if (changes.size === 0) return;
  const columns = tx.unsafe(taskStates.join(', '));
  const sums = taskStates.map((state) => `${state} = transfer_counts.${state} + excluded.${state}`);
  await tx`
    insert into transfer_counts (tenant_id, transfer_id, ${columns})
    select tenant_id, transfer_id, ${columns}
    from jsonb_populate_recordset(null::transfer_counts, ${tx.json([...changes.values()] as never)})
    on conflict (tenant_id, transfer_id) do update set ${tx.unsafe(sums.join(', '))}`;
  await saveRows(tx, 'transfer_devices', ['transfer_id', 'device_id'], [...reached.values()]);
};

export const tasksProjection: Projection = {
  name: 'tasks',
  version: 1,
  categories: ['device'],
  tables: [
    {
      name: 'tasks',
      columns: `device_id ${key} not null, task_id ${key} not null, transfer_id ${key} not null,
        task_bundle_id ${key}, type text not null, parameters jsonb not null, task_state text not null,
        attempts int not null, message text, queued_at ${key} not null, sent_at ${key}, finished_at ${key},
        expires_at ${key} not null, queued_position bigint not null, ${foldedColumns},
        primary key (tenant_id, device_id, task_id)`,
      indexes: [
        '(tenant_id, device_id, queued_position)',
        '(tenant_id, transfer_id, queued_position)',
        '(tenant_id, task_id)',
      ],
    },
    {
      name: 'transfer_counts',
      columns: `transfer_id ${key} not null, ${taskStates.map((state) => `${state} int not null`).join(', ')},
        primary key (tenant_id, transfer_id)`,
    },
    {
      name: 'transfer_devices',
      columns: `transfer_id ${key} not null, device_id ${key} not null, primary key (tenant_id, transfer_id, device_id)`,
    },
  ],
  async apply(tx, events) {
    const folded = await foldEntities<Task>(
      tx,
      events.filter(({ type }) => type.startsWith('Task')),
      {
        table: 'tasks',
        keys: ['device_id', 'task_id'],
        keysOf: ({ entityId, data }) => [entityId, (data as TaskEvent['data']).taskId],
        evolve,
      },
    );
    await saveRows(
      tx,
      'tasks',
      ['device_id', 'task_id'],
      folded.map(({ tenantId, keys, state, last }) => ({
        tenant_id: tenantId,
        device_id: keys[0],
        task_id: keys[1],
        transfer_id: state.transferId,
        task_bundle_id: state.taskBundleId,
        type: state.type,
        parameters: state.parameters,
        task_state: state.state,
        attempts: state.attempts,
        message: state.message,
        queued_at: state.queuedAt,
        sent_at: state.sentAt,
        finished_at: state.finishedAt,
        expires_at: state.expiresAt,
        queued_position: state.queuedPosition,
        revision: last.revision.toString(),
        state,
      })),
    );
    await countTransfers(tx, folded);
  },
};

const columns = columnsOf<TaskRow>({
  taskId: 'task_id',
  deviceId: 'device_id',
  transferId: 'transfer_id',
  taskBundleId: 'task_bundle_id',
  type: 'type',
  parameters: 'parameters',
  state: 'task_state',
  attempts: 'attempts',
  message: 'message',
  queuedAt: 'queued_at',
  sentAt: 'sent_at',
  finishedAt: 'finished_at',
  expiresAt: 'expires_at',
});

/** One task of the tenant. */
export const findTask = (sql: Sql, tenantId: TenantId, taskId: TaskId): Promise<TaskRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<TaskRow[]>`
      select ${tx.unsafe(columns)} from read.tasks where task_id = ${taskId} order by device_id limit 1`;
    return row;
  });

/** Tasks of one device, the newest first. */
export const listDeviceTasks = (
  sql: Sql,
  tenantId: TenantId,
  deviceId: DeviceId,
  page: PageRequest,
): Promise<Page<TaskRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.tasks',
        where: [tx`device_id = ${deviceId}`],
        order: [{ column: 'queued_position', type: 'bigint' }],
        descending: true,
      },
      page,
    ),
  );

/** Tasks of one transfer on every device it reached, in the order they were queued. */
export const listTransferTasks = (
  sql: Sql,
  tenantId: TenantId,
  transferId: TransferId,
  page: PageRequest,
): Promise<Page<TaskRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.tasks',
        where: [tx`transfer_id = ${transferId}`],
        order: [{ column: 'queued_position', type: 'bigint' }],
      },
      page,
    ),
  );
