/**
 * Rule: EWS names no device, so its user must have one that may have mail. Called by decide.ts.
 */
import type { Question, Rule } from '../question.ts';
import type { Verdict } from '../table.ts';
import { isOf } from './user.ts';

/** The devices of the credential's user that may have mail. */
export const allowedDevices = ({ credential, devicesOfUser }: Question): readonly Verdict[] =>
  devicesOfUser.filter((device) => device.access === 'allow' && isOf(credential, device));

export const account: Rule = {
  name: 'account',
  judge: (question) =>
    allowedDevices(question).length > 0
      ? { allow: true, reason: 'a subscription of a user who has a device that may have mail' }
      : { allow: false, reason: 'the user has no device that may have mail' },
};
