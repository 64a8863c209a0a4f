/**
 * Rule: a device that is to be wiped may fetch the order although it may not have mail. ActiveSync carries a remote wipe in
 * the answer to Provision (MS-ASPROV 3.1.5.1.2), so a refusal would save the device from it. Judged by the body, since `Cmd`
 * proves nothing, and for the device's own user only. Called by decide.ts, before the verdict.
 */
import { type Rule, requestOf } from '../question.ts';
import { ownDevices } from './user.ts';
import { newest } from './verdict.ts';

export const wipe: Rule = {
  name: 'wipe',
  judge: (question) => {
    if (question.bodyCommand !== 'Provision' || requestOf(question)?.command !== 'Provision') return null;
    const own = newest(ownDevices(question));
    return own?.access === 'deny' && own.wipePending === true
      ? { allow: true, reason: 'the device is to be wiped and may fetch the order' }
      : null;
  },
};
