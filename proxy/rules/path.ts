/** Rule: only the ActiveSync path exists here; Autodiscover, EWS and all else are refused. Called by decide.ts. */
import type { Rule } from '../question.ts';

export const path: Rule = {
  name: 'path',
  judge: ({ eas }) =>
    'unreadable' in eas && eas.unreadable === 'path'
      ? { allow: false, reason: 'only the ActiveSync path is served' }
      : null,
};
