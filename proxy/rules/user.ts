/**
 * Rule: a device is served to its own user only. A device id is no secret, so the id alone would let anybody with a
 * password claim a managed device. Called by decide.ts.
 */
import { isSameUser } from '../../platform/mail-user.ts';
import type { Credential } from '../credential.ts';
import type { Question, Rule } from '../question.ts';
import type { Verdict } from '../table.ts';

/** True when the device belongs to the credential's user. */
export const isOf = ({ user: name }: Credential, { userEmail }: Verdict): boolean =>
  name !== null && userEmail !== null && isSameUser(name, userEmail);

/** The devices under the request's id that belong to the credential's user. */
export const ownDevices = ({ credential, devices }: Question): readonly Verdict[] => {
  const [first] = devices;
  // As nearly always: rules ask this for each request, more than once.
  if (devices.length === 1 && first !== undefined && isOf(credential, first)) return devices;
  return devices.filter((device) => isOf(credential, device));
};

export const user: Rule = {
  name: 'user',
  judge: (question) => {
    if (ownDevices(question).length > 0) return null;
    const bound = question.devices.some((device) => device.userEmail !== null);
    return {
      allow: false,
      reason: bound ? 'the device belongs to another user' : 'the device belongs to no user',
    };
  },
};
