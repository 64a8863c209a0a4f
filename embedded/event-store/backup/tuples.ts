/**
 * Rows in the binary form of PostgreSQL's COPY (documentation of COPY, "Binary Format"), cut into batches without
 * being decoded: what is restored is byte for byte what was stored. Used by take.ts, read.ts and restore.ts.
 */
import { MusterError } from '../../../platform/errors.ts';

/** What begins a copy: the signature, no flags, no extension. */
export const copyStart = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
/** What ends a copy: a row with -1 fields. */
export const copyEnd = Buffer.from([0xff, 0xff]);

const fieldCountBytes = 2;
const lengthBytes = 4;

/** Where the first field of a row begins: the position of an event, the number of a stream. */
const firstFieldAt = fieldCountBytes + lengthBytes;
/** Where the number of an event's stream begins: behind its position. */
const streamAt = firstFieldAt + 8 + lengthBytes;
/** Where an event's id begins: behind position, stream, revision and created, 8 bytes each. */
const idAt = fieldCountBytes + 4 * (lengthBytes + 8) + lengthBytes;

/** Whole rows, in order of their first field. */
export interface Batch {
  readonly rows: Buffer;
  readonly count: number;
  readonly first: bigint;
  readonly last: bigint;
  /** Where the last row begins. */
  readonly lastAt: number;
}

/** Where the row that begins at `at` ends; undefined when not all of it is there. */
const endOfRow = (bytes: Buffer, at: number): number | undefined => {
  if (at + fieldCountBytes > bytes.length) return undefined;
  let end = at + fieldCountBytes;
  for (let fields = bytes.readInt16BE(at); fields > 0; fields -= 1) {
    if (end + lengthBytes > bytes.length) return undefined;
    end += lengthBytes + Math.max(0, bytes.readInt32BE(end));
  }
  return end <= bytes.length ? end : undefined;
};

const isEnd = (bytes: Buffer, at: number): boolean =>
  at + fieldCountBytes <= bytes.length && bytes.readInt16BE(at) === -1;

/** All whole rows from `at` on; undefined when there is none. */
const wholeRows = (bytes: Buffer, at: number): Batch | undefined => {
  let count = 0;
  let lastAt = at;
  let next = at;
  while (!isEnd(bytes, next)) {
    const end = endOfRow(bytes, next);
    if (end === undefined) break;
    lastAt = next;
    next = end;
    count += 1;
  }
  if (count === 0) return undefined;
  const rows = bytes.subarray(at, next);
  const first = bytes.readBigInt64BE(at + firstFieldAt);
  const last = bytes.readBigInt64BE(lastAt + firstFieldAt);
  return { rows, count, first, last, lastAt: lastAt - at };
};

/** Cuts what `COPY … TO STDOUT (FORMAT binary)` says into batches of about `batchBytes`. */
export async function* batchesOf(copy: AsyncIterable<Buffer>, batchBytes: number): AsyncGenerator<Batch> {
  let waiting: Buffer[] = [];
  let size = 0;
  let wanted = batchBytes;
  let skip = copyStart.length;
  const cut = (): Batch | undefined => {
    const bytes = Buffer.concat(waiting);
    const batch = wholeRows(bytes, skip);
    const rest = batch ? bytes.subarray(skip + batch.rows.length) : bytes;
    if (batch) skip = 0;
    waiting = [rest];
    size = rest.length;
    // A row larger than a batch is looked at again only when much more of it is there.
    wanted = batch ? batchBytes : 2 * size;
    return batch;
  };
  for await (const chunk of copy) {
    waiting.push(chunk);
    size += chunk.length;
    const batch = size >= wanted ? cut() : undefined;
    if (batch) yield batch;
  }
  const batch = cut();
  if (batch) yield batch;
  if (!waiting[0]?.subarray(skip).equals(copyEnd))
    throw new MusterError('dependency-unavailable', 'PostgreSQL ended the copy of the log early');
}

/** The batch that `rows` are; undefined when they are not whole rows of ascending first fields. */
export const asBatch = (rows: Buffer): Batch | undefined => {
  const batch = wholeRows(rows, 0);
  if (batch?.rows.length !== rows.length) return undefined;
  let before: bigint | undefined;
  for (let at = 0; at < rows.length; at = endOfRow(rows, at) as number) {
    const present = rows.readBigInt64BE(at + firstFieldAt);
    if (before !== undefined && present <= before) return undefined;
    before = present;
  }
  return batch;
};

/** Id of the last event of a batch of events, as text. */
export const lastIdOf = ({ rows, lastAt }: Batch): string =>
  rows
    .toString('hex', lastAt + idAt, lastAt + idAt + 16)
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

/** Gives events of renumbered streams their new numbers, in place. */
export const renumber = (rows: Buffer, numbers: ReadonlyMap<bigint, bigint>): void => {
  if (numbers.size === 0) return;
  for (let at = 0; at < rows.length; at = endOfRow(rows, at) as number) {
    const to = numbers.get(rows.readBigInt64BE(at + streamAt));
    if (to !== undefined) rows.writeBigInt64BE(to, at + streamAt);
  }
};
