/**
 * The verdicts in memory: which EAS device id belongs to whom, and whether it may have mail. Written by feed.ts,
 * persisted by state-file.ts, read by gate.ts for every request.
 */
import { localPart } from './credential.ts';
import { canonicalEasId } from './eas.ts';

/** What the feed says of one device; `deviceId` is Muster's id. */
export interface Verdict {
  readonly deviceId: string;
  readonly easDeviceId: string | null;
  readonly userEmail: string | null;
  readonly access: 'allow' | 'deny';
  readonly reason: string;
  /** Position in the server's log of the fact behind this verdict. */
  readonly position: number;
}

/** One generation of the table; a snapshot makes a new one. All ids are canonical. */
export interface Table {
  /** Stores a verdict unless a newer one of the device is known; answers the EAS ids whose decisions may have changed. */
  readonly upsert: (verdict: Verdict) => readonly string[];
  /** The devices under the first of these EAS ids that is known; usually one, more after a re-enrolment. */
  readonly find: (easIds: readonly string[]) => readonly Verdict[];
  /** Devices whose user could be the one with this name; the caller compares the whole name. */
  readonly ofUser: (user: string) => readonly Verdict[];
  readonly verdicts: () => IterableIterator<Verdict>;
  readonly size: () => number;
}

/** Most keys have one device: a bare value costs a tenth of an array. */
type Bucket = Map<string, Verdict | Verdict[]>;

const add = (bucket: Bucket, key: string, verdict: Verdict): void => {
  const found = bucket.get(key);
  bucket.set(key, found === undefined ? verdict : [...(Array.isArray(found) ? found : [found]), verdict]);
};

const remove = (bucket: Bucket, key: string, verdict: Verdict): void => {
  const found = bucket.get(key);
  const rest = (Array.isArray(found) ? found : found ? [found] : []).filter((other) => other !== verdict);
  const [only] = rest;
  if (only === undefined) bucket.delete(key);
  else bucket.set(key, rest.length === 1 ? only : rest);
};

const read = (bucket: Bucket, key: string): readonly Verdict[] => {
  const found = bucket.get(key);
  return found === undefined ? [] : Array.isArray(found) ? found : [found];
};

/** An empty table. */
export const openTable = (): Table => {
  const byDevice = new Map<string, Verdict>();
  const byEasId: Bucket = new Map();
  const byUser: Bucket = new Map();
  const reasons = new Map<string, string>();

  const index = (verdict: Verdict, change: typeof add): void => {
    if (verdict.easDeviceId !== null) change(byEasId, verdict.easDeviceId, verdict);
    if (verdict.userEmail !== null) change(byUser, localPart(verdict.userEmail), verdict);
  };

  /** Fleets share a handful of reasons: keep one copy of each text. */
  const intern = (reason: string): string => {
    const known = reasons.get(reason);
    if (known !== undefined) return known;
    if (reasons.size >= 10_000) reasons.clear();
    reasons.set(reason, reason);
    return reason;
  };

  return {
    upsert: (given) => {
      const old = byDevice.get(given.deviceId);
      // After a reconnect the server repeats a little: an older fact must not undo a newer one even for a moment.
      if (old !== undefined && given.position < old.position) return [];
      const verdict: Verdict = {
        ...given,
        easDeviceId: given.easDeviceId === null ? null : canonicalEasId(given.easDeviceId),
        userEmail: given.userEmail === null ? null : given.userEmail.normalize('NFC').trim().toLowerCase(),
        reason: intern(given.reason),
      };
      if (old !== undefined) index(old, remove);
      byDevice.set(verdict.deviceId, verdict);
      index(verdict, add);
      return [old?.easDeviceId ?? null, verdict.easDeviceId].filter((id) => id !== null);
    },
    find: (easIds) => {
      for (const easId of easIds) {
        const found = read(byEasId, easId);
        if (found.length > 0) return found;
      }
      return [];
    },
    ofUser: (user) => read(byUser, localPart(user)),
    verdicts: () => byDevice.values(),
    size: () => byDevice.size,
  };
};

/** The table in use and how fresh it is. One record, made in main.ts; changed only by feed.ts. */
export interface KnownVerdicts {
  table: Table;
  /** Where to resume the feed; null starts with a snapshot. */
  position: string | null;
  /** When the server last confirmed the table, ms since the epoch; null when it never did. */
  contactAt: number | null;
  connected: boolean;
}
