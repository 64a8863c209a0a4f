/**
 * Task: reset the device to its factory settings. Listed in index.ts.
 */
import { z } from 'zod';
import { platforms } from '../../text.ts';
import { defineTask } from '../task.ts';

export const wipe = defineTask({
  type: 'wipe',
  title: 'Wipe',
  platforms: platforms,
  parameters: z.strictObject({}),
  excludes: ['unenrol'],
  endsEnrolment: true,
});
