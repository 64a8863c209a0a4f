/**
 * Rule: a passcode or password locks the screen. Listed in index.ts.
 */
import { z } from 'zod';
import { platforms } from '../../text.ts';
import { defineRule, satisfied } from '../rule.ts';

export const screenLock = defineRule({
  name: 'screen-lock',
  title: 'Screen lock',
  severity: 'high',
  platforms,
  parameters: z.strictObject({}),
  check: ({ inventory }) => {
    if (inventory.screenLock) return satisfied;
    return {
      violated: true,
      why: inventory.screenLock === false ? 'No screen lock is set.' : 'The screen lock was not reported.',
    };
  },
});
