/**
 * Task: remove an app. Listed in index.ts.
 */
import { z } from 'zod';
import { app } from '../../device/inventory.ts';
import { platforms } from '../../text.ts';
import { defineTask } from '../task.ts';

export const uninstallApp = defineTask({
  type: 'uninstall-app',
  title: 'Uninstall app',
  platforms: platforms,
  parameters: z.strictObject({ appId: app.shape.id }),
});
