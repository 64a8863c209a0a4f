/**
 * The contract of a task type and the shape of one task. Implemented by tasks/<task>.ts, listed in tasks/index.ts.
 */
import type { z } from 'zod';
import type { Platform } from '../text.ts';

/** One task type: `type` is stable and stored in events; `parameters` validates what an admin sets. */
export interface TaskType<Type extends string = string, Parameters extends z.ZodType = z.ZodType> {
  readonly type: Type;
  readonly title: string;
  readonly platforms: readonly Platform[];
  readonly parameters: Parameters;
  /** Task types that cannot share a bundle with this one. */
  readonly excludes?: readonly string[];
  /** True when a device that completed the task is no longer enrolled. */
  readonly endsEnrolment?: boolean;
}

/** Declares a task type, keeping the types of its name and parameters. */
export const defineTask = <const Type extends string, Parameters extends z.ZodType>(
  task: TaskType<Type, Parameters>,
): TaskType<Type, Parameters> => task;
