/**
 * What can be done to devices and may cost them their enrolment, as functions: called by the mutations of device.ts and
 * task-bundle.ts, and by approval.ts once a second administrator has approved it.
 */
import { deviceDecider } from '../../domain/device/decide.ts';
import type { DeviceId, TaskBundleId, TransferId } from '../../domain/ids.ts';
import { taskBundleDecider } from '../../domain/task-bundle/decide.ts';
import type { TransferTarget } from '../../domain/task-bundle/task-bundle.ts';
import type { Task } from '../../domain/task-bundle/tasks/index.ts';
import { complianceInForce } from '../../platform/compliance-in-force.ts';
import { newId } from '../../platform/new-id.ts';
import { type ApiContext, signedIn } from './context.ts';
import { act, type Changed, settle, stateOf } from './effect.ts';
import { requireQueueable } from './entitlements.ts';
import { requireDevice, requirePolicies, requireStanding } from './references.ts';

/** Gives a device one task, without a bundle. */
export const queueTask = async (
  context: ApiContext,
  id: DeviceId,
  task: Task,
): Promise<Changed<DeviceId>> => {
  await requireDevice(context, id);
  const policies = await requirePolicies(context, [task]);
  await requireQueueable(context, [task], 'task');
  const standing = await requireStanding(context);
  const transferId = newId('trf');
  const tasks = [{ ...task, taskId: newId('tsk') }];
  const done = await act(context, deviceDecider, id, (now) => ({
    type: 'QueueTasks' as const,
    now,
    transferId,
    taskBundleId: null,
    tasks,
    policies,
    standing,
  }));
  return { id, ...(await settle(context, done)) };
};

/** Ends the management of a device at once. */
export const unenrolDevice = async (context: ApiContext, id: DeviceId): Promise<Changed<DeviceId>> => {
  const { groupId } = await requireDevice(context, id);
  const { tenantId } = signedIn(context);
  const compliance = await complianceInForce(context.deps.handler, tenantId, groupId, 0);
  const done = await act(context, deviceDecider, id, (now) => ({
    type: 'UnenrolDevice' as const,
    now,
    compliance,
  }));
  return { id, ...(await settle(context, done)) };
};

/** Sends a task bundle, at the version it has now, to a device or a group. */
export const transferTaskBundle = async (
  context: ApiContext,
  taskBundleId: TaskBundleId,
  target: TransferTarget,
): Promise<Changed<TransferId>> => {
  const bundle = await stateOf(context, taskBundleDecider, taskBundleId);
  if (bundle.status !== 'none') await requireQueueable(context, bundle.tasks, 'taskBundleId');
  const id = newId('trf');
  const done = await act(context, taskBundleDecider, taskBundleId, {
    type: 'TransferTaskBundle',
    transferId: id,
    target,
  });
  return { id, ...(await settle(context, done)) };
};
