/**
 * Rule: a request for mail names its user by Basic or Bearer. NTLM and Negotiate authenticate a connection instead of
 * a request and cannot pass a proxy that shares connections, so they are not offered. Called by decide.ts.
 */
import type { Rule } from '../question.ts';

export const credential: Rule = {
  name: 'credential',
  judge: (question) =>
    question.credential.user === null ? { allow: false, reason: question.credential.problem } : null,
};
