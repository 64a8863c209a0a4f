/**
 * Decides one request: the first rule with an opinion wins, and nobody's opinion is a refusal. Called by gate.ts for
 * each request and again for held requests whenever a verdict changes. Pure: everything it may know is in the question.
 */
import type { Decision, Question } from './question.ts';
import { rules } from './rules/index.ts';

/** The decision on a question. Deny is the default. */
export const decide = (question: Question): Decision => {
  for (const rule of rules[question.space]) {
    const opinion = rule.judge(question);
    if (opinion !== null) return { allow: opinion.allow, rule: rule.name, reason: opinion.reason };
  }
  return { allow: false, rule: 'default', reason: 'no rule allows this' };
};
