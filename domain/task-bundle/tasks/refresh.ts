/**
 * Task: report the whole inventory and all apps at the next sync. Listed in index.ts.
 */
import { z } from 'zod';
import { platforms } from '../../text.ts';
import { defineTask } from '../task.ts';

export const refresh = defineTask({
  type: 'refresh',
  title: 'Refresh inventory',
  platforms: platforms,
  parameters: z.strictObject({}),
});
