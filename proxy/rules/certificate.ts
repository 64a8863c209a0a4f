/**
 * Rule: where client certificates are asked for, every request comes with one of the chosen CA, a bare OPTIONS too. With
 * `bindDevice` it must also name the request's device or user, since a certificate that fits any device binds none. Called
 * by decide.ts, first of all rules: nobody without a certificate learns anything else.
 */
import { isSameUser, localPart } from '../../platform/mail-user.ts';
import { canonicalEasId } from '../eas.ts';
import { type Question, type Rule, requestOf } from '../question.ts';
import type { Verdict } from '../table.ts';
import { placeholderId } from './validate.ts';

export const certificate: Rule = {
  name: 'certificate',
  judge: (question) => {
    const { certificate: shown, credential } = question;
    if (shown === null) return null;
    if (shown.problem !== null) return { allow: false, reason: shown.problem };
    // Without a credential there is nothing to compare: only OPTIONS passes so, and no mail is in it.
    const request = requestOf(question);
    if (!shown.isBound || credential.user === null || request === null) return null;
    if (namesUnknownDevice(question, request.deviceId)) return null;
    const names = shown.names.names.map((name) => name.normalize('NFC').trim().toLowerCase());
    if (namesDevice(question, names, shown.names.deviceIds)) return null;
    if (namesUser(question, credential.user, names)) return null;
    return { allow: false, reason: 'the certificate names neither the device nor the user' };
  },
};

/** Whose it is has to be known first: rules/device.ts refuses it until then. */
const namesUnknownDevice = ({ space, devices }: Question, deviceId: string | null): boolean =>
  space === 'eas' && deviceId !== null && deviceId !== placeholderId && devices.length === 0;

/** The devices that the request may be about: those under its id, or the user's where it names none. */
const candidates = ({ devices, devicesOfUser, credential }: Question): readonly Verdict[] =>
  [...devices, ...devicesOfUser].filter(
    ({ userEmail }) =>
      credential.user !== null && userEmail !== null && isSameUser(credential.user, userEmail),
  );

const namesDevice = (question: Question, names: readonly string[], ids: readonly string[]): boolean => {
  const request = requestOf(question);
  const easIds = request === null || request.deviceId === null ? [] : [request.deviceId, ...request.aliases];
  const named = new Set(names.map(canonicalEasId));
  if (easIds.some((id) => id !== placeholderId && named.has(id))) return true;
  return candidates(question).some(
    ({ deviceId }) => ids.includes(deviceId) || names.includes(deviceId.toLowerCase()),
  );
};

/** A full address must be that of the user; a bare name must be the part of the sign-in name before '@'. */
const namesUser = (question: Question, user: string, names: readonly string[]): boolean => {
  const account = user.slice(user.lastIndexOf('\\') + 1);
  const own = new Set(candidates(question).map(({ userEmail }) => userEmail?.toLowerCase()));
  return names.some((name) =>
    name.includes('@') ? name === account || own.has(name) : name === localPart(user),
  );
};
