/**
 * Encodes the answers of reads (ReadResp in streams.proto and persistent.proto) straight into bytes.
 * Called for every event sent. A test holds it against the generated code.
 */
import type { StoredEvent } from '../event.ts';
import type { Resolved } from '../links.ts';

/** How event ids are written: as the client asked. */
export type IdForm = 'string' | 'structured';

/** A cursor over a buffer that is large enough. */
interface Cursor {
  bytes: Buffer;
  at: number;
}

const lengthDelimited = (field: number): number => (field << 3) | 2;

const putVarint = (to: Cursor, value: number): void => {
  let rest = value;
  while (rest >= 0x80) {
    to.bytes[to.at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  to.bytes[to.at++] = rest;
};

const putBigVarint = (to: Cursor, value: bigint): void => {
  if (value >= 0n && value <= 0x1f_ffff_ffff_ffffn) {
    putVarint(to, Number(value));
    return;
  }
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    const low = Number(rest & 0x7fn);
    if (rest < 0x80n) {
      to.bytes[to.at++] = low;
      return;
    }
    to.bytes[to.at++] = low | 0x80;
  }
};

const sizeOfVarint = (value: number): number => {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
};

const putUint64 = (to: Cursor, field: number, value: bigint): void => {
  if (value === 0n) return;
  to.bytes[to.at++] = field << 3;
  putBigVarint(to, value);
};

const putText = (to: Cursor, field: number, text: string): void => {
  to.bytes[to.at++] = lengthDelimited(field);
  const length = Buffer.byteLength(text);
  putVarint(to, length);
  to.bytes.write(text, to.at, length, 'utf8');
  to.at += length;
};

const putEntry = (to: Cursor, key: string, value: string): void => {
  const keyLength = Buffer.byteLength(key);
  const valueLength = Buffer.byteLength(value);
  to.bytes[to.at++] = lengthDelimited(6);
  putVarint(to, 1 + sizeOfVarint(keyLength) + keyLength + 1 + sizeOfVarint(valueLength) + valueLength);
  putText(to, 1, key);
  putText(to, 2, value);
};

const putId = (to: Cursor, field: number, id: string, form: IdForm): void => {
  to.bytes[to.at++] = lengthDelimited(field);
  if (form === 'string') {
    to.bytes[to.at++] = 2 + id.length;
    putText(to, 2, id);
    return;
  }
  const raw = Buffer.from(id.replaceAll('-', ''), 'hex');
  const inner: Cursor = { bytes: Buffer.alloc(24), at: 0 };
  putUint64(inner, 1, raw.readBigInt64BE(0));
  putUint64(inner, 2, raw.readBigInt64BE(8));
  to.bytes[to.at++] = 2 + inner.at;
  to.bytes[to.at++] = lengthDelimited(1);
  to.bytes[to.at++] = inner.at;
  to.at += inner.bytes.copy(to.bytes, to.at, 0, inner.at);
};

/** Grown as needed; names and types are bounded, so it stays small. */
const scratch: Cursor = { bytes: Buffer.allocUnsafe(64 * 1024), at: 0 };

/** Everything of a RecordedEvent but its payload, in the scratch buffer. */
const putHead = (event: StoredEvent, form: IdForm): number => {
  scratch.at = 0;
  const room = 1_024 + 3 * (event.stream.length + event.type.length);
  if (scratch.bytes.length < room) scratch.bytes = Buffer.allocUnsafe(room);
  putId(scratch, 1, event.id, form);
  const nameLength = Buffer.byteLength(event.stream);
  scratch.bytes[scratch.at++] = lengthDelimited(2);
  putVarint(scratch, 1 + sizeOfVarint(nameLength) + nameLength);
  putText(scratch, 3, event.stream);
  putUint64(scratch, 3, event.revision);
  putUint64(scratch, 4, event.position);
  putUint64(scratch, 5, event.position);
  putEntry(scratch, 'content-type', event.json ? 'application/json' : 'application/octet-stream');
  putEntry(scratch, 'created', event.created.toString());
  putEntry(scratch, 'type', event.type);
  return scratch.at;
};

const sizeOfField = (length: number): number => (length === 0 ? 0 : 1 + sizeOfVarint(length) + length);

const putBytes = (to: Cursor, field: number, bytes: Uint8Array): void => {
  if (bytes.length === 0) return;
  to.bytes[to.at++] = lengthDelimited(field);
  putVarint(to, bytes.length);
  to.bytes.set(bytes, to.at);
  to.at += bytes.length;
};

/** Field `field` of a ReadEvent holding the RecordedEvent `event`. */
const encodeRecorded = (field: number, event: StoredEvent, form: IdForm): Buffer => {
  const headLength = putHead(event, form);
  const length = headLength + sizeOfField(event.metadata.length) + sizeOfField(event.data.length);
  const to: Cursor = { bytes: Buffer.allocUnsafe(1 + sizeOfVarint(length) + length), at: 0 };
  to.bytes[to.at++] = lengthDelimited(field);
  putVarint(to, length);
  to.at += scratch.bytes.copy(to.bytes, to.at, 0, headLength);
  putBytes(to, 7, event.metadata);
  putBytes(to, 8, event.data);
  return to.bytes;
};

const wrap = (field: number, parts: readonly Buffer[]): Buffer => {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head: Cursor = { bytes: Buffer.allocUnsafe(8), at: 0 };
  head.bytes[head.at++] = lengthDelimited(field);
  putVarint(head, length);
  return Buffer.concat([head.bytes.subarray(0, head.at), ...parts]);
};

const uint64Field = (field: number, value: bigint): Buffer => {
  const to: Cursor = { bytes: Buffer.allocUnsafe(12), at: 0 };
  to.bytes[to.at++] = field << 3;
  putBigVarint(to, value);
  return to.bytes.subarray(0, to.at);
};

const encodeResolved = ({ event, link }: Resolved, form: IdForm): Buffer[] => [
  ...(event ? [encodeRecorded(1, event, form)] : []),
  ...(link ? [encodeRecorded(2, link, form)] : []),
  uint64Field(3, (link ?? event)?.position ?? 0n),
];

/** ReadResp.event: the event, its link if one led there, and the position of what came first. */
export const encodeEvent = (resolved: Resolved, form: IdForm): Buffer =>
  wrap(1, encodeResolved(resolved, form));

const noRetryCount = Buffer.from([lengthDelimited(6), 0]);

/** The same in persistent.proto, whose messages have the same fields, with the count of earlier deliveries. */
export const encodeDelivery = (resolved: Resolved, form: IdForm, retryCount: number): Buffer =>
  wrap(1, [
    ...encodeResolved(resolved, form),
    retryCount === 0 ? noRetryCount : uint64Field(5, BigInt(retryCount)),
  ]);

/** ReadResp.confirmation */
export const encodeConfirmation = (subscriptionId: string): Buffer => {
  const to: Cursor = { bytes: Buffer.allocUnsafe(8 + Buffer.byteLength(subscriptionId)), at: 0 };
  putText(to, 1, subscriptionId);
  return wrap(2, [to.bytes.subarray(0, to.at)]);
};

/** ReadResp.checkpoint */
export const encodeCheckpoint = (position: bigint): Buffer =>
  wrap(3, [uint64Field(1, position), uint64Field(2, position)]);

/** ReadResp.stream_not_found */
export const encodeStreamNotFound = (stream: string): Buffer => {
  const to: Cursor = { bytes: Buffer.allocUnsafe(8 + Buffer.byteLength(stream)), at: 0 };
  putText(to, 3, stream);
  return wrap(4, [wrap(1, [to.bytes.subarray(0, to.at)])]);
};

/** ReadResp.caught_up */
export const encodeCaughtUp = (): Buffer => wrap(8, []);
