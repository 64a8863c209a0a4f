/**
 * Rule: verdicts that the server has not confirmed for too long allow nobody, unless the tenant chose that devices go on
 * as they were (`allow-known`): then the rules after this one decide from what is known. Called by decide.ts.
 */
import type { Rule } from '../question.ts';

export const stale: Rule = {
  name: 'stale',
  judge: ({ tableAgeMs, maxAgeMs, staleRule }) =>
    tableAgeMs === null || tableAgeMs <= maxAgeMs || staleRule === 'allow-known'
      ? null
      : {
          allow: false,
          reason: `the server has not confirmed the verdicts for ${Math.floor(tableAgeMs / 60_000)} minutes`,
        },
};
