/**
 * Rule: `DeviceId=validate` is what the AOSP mail app calls itself while an account is set up, before it has an id. Its
 * first steps pass, judged by the body since `Cmd` proves nothing, for users with a device that may have mail. Called by
 * decide.ts.
 */
import { type Rule, requestOf } from '../question.ts';
import { allowedDevices } from './account.ts';

/** The placeholder id, canonical. */
export const placeholderId = 'VALIDATE';

const firstSteps = new Set(['Provision', 'FolderSync']);

export const validate: Rule = {
  name: 'validate',
  judge: (question) => {
    const request = requestOf(question);
    if (request?.deviceId !== placeholderId) return null;
    const isFirstStep =
      question.method === 'OPTIONS' ||
      (question.bodyCommand !== null &&
        firstSteps.has(question.bodyCommand) &&
        question.bodyCommand === request.command);
    if (!isFirstStep)
      return { allow: false, reason: 'DeviceId=validate may only provision and list folders' };
    return allowedDevices(question).length > 0
      ? { allow: true, reason: 'account set-up of a user who has a device that may have mail' }
      : { allow: false, reason: 'account set-up of a user who has no device that may have mail' };
  },
};
