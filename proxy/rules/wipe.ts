/**
 * Rule: a device that is to be wiped may fetch the order although it may not have mail. ActiveSync carries a remote wipe in
 * the answer to Provision (MS-ASPROV 3.1.5.1.2), so a refusal of that would save the device from it: Provision passes,
 * judged by the body, since `Cmd` proves nothing, and for the device's own user only; so does OPTIONS, which carries no
 * mail. All else is refused, and refuse.ts tells the device to provision. Called by decide.ts, before the verdict.
 */
import { type Rule, requestOf } from '../question.ts';
import { ownDevices } from './user.ts';
import { newest } from './verdict.ts';

export const wipe: Rule = {
  name: 'wipe',
  judge: (question) => {
    const own = newest(ownDevices(question));
    if (own?.access !== 'deny' || own.wipePending !== true) return null;
    if (question.method === 'OPTIONS') return { allow: true, reason: 'OPTIONS carries no mail' };
    return question.bodyCommand === 'Provision' && requestOf(question)?.command === 'Provision'
      ? { allow: true, reason: 'the device is to be wiped and may fetch the order' }
      : { allow: false, reason: 'the device is to be wiped and must fetch the order by Provision' };
  },
};
