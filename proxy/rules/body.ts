/**
 * Rule: the body is the command that the query names, or the EWS operation that is served. Servers have been seen to run
 * the body's, so `Cmd` alone would say nothing about what is forwarded. Called by decide.ts.
 */
import type { Rule } from '../question.ts';

export const body: Rule = {
  name: 'body',
  judge: ({ bodyProblem }) => (bodyProblem === null ? null : { allow: false, reason: bodyProblem }),
};
