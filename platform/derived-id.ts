/**
 * Ids that follow from what they are for, so that a repeated job makes the same ones. Called by jobs of
 * workers/ and by deploy-template.ts.
 */
import { createHash } from 'node:crypto';
import { encodeTime } from 'ulid';
import type {
  ApprovalId,
  DeviceId,
  EnrolmentId,
  MailSightingId,
  TaskId,
  TenantId,
  TransferId,
  UserId,
} from '../domain/ids.ts';

interface Derived {
  apr: ApprovalId;
  trf: TransferId;
  tsk: TaskId;
  dev: DeviceId;
  enr: EnrolmentId;
  usr: UserId;
  sgt: MailSightingId;
}

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

const hashChars = (key: string): string =>
  Array.from(createHash('sha256').update(key).digest().subarray(0, 16), (byte) => alphabet[byte & 31]).join(
    '',
  );

/** An id of that kind: sorted by `at` (ISO 8601, UTC) like new ones, its 80 random bits taken from a hash of `key`. */
export const derivedId = <Prefix extends keyof Derived>(
  prefix: Prefix,
  at: string,
  key: string,
): Derived[Prefix] => {
  const time = encodeTime(Date.parse(at), 10).toLowerCase();
  return `${prefix}${time}${hashChars(`${prefix}/${key}`)}` as Derived[Prefix];
};

/** The id that what a template names `id` has in one tenant: of the same kind and time, the same each time. */
export const idInTenant = (id: string, tenantId: TenantId): string =>
  `${id.slice(0, 13)}${hashChars(`${id}/${tenantId}`)}`;
