/**
 * The container of a backup (ADR 8): a magic and a version, then frames that each carry their own checksum, the last
 * of them with a SHA-256 over all that comes before it. Written by write.ts, read by read.ts.
 */
import { crc32 } from 'node:zlib';
import { z } from 'zod';

/** The first bytes of every backup: its name and the version of its form. */
export const magic = Buffer.from('MUSTERLG', 'latin1');
export const formatVersion = 1;
export const preambleBytes = magic.length + 4;

/** What a frame holds. */
export const frameKinds = { header: 1, streams: 2, scavenged: 3, events: 4, trailer: 5 } as const;
export type FrameKind = keyof typeof frameKinds;

/** Kind (1 byte), length of the payload (4), CRC-32 of both and of the payload (4). */
export const frameHeadBytes = 9;
/** No frame is nearly as long; a longer one is damage, not memory to reserve. */
export const maxPayloadBytes = 256 * 1024 * 1024;
/** Before the compressed rows of a batch: their count (4), first and last position or stream number (8 each). */
export const batchHeadBytes = 20;

/** Columns of the rows, in order; the form of each is that of PostgreSQL's binary COPY. */
export const eventColumns = 'position, stream, revision, created, id, checksum, json, type, data, metadata';
export const streamColumns = 'id, name';
export const scavengedColumns = 'stream, first, events';

const position = z.string().regex(/^\d{1,19}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const markSchema = z.object({ lastPosition: position, lastEventId: z.uuid(), sha256 });

/** Where a backup ends, and which one it is: what its increment goes on from. */
export type Mark = z.infer<typeof markSchema>;

/** The first frame. Positions are decimal text; `parent` is null for a backup of everything. */
export const headerSchema = z.object({
  created: z.iso.datetime(),
  storeId: z.uuid(),
  storeCreated: z.iso.datetime(),
  layout: z.int(),
  eventColumns: z.string(),
  streamColumns: z.string(),
  scavengedColumns: z.string(),
  compression: z.literal('gzip'),
  firstPosition: position,
  lastPosition: position,
  parent: markSchema.nullable(),
});
export type Header = z.infer<typeof headerSchema>;

/** The last frame. */
export const trailerSchema = markSchema.extend({
  events: z.int().min(0),
  streams: z.int().min(0),
  scavenged: z.int().min(0),
});
export type Trailer = z.infer<typeof trailerSchema>;

/** A mark as one word, for the command line. */
export const markText = ({ lastPosition, lastEventId, sha256: sum }: Mark): string =>
  `${lastPosition}:${lastEventId}:${sum}`;

/** The mark that a word names; undefined when it is none. */
export const parseMark = (text: string): Mark | undefined => {
  const [lastPosition, lastEventId, sum] = text.split(':');
  return markSchema.safeParse({ lastPosition, lastEventId, sha256: sum }).data;
};

/** What stands before the first frame. */
export const preamble = (): Buffer => {
  const bytes = Buffer.alloc(preambleBytes);
  magic.copy(bytes);
  bytes.writeUInt32BE(formatVersion, magic.length);
  return bytes;
};

/** CRC-32 of a frame without its checksum. */
export const frameSum = (head: Buffer, payload: readonly Buffer[]): number =>
  payload.reduce((sum, part) => crc32(part, sum), crc32(head.subarray(0, 5)));

/** A frame's bytes. */
export const frame = (kind: FrameKind, ...payload: readonly Buffer[]): Buffer[] => {
  const head = Buffer.alloc(frameHeadBytes);
  head.writeUInt8(frameKinds[kind], 0);
  head.writeUInt32BE(
    payload.reduce((sum, part) => sum + part.length, 0),
    1,
  );
  head.writeUInt32BE(frameSum(head, payload), 5);
  return [head, ...payload];
};

/** A frame of JSON. */
export const jsonFrame = (kind: FrameKind, value: object): Buffer[] =>
  frame(kind, Buffer.from(JSON.stringify(value)));
