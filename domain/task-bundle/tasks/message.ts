/**
 * Task: show a message to the person who holds the device. Listed in index.ts.
 */
import { z } from 'zod';
import { line, platforms } from '../../text.ts';
import { defineTask } from '../task.ts';

export const message = defineTask({
  type: 'message',
  title: 'Show message',
  platforms: platforms,
  parameters: z.strictObject({ text: line(1000) }),
});
