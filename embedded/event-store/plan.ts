/**
 * Turns an accepted request into rows and into the state of its stream afterwards. Pure but for the given numbers.
 * Called by the writer, right after the decision.
 */
import {
  isMetastream,
  metastreamOf,
  type NewEvent,
  originalOf,
  type StoredEvent,
  tombstoneRevision,
} from './event.ts';
import type { Expected, StreamFacts } from './expected.ts';
import type { NewStream, Row } from './journal.ts';
import { deletedMetadata, isSoftDeleted, readSettings, withTruncateBefore } from './settings.ts';
import type { Head, Pair } from './stream-cache.ts';

/** What a client asks for; `may` tells whether it is allowed, given the stream's metadata. Without it, it is. */
export type WriteRequest = { readonly may?: ((pair: Pair) => boolean) | undefined } & (
  | {
      readonly kind: 'append';
      readonly stream: string;
      readonly expected: Expected;
      readonly events: readonly NewEvent[];
    }
  | {
      readonly kind: 'delete';
      readonly stream: string;
      readonly expected: Expected;
      readonly eventId: string;
    }
  | {
      readonly kind: 'tombstone';
      readonly stream: string;
      readonly expected: Expected;
      readonly eventId: string;
    }
);

/** Source of the next numbers; `created` is the time of the write in ticks. */
export interface Numbers {
  position(): bigint;
  streamId(): number;
  readonly created: bigint;
  /** A fresh event id, for the metadata events that the store writes itself. */
  eventId(): string;
}

/** Rows to insert and the state once they are in. `last` is the event that the reply speaks of. */
export interface Plan {
  readonly rows: readonly Row[];
  readonly newStreams: readonly NewStream[];
  readonly next: Pair;
  readonly last: StoredEvent;
}

/** What the decision needs to know of the stream that `request` names. */
export const factsOf = (stream: string, pair: Pair): StreamFacts => {
  if (isMetastream(stream)) {
    const current = pair.stream.revision === tombstoneRevision ? tombstoneRevision : pair.meta.revision;
    return { current, softDeleted: false, hasMetadata: false };
  }
  return {
    current: pair.stream.revision,
    softDeleted: isSoftDeleted(pair.settings),
    hasMetadata: pair.meta.revision >= 0n,
  };
};

const jsonEvent = (id: string, type: string, data: Uint8Array): NewEvent => ({
  id,
  type,
  json: true,
  data,
  metadata: new Uint8Array(),
});

/** Rows gathered while the heads of a pair move on. Functions over it, not closures: one is made for every append. */
interface Draft {
  readonly pair: Pair;
  readonly original: string;
  readonly numbers: Numbers;
  readonly rows: Row[];
  readonly newStreams: NewStream[];
  stream: Head;
  meta: Head;
  rawMeta: Uint8Array | undefined;
}

const intern = (draft: Draft, head: Head, name: string): number => {
  if (head.id !== 0) return head.id;
  const id = draft.numbers.streamId();
  draft.newStreams.push({ id, name });
  return id;
};

const put = (
  draft: Draft,
  stream: string,
  streamId: number,
  revision: bigint,
  event: NewEvent,
): StoredEvent => {
  const { id, type, json, data, metadata } = event;
  const { created } = draft.numbers;
  const position = draft.numbers.position();
  const stored = { id, type, json, data, metadata, position, stream, revision, created };
  draft.rows.push({ event: stored, streamId });
  return stored;
};

const putToStream = (draft: Draft, event: NewEvent, revision = draft.stream.revision + 1n): StoredEvent => {
  const id = intern(draft, draft.stream, draft.original);
  draft.stream = { id, revision };
  return put(draft, draft.original, id, revision, event);
};

const putToMeta = (draft: Draft, event: NewEvent): StoredEvent => {
  const name = metastreamOf(draft.original);
  const id = intern(draft, draft.meta, name);
  draft.meta = { id, revision: draft.meta.revision + 1n };
  draft.rawMeta = event.data;
  return put(draft, name, id, draft.meta.revision, event);
};

/** A write to a soft-deleted stream brings it back: `$tb` moves to the first new revision. */
const comeBack = (draft: Draft): void => {
  const { pair, rawMeta, numbers } = draft;
  if (!rawMeta || !isSoftDeleted(pair.settings)) return;
  const rewritten = withTruncateBefore(rawMeta, pair.stream.revision + 1n);
  if (rewritten) putToMeta(draft, jsonEvent(numbers.eventId(), '$metadata', rewritten));
};

const finish = ({ pair, rows, newStreams, stream, meta, rawMeta }: Draft, last: StoredEvent): Plan => {
  const settings = rawMeta === pair.rawMeta ? pair.settings : readSettings(rawMeta);
  return { rows, newStreams, last, next: { stream, meta, rawMeta, settings } };
};

/**
 * The rows of an accepted `request`. A write to a soft-deleted stream brings it back: its numbering goes on, and a
 * further metadata event moves `$tb` to the first new revision (StorageWriterService.SoftUndeleteStream).
 * An append must have at least one event.
 */
export const planWrite = (request: WriteRequest, pair: Pair, numbers: Numbers): Plan => {
  const { stream, meta, rawMeta } = pair;
  const original = originalOf(request.stream);
  const draft: Draft = { pair, original, numbers, rows: [], newStreams: [], stream, meta, rawMeta };
  if (request.kind === 'tombstone') {
    const nothing = new Uint8Array();
    const event = {
      id: request.eventId,
      type: '$streamDeleted',
      json: false,
      data: nothing,
      metadata: nothing,
    };
    return finish(draft, putToStream(draft, event, tombstoneRevision));
  }
  if (request.kind === 'delete')
    return finish(draft, putToMeta(draft, jsonEvent(request.eventId, '$metadata', deletedMetadata())));
  const toMeta = isMetastream(request.stream);
  let last: StoredEvent | undefined;
  for (const event of request.events) last = toMeta ? putToMeta(draft, event) : putToStream(draft, event);
  comeBack(draft);
  return finish(draft, last as StoredEvent);
};
