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

/** What a client asks for. */
export type WriteRequest =
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
    };

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

/** Gathers rows while the heads of a pair move on. */
const openDraft = (pair: Pair, original: string, numbers: Numbers) => {
  const rows: Row[] = [];
  const newStreams: NewStream[] = [];
  let { stream, meta, rawMeta } = pair;

  const intern = (head: Head, name: string): Head => {
    if (head.id !== 0) return head;
    const id = numbers.streamId();
    newStreams.push({ id, name });
    return { id, revision: head.revision };
  };
  const put = (name: string, streamId: number, revision: bigint, event: NewEvent): StoredEvent => {
    const stored = {
      ...event,
      position: numbers.position(),
      stream: name,
      revision,
      created: numbers.created,
    };
    rows.push({ event: stored, streamId });
    return stored;
  };

  return {
    toStream: (event: NewEvent, revision = stream.revision + 1n): StoredEvent => {
      stream = { id: intern(stream, original).id, revision };
      return put(original, stream.id, revision, event);
    },
    toMeta: (event: NewEvent): StoredEvent => {
      const name = metastreamOf(original);
      meta = { id: intern(meta, name).id, revision: meta.revision + 1n };
      rawMeta = event.data;
      return put(name, meta.id, meta.revision, event);
    },
    rawMeta: () => rawMeta,
    finish: (last: StoredEvent): Plan => ({
      rows,
      newStreams,
      last,
      next: {
        stream,
        meta,
        rawMeta,
        settings: rawMeta === pair.rawMeta ? pair.settings : readSettings(rawMeta),
      },
    }),
  };
};

/**
 * The rows of an accepted `request`. A write to a soft-deleted stream brings it back: its numbering goes on, and a
 * further metadata event moves `$tb` to the first new revision (StorageWriterService.SoftUndeleteStream).
 * An append must have at least one event.
 */
export const planWrite = (request: WriteRequest, pair: Pair, numbers: Numbers): Plan => {
  const original = originalOf(request.stream);
  const draft = openDraft(pair, original, numbers);
  const comeBack = (): void => {
    const raw = draft.rawMeta();
    const rewritten =
      raw && isSoftDeleted(pair.settings) ? withTruncateBefore(raw, pair.stream.revision + 1n) : undefined;
    if (rewritten) draft.toMeta(jsonEvent(numbers.eventId(), '$metadata', rewritten));
  };
  if (request.kind === 'tombstone') {
    const event = {
      id: request.eventId,
      type: '$streamDeleted',
      json: false,
      data: new Uint8Array(),
      metadata: new Uint8Array(),
    };
    return draft.finish(draft.toStream(event, tombstoneRevision));
  }
  if (request.kind === 'delete') {
    return draft.finish(draft.toMeta(jsonEvent(request.eventId, '$metadata', deletedMetadata())));
  }
  const put = isMetastream(request.stream) ? draft.toMeta : (event: NewEvent) => draft.toStream(event);
  let last: StoredEvent | undefined;
  for (const event of request.events) last = put(event);
  comeBack();
  return draft.finish(last as StoredEvent);
};
