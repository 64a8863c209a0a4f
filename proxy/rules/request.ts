/** Rule: what two servers could read in two ways is not forwarded. Called by decide.ts. */
import type { Rule } from '../question.ts';

export const request: Rule = {
  name: 'request',
  judge: ({ eas, malformed }) => {
    if (malformed !== null) return { allow: false, reason: malformed };
    return 'unreadable' in eas ? { allow: false, reason: eas.problem } : null;
  },
};
