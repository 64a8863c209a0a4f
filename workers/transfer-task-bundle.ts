/**
 * Job: carries out a transfer of a task bundle by queueing its tasks on the target device or on each device of the
 * target group. Queued by react.ts. Repeated, it adds nothing: a device knows the transfers it has had.
 */
import { deviceDecider } from '../domain/device/decide.ts';
import type { DeviceId, TransferId } from '../domain/ids.ts';
import { policyDecider } from '../domain/policy/decide.ts';
import type { PolicyState } from '../domain/policy/policy.ts';
import { isRefusal, type RefusalCode } from '../domain/refusals.ts';
import {
  type TaskBundleEvent,
  type TransferTarget,
  taskBundleEvents,
} from '../domain/task-bundle/task-bundle.ts';
import type { Task } from '../domain/task-bundle/tasks/index.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { standingOf } from '../domain/tenant/standing.ts';
import { derivedId } from '../platform/derived-id.ts';
import { MusterError } from '../platform/errors.ts';
import { type StoredEvent, streamName } from '../platform/event-store.ts';
import { listGroupDevices, listUserGroupDevices } from '../projections/devices.ts';
import { causeOf } from './cause.ts';
import { eachOf } from './in-turn.ts';
import type { JobData, JobKind, Parts, RunningJob } from './jobs.ts';
import { everyPage, untilProjected } from './pages.ts';

/** Devices of one transfer that are worked on at once. */
const devicesAtOnce = 8;

type TransferJob = RunningJob<JobData['transfer-task-bundle']>;
type Transferred = Extract<TaskBundleEvent, { type: 'TaskBundleTransferred' }>['data'];

/** How the devices took it. `repeated`: they had the transfer already. */
interface Counts {
  queued: number;
  repeated: number;
  refused: number;
  /** How many devices refused, by refusal. */
  readonly reasons: Partial<Record<RefusalCode, number>>;
}

const readTransfer = async (
  job: TransferJob,
  { deps }: Parts,
): Promise<StoredEvent & { data: Transferred }> => {
  const { origin, taskBundleId, revision } = job.data;
  const stream = streamName(taskBundleEvents.category, origin.tenantId, taskBundleId);
  for await (const event of deps.store.readStream(stream, BigInt(revision))) {
    if (event.type === 'TaskBundleTransferred') return event as StoredEvent & { data: Transferred };
    break;
  }
  throw new MusterError('internal', `${stream}@${revision} is not a transfer`);
};

/** The policies that tasks assign, by id, as they are now. */
const policiesOf = async (
  tasks: readonly Task[],
  job: TransferJob,
  { deps }: Parts,
): Promise<Map<string, PolicyState>> => {
  const policies = new Map<string, PolicyState>();
  for (const { type, parameters } of tasks) {
    if (type !== 'assign-policy') continue;
    const policyId = parameters['policyId'] as string;
    const target = { tenantId: job.data.origin.tenantId, id: policyId };
    policies.set(policyId, (await deps.handler.load(policyDecider, target)).state);
  }
  return policies;
};

async function* targetDevices(
  target: TransferTarget,
  job: TransferJob,
  parts: Parts,
): AsyncGenerator<readonly DeviceId[]> {
  if (target.kind === 'device') {
    yield [target.deviceId];
    return;
  }
  const { tenantId, position } = job.data.origin;
  await untilProjected(parts, BigInt(position));
  const { sql } = parts.deps;
  const pages = everyPage<{ readonly deviceId: DeviceId }>(parts, (page) =>
    target.kind === 'group'
      ? listGroupDevices(sql, tenantId, target.groupId, page)
      : listUserGroupDevices(sql, tenantId, target.userGroupId, page),
  );
  for await (const rows of pages) yield rows.map(({ deviceId }) => deviceId);
}

const tasksFor = (tasks: readonly Task[], transferId: TransferId, at: string, deviceId: DeviceId) =>
  tasks.map((task, index) => ({
    ...task,
    taskId: derivedId('tsk', at, `${transferId}/${deviceId}/${index}`),
  }));

const run = async (job: TransferJob, parts: Parts): Promise<Counts> => {
  const { origin, taskBundleId } = job.data;
  const { data, at } = await readTransfer(job, parts);
  const { transferId, tasks, target } = data;
  const policies = await policiesOf(tasks, job, parts);
  const { state: tenant } = await parts.deps.handler.load(tenantDecider, {
    tenantId: origin.tenantId,
    id: origin.tenantId,
  });
  const standing = standingOf(tenant);
  const counts: Counts = { queued: 0, repeated: 0, refused: 0, reasons: {} };
  const log = parts.deps.log.child({ tenantId: origin.tenantId, transferId });

  const queueOn = async (deviceId: DeviceId): Promise<void> => {
    const handled = await parts.deps.handler.handle(
      deviceDecider,
      { tenantId: origin.tenantId, id: deviceId },
      (now) => ({
        type: 'QueueTasks' as const,
        now,
        transferId,
        taskBundleId,
        tasks: tasksFor(tasks, transferId, at, deviceId),
        policies,
        standing,
      }),
      causeOf('transfer-task-bundle', `${job.id}.${deviceId}`, origin),
    );
    if (isRefusal(handled)) {
      counts.refused += 1;
      counts.reasons[handled.refused] = (counts.reasons[handled.refused] ?? 0) + 1;
      log.warn({ deviceId, refused: handled.refused, detail: handled.detail }, 'device refused the transfer');
    } else if (handled.events.length > 0) counts.queued += 1;
    else counts.repeated += 1;
  };

  for await (const devices of targetDevices(target, job, parts)) {
    await eachOf(devices, devicesAtOnce, queueOn);
    const { queued, repeated, refused } = counts;
    await job.progress({ queued, repeated, refused });
  }
  return counts;
};

export const transferTaskBundle: JobKind<'transfer-task-bundle'> = {
  queue: 'transfer-task-bundle',
  concurrency: 4,
  run,
};
