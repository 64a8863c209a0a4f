/**
 * Composes what a device is to do now from its queue of tasks. Called by domain/device/decide.ts at a check-in.
 */
import type { TaskId, TransferId } from '../ids.ts';
import type { Task } from './tasks/index.ts';

/** An open task of a device. Times are ISO 8601 UTC. */
export interface OpenTask extends Task {
  readonly taskId: TaskId;
  /** The transfer that queued it: its tasks run one after another. */
  readonly transferId: TransferId;
  /** `queued` until first sent, `sent` until its result arrives; a retry is queued again. */
  readonly state: 'queued' | 'sent';
  readonly attempts: number;
  readonly queuedAt: string;
  readonly notBefore: string;
  readonly expiresAt: string;
}

/** At most this many tasks travel in one reply. */
const tasksPerReply = 20;

/**
 * The tasks to send now, in queue order: the first open task of each transfer, unless it waits for its retry or has
 * expired. A task already sent is sent again until its result arrives, since a reply can get lost; devices know a
 * task by its id.
 */
export const composeTasks = (open: readonly OpenTask[], now: string): readonly OpenTask[] => {
  const heads = new Map<TransferId, OpenTask>();
  for (const task of open) if (!heads.has(task.transferId)) heads.set(task.transferId, task);
  return [...heads.values()]
    .filter((task) => task.notBefore <= now && now < task.expiresAt)
    .slice(0, tasksPerReply);
};
