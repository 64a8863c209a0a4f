/**
 * Rule: Traveler's own clients do not name the device on every request, and a request that does not cannot be verified: it
 * passes, which the operator chooses with the setting `traveler`. One that names a device is decided by it; where a
 * session cookie stands for the password the user is not known here and the device alone decides. Called by decide.ts.
 */
import { type Rule, requestOf } from '../question.ts';
import { ownDevices } from './user.ts';
import { newest } from './verdict.ts';

export const traveler: Rule = {
  name: 'traveler',
  judge: (question) => {
    const { credential, devices } = question;
    if (requestOf(question)?.deviceId === null)
      return { allow: true, reason: 'a Traveler request that names no device cannot be verified' };
    if (credential.user === null && !credential.absent) return { allow: false, reason: credential.problem };
    const verdict = newest(credential.user === null ? devices : ownDevices(question));
    if (verdict !== undefined) return { allow: verdict.access === 'allow', reason: verdict.reason };
    return {
      allow: false,
      reason:
        devices.length === 0 ? 'the device is not known to Muster' : 'the device belongs to another user',
    };
  },
};
