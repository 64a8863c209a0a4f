/**
 * Rule: none of the listed apps is installed. Listed in index.ts.
 */
import { z } from 'zod';
import { platforms } from '../../text.ts';
import { defineRule, satisfied } from '../rule.ts';
import { appIds, listed } from './mandatory-apps.ts';

export const forbiddenApps = defineRule({
  name: 'forbidden-apps',
  title: 'Forbidden apps',
  severity: 'high',
  platforms,
  parameters: z.strictObject({ appIds }),
  check: (device, parameters) => {
    if (!device.appsKnown) return { violated: true, why: 'The installed apps were not reported.' };
    const present = parameters.appIds.filter((id) => Object.hasOwn(device.apps, id));
    return present.length === 0 ? satisfied : { violated: true, why: `Installed: ${listed(present)}.` };
  },
});
