/**
 * Rule: every listed app is installed. Listed in index.ts.
 */
import { z } from 'zod';
import { app } from '../../device/inventory.ts';
import { platforms } from '../../text.ts';
import { defineRule, satisfied } from '../rule.ts';

/** Ids of apps (bundle ids, package names) that a rule lists. */
export const appIds = z.array(app.shape.id).min(1).max(500);

/** At most this many ids are written out in one sentence: a verdict is stored, and its size is bounded. */
const shownIds = 10;

/** Ids as part of a sentence: the first few, and how many more. */
export const listed = (ids: readonly string[]): string =>
  ids.length <= shownIds
    ? ids.join(', ')
    : `${ids.slice(0, shownIds).join(', ')} and ${ids.length - shownIds} more`;

export const mandatoryApps = defineRule({
  name: 'mandatory-apps',
  title: 'Mandatory apps',
  severity: 'medium',
  platforms,
  parameters: z.strictObject({ appIds }),
  check: (device, parameters) => {
    if (!device.appsKnown) return { violated: true, why: 'The installed apps were not reported.' };
    const missing = parameters.appIds.filter((id) => !Object.hasOwn(device.apps, id));
    return missing.length === 0 ? satisfied : { violated: true, why: `Not installed: ${listed(missing)}.` };
  },
});
