/** Rule: a device that the server has not named is not served. Called by decide.ts. */
import type { Rule } from '../question.ts';

export const device: Rule = {
  name: 'device',
  judge: ({ devices }) =>
    devices.length === 0 ? { allow: false, reason: 'the device is not known to Muster' } : null,
};
