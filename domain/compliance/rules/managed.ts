/**
 * Rule: the device is enrolled and managed. Listed in index.ts.
 */
import { z } from 'zod';
import { platforms } from '../../text.ts';
import { defineRule, satisfied } from '../rule.ts';

export const managed = defineRule({
  name: 'managed',
  title: 'Managed',
  severity: 'high',
  platforms,
  parameters: z.strictObject({}),
  check: (device) => (device.managed ? satisfied : { violated: true, why: 'The device is not managed.' }),
});
