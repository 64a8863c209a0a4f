/**
 * Reads the request target of an HCL Traveler client other than iOS Mail: Verse and the Outlook add-in speak HTTP of their
 * own below a few paths and do not name the device on every request. Called by gate.ts when the instance serves Traveler; pure.
 *
 * Only the paths of HCL's documentation are served, in letters that every server reads alike. An ActiveSync path below
 * them is ActiveSync, with all its rules: a missing id is never excused there.
 */
import { canonicalEasId, easPath } from './eas.ts';

/** A Traveler request: `deviceId` is null when the client does not name it. */
export interface TravelerRequest {
  readonly deviceId: string | null;
  readonly path: string;
  /** The query to forward, without '?'. */
  readonly query: string;
}

const roots = ['/traveler', '/servlet/traveler', '/api/traveler'] as const;
const easSegment = easPath.slice(1).toLowerCase();

/** True when the path is Traveler's own: one of its roots or below it. */
export const isTravelerPath = (path: string): boolean => {
  const lower = path.toLowerCase();
  return roots.some((root) => lower === root || lower.startsWith(`${root}/`));
};

/** The path of an ActiveSync request below Traveler's servlet in canonical spelling, else null. */
export const travelerEasPath = (path: string): string | null =>
  path.toLowerCase() === `/servlet/traveler/${easSegment}` ? `/servlet/traveler${easPath}` : null;

const maxTargetChars = 8_192;

/** Understands a target whose path is Traveler's; a string says what is wrong. Never throws. */
export const readTraveler = (target: string): TravelerRequest | string => {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? '' : target.slice(mark + 1);
  if (target.length > maxTargetChars) return 'the query is too long';
  const segments = path.slice(1).split('/');
  const isPlain = segments.every(
    (segment) => /^[A-Za-z0-9_~.-]*$/.test(segment) && !/^\.{1,2}$/.test(segment),
  );
  // An empty segment may only be the last one, which is a trailing slash.
  if (!isPlain || segments.slice(0, -1).includes(''))
    return 'the path has characters that servers read differently';
  if (segments.some((segment) => segment.toLowerCase() === easSegment))
    return 'ActiveSync is not served below this path';
  const read = readQuery(query);
  return typeof read === 'string' ? read : { ...read, path };
};

const readQuery = (query: string): Pick<TravelerRequest, 'deviceId' | 'query'> | string => {
  if (query === '') return { deviceId: null, query };
  if (!/^[\x21-\x7e]*$/.test(query) || /[?#;]/.test(query))
    return 'the query is not readable in exactly one way';
  const seen = new Set<string>();
  let deviceId: string | null = null;
  for (const part of query.split('&')) {
    const [, name = '', value = ''] = /^([A-Za-z0-9_.-]+)(?:=(.*))?$/.exec(part) ?? [];
    const key = name.toLowerCase();
    if (key === '' || /%(?![0-9A-Fa-f]{2})/.test(value)) return 'a parameter is empty, encoded or malformed';
    if (seen.has(key)) return `${name} is given twice`;
    seen.add(key);
    if (key !== 'deviceid') continue;
    if (!/^[A-Za-z0-9._~-]{1,64}$/.test(value)) return 'deviceId is not a device id';
    deviceId = canonicalEasId(value);
  }
  return { deviceId, query };
};
