/**
 * Stream metadata: what the JSON of a `$metadata` event asks for, and how it is rewritten when a deleted stream
 * comes back. Read by stream-cache.ts, applied by reader.ts.
 */
import { deletedTruncateBefore } from './event.ts';
import { readAcl, type StreamAcl } from './security/acl.ts';

/**
 * The limits that reads apply. Absent means unlimited. `maxAgeSeconds` counts back from the moment of reading. `acl`
 * counts over TLS only.
 */
export interface StreamSettings {
  readonly maxCount?: bigint;
  readonly maxAgeSeconds?: bigint;
  readonly truncateBefore?: bigint;
  readonly acl?: StreamAcl;
}

/** A metastream keeps its newest event only, as on the real server. */
export const metastreamSettings: StreamSettings = { maxCount: 1n };

const parseObject = (raw: Uint8Array): Record<string, unknown> | undefined => {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(raw).toString('utf8'));
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
};

/** JSON numbers lose precision near 2^63, where exactly one value is in use: "deleted". */
const toCount = (value: unknown): bigint | undefined => {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) return undefined;
  return value >= Number.MAX_SAFE_INTEGER ? deletedTruncateBefore : BigInt(value);
};

/** Settings that `raw` (the data of the newest metadata event) holds; unreadable metadata holds none. */
export const readSettings = (raw: Uint8Array | undefined): StreamSettings => {
  const parsed = raw === undefined ? undefined : parseObject(raw);
  if (!parsed) return {};
  const maxCount = toCount(parsed['$maxCount']);
  const maxAgeSeconds = toCount(parsed['$maxAge']);
  const truncateBefore = toCount(parsed['$tb']);
  const acl = readAcl(parsed['$acl']);
  return {
    ...(maxCount === undefined || maxCount === 0n ? {} : { maxCount }),
    ...(maxAgeSeconds === undefined || maxAgeSeconds === 0n ? {} : { maxAgeSeconds }),
    ...(truncateBefore === undefined ? {} : { truncateBefore }),
    ...(acl === undefined ? {} : { acl }),
  };
};

/** Whether the stream was soft-deleted and not written to since. */
export const isSoftDeleted = (settings: StreamSettings): boolean =>
  settings.truncateBefore === deletedTruncateBefore;

/** Metadata that a soft delete writes: nothing but the truncation point beyond all events. */
export const deletedMetadata = (): Uint8Array => Buffer.from(`{"$tb":${deletedTruncateBefore}}`);

/** The same metadata with `$tb` set to `truncateBefore`; `undefined` when it is not a JSON object. */
export const withTruncateBefore = (raw: Uint8Array, truncateBefore: bigint): Uint8Array | undefined => {
  const parsed = parseObject(raw);
  return parsed && Buffer.from(JSON.stringify({ ...parsed, $tb: Number(truncateBefore) }));
};
