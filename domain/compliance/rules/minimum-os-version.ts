/**
 * Rule: the operating system is at least a given version. Listed in index.ts.
 */
import { z } from 'zod';
import { platforms } from '../../text.ts';
import { compareVersions } from '../../version.ts';
import { defineRule, satisfied } from '../rule.ts';

/** Dotted decimal version, as an admin types it. */
export const dottedVersion = z
  .string()
  .regex(/^\d{1,6}(\.\d{1,6}){0,4}$/, 'must be a dotted version such as 17.4');

export const minimumOsVersion = defineRule({
  name: 'minimum-os-version',
  title: 'Minimum operating system version',
  severity: 'high',
  platforms,
  parameters: z.strictObject({ version: dottedVersion }),
  check: ({ inventory }, { version }) => {
    if (!inventory.osVersion)
      return { violated: true, why: 'The operating system version was not reported.' };
    if (compareVersions(inventory.osVersion, version) >= 0) return satisfied;
    return {
      violated: true,
      why: `The operating system is ${inventory.osVersion}; the minimum is ${version}.`,
    };
  },
});
