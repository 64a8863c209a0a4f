/** Rule: verdicts that the server has not confirmed for too long allow nobody. Called by decide.ts. */
import type { Rule } from '../question.ts';

export const stale: Rule = {
  name: 'stale',
  judge: ({ tableAgeMs, maxAgeMs }) =>
    tableAgeMs === null || tableAgeMs <= maxAgeMs
      ? null
      : {
          allow: false,
          reason: `the server has not confirmed the verdicts for ${Math.floor(tableAgeMs / 60_000)} minutes`,
        },
};
