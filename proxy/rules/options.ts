/**
 * Rule: OPTIONS passes when it names no device or presents no credential. It is how a client finds out the protocol
 * versions and gets its Basic or Bearer challenge, usually with no query at all, and it carries no mail (MS-ASHTTP
 * 2.2.3, 3.1.5.2). With both a device and a credential it is decided like any other request, so that a blocked device
 * learns so at its first step. Called by decide.ts.
 */
import { type Rule, requestOf } from '../question.ts';

export const options: Rule = {
  name: 'options',
  judge: (question) => {
    if (question.method !== 'OPTIONS') return null;
    if (requestOf(question)?.deviceId === null)
      return { allow: true, reason: 'OPTIONS without a device carries no mail' };
    if (question.credential.user === null && question.credential.absent) {
      return {
        allow: true,
        reason: 'OPTIONS without a credential carries no mail and is answered with a challenge',
      };
    }
    return null;
  },
};
