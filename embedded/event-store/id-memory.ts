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

/** A memory of the `capacity` newest ids. */
export const openIdMemory = (capacity: number): IdMemory => {
  const places = new Map<string, Remembered>();
  return {
    find: (id, stream) => {
      const place = places.get(id);
      return place?.stream === stream ? place : undefined;
    },
    add: (id, stream, revision, position) => {
      places.delete(id);
      places.set(id, { stream, revision, position });
      if (places.size <= capacity) return;
      for (const oldest of places.keys()) {
        places.delete(oldest);
        return;
      }
    },
    forgetFrom: (position) => {
      for (const [id, place] of places) if (place.position >= position) places.delete(id);
    },
  };
};
