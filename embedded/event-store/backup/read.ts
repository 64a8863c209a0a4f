/**
 * Reads a backup and refuses a damaged one: every frame by its checksum, the whole by its SHA-256, the rows by their
 * order. Called by restore.ts and inspect.ts; nothing read may be believed before the trailer has come.
 */
import { createHash, type Hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { MusterError } from '../../../platform/errors.ts';
import {
  batchHeadBytes,
  type FrameKind,
  formatVersion,
  frameHeadBytes,
  frameKinds,
  frameSum,
  type Header,
  headerSchema,
  magic,
  maxPayloadBytes,
  preambleBytes,
  type Trailer,
  trailerSchema,
} from './format.ts';
import { asBatch, type Batch, lastIdOf } from './tuples.ts';

/** What a backup holds, in order: a header, streams, what was scavenged of them, events, a trailer. */
export type Part =
  | { readonly kind: 'header'; readonly header: Header }
  | { readonly kind: 'streams' | 'scavenged' | 'events'; readonly batch: Batch }
  | { readonly kind: 'trailer'; readonly trailer: Trailer };

const unzip = promisify(gunzip);
/** A batch holds rows of a few MiB; what swells beyond is no backup of ours. */
const maxRowsBytes = 512 * 1024 * 1024;

const damaged = (problem: string): MusterError => new MusterError('backup-damaged', problem);

/** Takes exact numbers of bytes from a stream. */
const byteReader = (source: AsyncIterable<Buffer>) => {
  const chunks = source[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  /** `size` bytes, or fewer at the end. */
  const take = async (size: number): Promise<Buffer> => {
    const parts = [held];
    for (let total = held.length; total < size; ) {
      const next = await chunks.next();
      if (next.done) break;
      parts.push(next.value);
      total += next.value.length;
    }
    const all = parts.length === 1 ? held : Buffer.concat(parts);
    held = all.subarray(size);
    return all.subarray(0, size);
  };
  return {
    take,
    close: async (): Promise<void> => {
      await chunks.return?.();
    },
  };
};

type Bytes = ReturnType<typeof byteReader>;

const readPreamble = async (bytes: Bytes, sum: Hash): Promise<void> => {
  const start = await bytes.take(preambleBytes);
  if (start.length < preambleBytes || !start.subarray(0, magic.length).equals(magic))
    throw new MusterError('backup-mismatched', 'It is not a backup of an event log.');
  const version = start.readUInt32BE(magic.length);
  if (version !== formatVersion) {
    throw new MusterError(
      'backup-mismatched',
      `It is of version ${version}; this version of Muster reads version ${formatVersion}.`,
    );
  }
  sum.update(start);
};

const kindNames = new Map<number, FrameKind>(
  Object.entries(frameKinds).map(([name, number]) => [number, name as FrameKind]),
);

interface Frame {
  readonly kind: FrameKind;
  readonly payload: Buffer;
  readonly bytes: readonly Buffer[];
}

const readFrame = async (bytes: Bytes): Promise<Frame> => {
  const head = await bytes.take(frameHeadBytes);
  if (head.length < frameHeadBytes) throw damaged('It ends before its trailer.');
  const kind = kindNames.get(head.readUInt8(0));
  const length = head.readUInt32BE(1);
  if (kind === undefined || length > maxPayloadBytes) throw damaged('A frame has no known kind or length.');
  const payload = await bytes.take(length);
  if (payload.length < length) throw damaged(`It ends within a frame of ${kind}.`);
  if (frameSum(head, [payload]) !== head.readUInt32BE(5))
    throw damaged(`The checksum of a frame of ${kind} does not agree with what it holds.`);
  return { kind, payload, bytes: [head, payload] };
};

const parseJson = <T>(schema: { parse(value: unknown): T }, payload: Buffer, what: string): T => {
  try {
    return schema.parse(JSON.parse(payload.toString()));
  } catch (cause) {
    throw new MusterError('backup-damaged', `Its ${what} cannot be read.`, { cause });
  }
};

const readBatch = async (payload: Buffer, after: bigint): Promise<Batch> => {
  const rows = await unzip(payload.subarray(batchHeadBytes), { maxOutputLength: maxRowsBytes }).catch(
    (cause: unknown) => {
      throw new MusterError('backup-damaged', 'A batch cannot be decompressed.', { cause });
    },
  );
  const batch = asBatch(rows);
  const isTold =
    batch?.count === payload.readUInt32BE(0) &&
    batch.first === payload.readBigInt64BE(4) &&
    batch.last === payload.readBigInt64BE(12);
  if (!batch || !isTold) throw damaged('A batch does not hold the rows that it says.');
  if (batch.first <= after) throw damaged(`Batches are out of order: ${batch.first} follows ${after}.`);
  return batch;
};

const checkTrailer = (header: Header, trailer: Trailer, seen: Trailer): void => {
  if (trailer.sha256 !== seen.sha256) throw damaged('The SHA-256 of the whole does not agree.');
  const agrees =
    trailer.events === seen.events &&
    trailer.streams === seen.streams &&
    trailer.scavenged === seen.scavenged &&
    trailer.lastPosition === seen.lastPosition &&
    trailer.lastEventId === seen.lastEventId &&
    trailer.lastPosition === header.lastPosition;
  if (!agrees) throw damaged('The trailer does not agree with the events.');
};

const orderOf: Readonly<Record<FrameKind, number>> = frameKinds;

/**
 * The parts of the backup that `source` is. Throws `backup-mismatched` for what is no backup, or a later version's, and
 * `backup-damaged` as soon as damage shows: at the latest instead of the trailer.
 */
export async function* readBackup(source: AsyncIterable<Buffer>): AsyncGenerator<Part> {
  const bytes = byteReader(source);
  try {
    const sum = createHash('sha256');
    await readPreamble(bytes, sum);
    const first = await readFrame(bytes);
    if (first.kind !== 'header') throw damaged('It does not begin with its header.');
    const header = parseJson(headerSchema, first.payload, 'header');
    for (const part of first.bytes) sum.update(part);
    yield { kind: 'header', header };
    const counted = { streams: 0, scavenged: 0, events: 0 };
    const reached = { streams: -1n, scavenged: -1n, events: BigInt(header.parent?.lastPosition ?? -1) };
    let lastEventId = header.parent?.lastEventId ?? '';
    for (let before: FrameKind = 'header'; ; ) {
      const { kind, payload, bytes: all } = await readFrame(bytes);
      if (kind === 'header' || orderOf[kind] < orderOf[before])
        throw damaged(`A frame of ${kind} is out of order.`);
      before = kind;
      if (kind === 'trailer') {
        const trailer = parseJson(trailerSchema, payload, 'trailer');
        const sha256 = sum.digest('hex');
        checkTrailer(header, trailer, { ...counted, lastPosition: `${reached.events}`, lastEventId, sha256 });
        if ((await bytes.take(1)).length > 0) throw damaged('Something follows its trailer.');
        yield { kind, trailer };
        return;
      }
      for (const part of all) sum.update(part);
      const batch = await readBatch(payload, reached[kind]);
      reached[kind] = batch.last;
      counted[kind] += batch.count;
      if (kind === 'events') lastEventId = lastIdOf(batch);
      yield { kind, batch };
    }
  } finally {
    await bytes.close();
  }
}

/** Reads all of a backup and answers what it says about itself. Throws as `readBackup` does. */
export const inspectBackup = async (
  source: AsyncIterable<Buffer>,
  progress: (events: number, position: bigint, lastPosition: bigint) => void = () => {},
): Promise<{ header: Header; trailer: Trailer }> => {
  let header: Header | undefined;
  let events = 0;
  for await (const part of readBackup(source)) {
    if (part.kind === 'header') header = part.header;
    else if (part.kind === 'trailer') return { header: header as Header, trailer: part.trailer };
    else if (part.kind === 'events') {
      events += part.batch.count;
      progress(events, part.batch.last, BigInt(header?.lastPosition ?? 0));
    }
  }
  throw damaged('It ends before its trailer.');
};
