/** Rule: before the first verdicts have come nobody can be told apart; the client is asked to come back. Called by decide.ts. */
import type { Rule } from '../question.ts';

export const unready: Rule = {
  name: 'unready',
  judge: ({ tableAgeMs }) =>
    tableAgeMs === null
      ? { allow: false, reason: 'no verdicts have been received from the server yet' }
      : null,
};
