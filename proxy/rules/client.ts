/** Rule: only the mail apps that the instance names. Called by decide.ts. */
import type { Rule } from '../question.ts';

export const client: Rule = {
  name: 'client',
  judge: ({ clientProblem }) => (clientProblem === null ? null : { allow: false, reason: clientProblem }),
};
