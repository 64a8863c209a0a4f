/**
 * Task: lock the screen, showing a message if one is given. Listed in index.ts.
 */
import { z } from 'zod';
import { line, platforms } from '../../text.ts';
import { defineTask } from '../task.ts';

export const lock = defineTask({
  type: 'lock',
  title: 'Lock',
  platforms: platforms,
  parameters: z.strictObject({ message: line(500).optional() }),
});
