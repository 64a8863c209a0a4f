/**
 * Remembers where recent event ids are, for idempotent retries under a loose expected version.
 * Bounded, as on the real server: an id older than the memory counts as new. Used by the writer alone.
 */
import type { Place } from './expected.ts';

interface Remembered extends Place {
  readonly stream: string;
}

/** The memory. Ids may repeat in different streams; the newest place wins, as on the real server. */
export interface IdMemory {
  find(id: string, stream: string): Place | undefined;
  add(id: string, stream: string, revision: bigint, position: bigint): void;
  /** Forgets everything at or after `position`: what was accepted but never became durable. */
  forgetFrom(position: bigint): void;
}

interface Turn {
  readonly id: string;
  readonly position: bigint;
}

/** A memory of the `capacity` newest ids. */
export const openIdMemory = (capacity: number): IdMemory => {
  const places = new Map<string, Remembered>();
  // Who leaves next is kept apart: the first key of a Map whose first entries were deleted is found by walking over them.
  const turns: (Turn | undefined)[] = new Array(capacity);
  let next = 0;
  return {
    find: (id, stream) => {
      const place = places.get(id);
      return place?.stream === stream ? place : undefined;
    },
    add: (id, stream, revision, position) => {
      const oldest = turns[next];
      if (oldest && places.get(oldest.id)?.position === oldest.position) places.delete(oldest.id);
      turns[next] = { id, position };
      next = (next + 1) % capacity;
      places.set(id, { stream, revision, position });
    },
    forgetFrom: (position) => {
      for (const [id, place] of places) if (place.position >= position) places.delete(id);
    },
  };
};
