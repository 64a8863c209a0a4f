/**
 * Rule: the device is neither rooted (Android) nor jailbroken (Apple). Listed in index.ts.
 */
import { z } from 'zod';
import { defineRule, satisfied } from '../rule.ts';

export const notRooted = defineRule({
  name: 'not-rooted',
  title: 'Not rooted or jailbroken',
  severity: 'high',
  platforms: ['android', 'ios'],
  parameters: z.strictObject({}),
  check: ({ inventory, platform }) => {
    const word = platform === 'ios' ? 'jailbroken' : 'rooted';
    if (inventory.rooted === false) return satisfied;
    return {
      violated: true,
      why: inventory.rooted ? `The device is ${word}.` : `The device did not report whether it is ${word}.`,
    };
  },
});
