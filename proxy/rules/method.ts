/**
 * Rule: each protocol has its methods; ActiveSync knows POST and OPTIONS (MS-ASHTTP 2.2.1.1.1). Called by decide.ts.
 */
import type { Rule } from '../question.ts';
import type { Space } from '../target.ts';

const served: Readonly<Record<Space, readonly string[]>> = {
  eas: ['POST', 'OPTIONS'],
  ews: ['POST'],
  traveler: ['GET', 'HEAD', 'POST', 'OPTIONS'],
};

export const method: Rule = {
  name: 'method',
  judge: ({ method: asked, space }) =>
    served[space].includes(asked)
      ? null
      : { allow: false, reason: `only ${served[space].join(' and ')} are served` },
};
