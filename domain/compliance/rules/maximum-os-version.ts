/**
 * Rule: the operating system is at most a given version (an untested major release stays out). A device on any
 * 17.x satisfies a maximum of 17: only the parts that the maximum names are compared. Listed in index.ts.
 */
import { z } from 'zod';
import { platforms } from '../../text.ts';
import { compareVersions } from '../../version.ts';
import { defineRule, satisfied } from '../rule.ts';
import { dottedVersion } from './minimum-os-version.ts';

export const maximumOsVersion = defineRule({
  name: 'maximum-os-version',
  title: 'Maximum operating system version',
  severity: 'medium',
  platforms,
  parameters: z.strictObject({ version: dottedVersion }),
  check: ({ inventory }, { version }) => {
    if (!inventory.osVersion)
      return { violated: true, why: 'The operating system version was not reported.' };
    const named = inventory.osVersion.split('.').slice(0, version.split('.').length).join('.');
    if (compareVersions(named, version) <= 0) return satisfied;
    return {
      violated: true,
      why: `The operating system is ${inventory.osVersion}; the maximum is ${version}.`,
    };
  },
});
