/**
 * Rule: the storage is encrypted. Listed in index.ts.
 */
import { z } from 'zod';
import { platforms } from '../../text.ts';
import { defineRule, satisfied } from '../rule.ts';

export const encryption = defineRule({
  name: 'encryption',
  title: 'Encryption',
  severity: 'high',
  platforms,
  parameters: z.strictObject({}),
  check: ({ inventory }) => {
    if (inventory.encrypted) return satisfied;
    return {
      violated: true,
      why: inventory.encrypted === false ? 'The storage is not encrypted.' : 'Encryption was not reported.',
    };
  },
});
