/**
 * Makes new ids and secrets: the randomness that the domain must not have. Called by api/, workers/ and cli/.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { ulid } from 'ulid';
import { v7 } from 'uuid';
import type { z } from 'zod';
import type * as ids from '../domain/ids.ts';

type IdSchemas = typeof ids;
type Prefixes = {
  ten: 'tenantId';
  acc: 'accountId';
  dev: 'deviceId';
  enr: 'enrolmentId';
  grp: 'groupId';
  pol: 'policyId';
  cmp: 'compliancePolicyId';
  bdl: 'taskBundleId';
  trf: 'transferId';
  tsk: 'taskId';
  prx: 'proxyId';
  rol: 'roleId';
  key: 'apiKeyId';
  pky: 'passkeyId';
  apr: 'approvalId';
  tpl: 'templateId';
  dpl: 'deploymentId';
  usr: 'userId';
  ugr: 'userGroupId';
  imp: 'importId';
  hnd: 'handoutId';
  sgt: 'mailSightingId';
};

/** A new sortable id of the kind that `prefix` names. */
export const newId = <P extends keyof Prefixes>(prefix: P): z.infer<IdSchemas[Prefixes[P]]> =>
  `${prefix}${ulid().toLowerCase()}` as z.infer<IdSchemas[Prefixes[P]]>;

/** A new time-ordered UUID (RFC 9562 version 7), for requests and jobs. */
export const newUuid = (): string => v7();

/** Namespace b6cf8c0e-5a5e-4c59-9d8e-6f1f6f3f9a10, as the bytes that a name-based UUID hashes first. */
const eventNamespace = Buffer.from('b6cf8c0e5a5e4c599d8e6f1f6f3f9a10', 'hex');

/**
 * The event id that command `commandId` gives to the `index`th event it appends to `stream`: a UUID of version 5
 * (RFC 9562 section 5.5). Written out, as it is made for every event and the package takes more than twice as long.
 */
export const eventId = (stream: string, commandId: string, index: number): string => {
  const name = Buffer.from(`${stream}/${commandId}/${index}`);
  const digest = hash('sha1', Buffer.concat([eventNamespace, name]), 'buffer');
  digest[6] = ((digest[6] as number) & 0x0f) | 0x50;
  digest[8] = ((digest[8] as number) & 0x3f) | 0x80;
  const hex = digest.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};

/** A new secret of 256 random bits, base64url (43 characters). */
export const newSecret = (): string => randomBytes(32).toString('base64url');

const codeAlphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** A new enrolment code a person can type: 16 Crockford base-32 characters (80 random bits) in groups of four. */
export const newCode = (): string => codeOf(randomBytes(16));

/** The code that the first 16 of some bytes make: each gives five bits. */
export const codeOf = (bytes: Uint8Array): string =>
  (
    Array.from(bytes.subarray(0, 16), (byte) => codeAlphabet[byte & 31])
      .join('')
      .match(/.{4}/g) as string[]
  ).join('-');

/** The form of an enrolment code under which it is hashed: upper case, no separators, look-alikes folded. */
export const canonicalCode = (code: string): string =>
  code.toUpperCase().replace(/[-\s]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');

/** SHA-256 of a high-entropy secret, hex: the only form in which Muster stores tokens and codes. */
export const hashSecret = (secret: string): string => hash('sha256', secret, 'hex');

/** Compares two hex digests in constant time. */
export const sameHash = (a: string, b: string): boolean => {
  const [left, right] = [Buffer.from(a, 'hex'), Buffer.from(b, 'hex')];
  return left.length === right.length && left.length > 0 && timingSafeEqual(left, right);
};
