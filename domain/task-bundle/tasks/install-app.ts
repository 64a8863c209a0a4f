/**
 * Task: install an app, from its store or from the given address. Listed in index.ts.
 */
import { z } from 'zod';
import { app } from '../../device/inventory.ts';
import { line, platforms } from '../../text.ts';
import { defineTask } from '../task.ts';

export const installApp = defineTask({
  type: 'install-app',
  title: 'Install app',
  platforms: platforms,
  parameters: z.strictObject({
    appId: app.shape.id,
    name: line(200),
    url: z
      .url({ protocol: /^https$/ })
      .max(2000)
      .optional(),
  }),
});
