/**
 * Task: leave management; managed settings and apps are removed. Listed in index.ts.
 */
import { z } from 'zod';
import { platforms } from '../../text.ts';
import { defineTask } from '../task.ts';

export const unenrol = defineTask({
  type: 'unenrol',
  title: 'Unenrol',
  platforms: platforms,
  parameters: z.strictObject({}),
  excludes: ['wipe'],
  endsEnrolment: true,
});
