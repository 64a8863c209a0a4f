/** Rule: there are no paths but those of the protocols that the instance serves. Called by decide.ts. */
import type { Rule } from '../question.ts';

export const path: Rule = {
  name: 'path',
  judge: ({ eas }) =>
    'unreadable' in eas && eas.unreadable === 'path'
      ? { allow: false, reason: 'only the paths of mail clients are served' }
      : null,
};
