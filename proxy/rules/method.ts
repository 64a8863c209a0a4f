/** Rule: ActiveSync knows POST and OPTIONS (MS-ASHTTP 2.2.1.1.1). Called by decide.ts. */
import type { Rule } from '../question.ts';

export const method: Rule = {
  name: 'method',
  judge: (question) =>
    question.method === 'POST' || question.method === 'OPTIONS'
      ? null
      : { allow: false, reason: 'only POST and OPTIONS are served' },
};
