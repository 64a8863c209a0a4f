/**
 * Ids that follow from what they are for, so that a repeated job makes the same ones. Called by react.ts and
 * by jobs that create things.
 */
import { createHash } from 'node:crypto';
import { encodeTime } from 'ulid';
import type { DeviceId, EnrolmentId, TaskId, TransferId, UserId } from '../domain/ids.ts';

interface Derived {
  trf: TransferId;
  tsk: TaskId;
  dev: DeviceId;
  enr: EnrolmentId;
  usr: UserId;
}

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

/** An id of that kind: sorted by `at` (ISO 8601, UTC) like new ones, its 80 random bits taken from a hash of `key`. */
export const derivedId = <Prefix extends keyof Derived>(
  prefix: Prefix,
  at: string,
  key: string,
): Derived[Prefix] => {
  const digest = createHash('sha256').update(`${prefix}/${key}`).digest().subarray(0, 16);
  const hash = Array.from(digest, (byte) => alphabet[byte & 31]).join('');
  return `${prefix}${encodeTime(Date.parse(at), 10).toLowerCase()}${hash}` as Derived[Prefix];
};
