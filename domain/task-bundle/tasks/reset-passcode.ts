/**
 * Task: remove the passcode so that the person sets a new one. Listed in index.ts.
 */
import { z } from 'zod';
import { defineTask } from '../task.ts';

export const resetPasscode = defineTask({
  type: 'reset-passcode',
  title: 'Reset passcode',
  platforms: ['ios', 'android', 'windows'],
  parameters: z.strictObject({}),
});
