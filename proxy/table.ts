/**
 * The verdicts in memory: which EAS device id belongs to whom, and whether it may have mail. Written by receive.ts, read
 * by gate.ts for every request. Packed (table-records.ts, table-index.ts): a million devices are no million objects.
 */
import { localPart } from '../platform/mail-user.ts';
import { canonicalEasId } from './eas.ts';
import { packDeviceId } from './table-ids.ts';
import { hashOf, type Index, openIndex } from './table-index.ts';
import { openReasons } from './table-reasons.ts';
import { openRecords, type Span } from './table-records.ts';

/** What the feed says of one device; `deviceId` is Muster's id. */
export interface Verdict {
  readonly deviceId: string;
  readonly easDeviceId: string | null;
  readonly userEmail: string | null;
  readonly access: 'allow' | 'deny';
  /** Set when mail is denied while a wipe of the device is pending: the order must still reach it. */
  readonly wipePending?: boolean;
  readonly reason: string;
  /** Position in the server's log of the fact behind this verdict. */
  readonly position: number;
}

type Access = Pick<Verdict, 'access' | 'wipePending'>;
const denied: Access = { access: 'deny' };

/** What the feed's code of an access means, by code. */
export const accesses: readonly Access[] = [
  denied,
  { access: 'allow' },
  { access: 'deny', wipePending: true },
];

const accessCode = ({ access, wipePending }: Access): number =>
  access === 'allow' ? 1 : wipePending === true ? 2 : 0;

/** One generation of the table; a snapshot makes a new one. All ids are canonical. */
export interface Table {
  /** Stores a verdict unless a newer one of the device is known; answers the EAS ids whose decisions may have changed. */
  readonly upsert: (verdict: Verdict) => readonly string[];
  /** Forgets a device; answers the EAS ids concerned. */
  readonly remove: (deviceId: string) => readonly string[];
  /** The devices under the first of these EAS ids that is known; usually one, more after a re-enrolment. */
  readonly find: (easIds: readonly string[]) => readonly Verdict[];
  /** Devices whose user could be the one with this name; the caller compares the whole name. */
  readonly ofUser: (user: string) => readonly Verdict[];
  readonly verdicts: () => IterableIterator<Verdict>;
  readonly size: () => number;
  /** Memory of the packed structures, bytes; reasons not counted. */
  readonly sizeBytes: () => number;
}

const same = ([bytes, from, to]: Span, key: Uint8Array): boolean => {
  if (to - from !== key.length) return false;
  for (let at = 0; at < key.length; at += 1) if (bytes[from + at] !== key[at]) return false;
  return true;
};

const backslash = 92;
const atSign = 64;

/** The local part within the bytes of an address; the same as localPart does with text. */
const localSpan = ([bytes, from, to]: Span): Span => {
  let start = from;
  for (let at = from; at < to; at += 1) if (bytes[at] === backslash) start = at + 1;
  let end = start;
  while (end < to && bytes[end] !== atSign) end += 1;
  return [bytes, start, end];
};

const canonical = (given: Verdict): Verdict => ({
  ...given,
  easDeviceId: given.easDeviceId === null ? null : canonicalEasId(given.easDeviceId),
  userEmail: given.userEmail === null ? null : given.userEmail.normalize('NFC').trim().toLowerCase(),
});

/** An empty table. */
export const openTable = (): Table => {
  const records = openRecords();
  const reasons = openReasons();
  const indexBy = (spanOf: (address: number) => Span): Index & { readonly spanOf: typeof spanOf } => ({
    spanOf,
    ...openIndex({
      hashOf: (address) => hashOf(...spanOf(address)),
      hasKey: (address, key) => same(spanOf(address), key),
    }),
  });
  const byDevice = indexBy(records.deviceSpan);
  const byEasId = indexBy(records.easSpan);
  const byUser = indexBy((address) => localSpan(records.userSpan(address)));
  let size = 0;

  const eachIndex = (address: number, act: (index: Index, hash: number) => void): void => {
    for (const index of [byDevice, byEasId, byUser]) {
      const [bytes, from, to] = index.spanOf(address);
      if (from < to) act(index, hashOf(bytes, from, to));
    }
  };
  const read = (address: number): Verdict => {
    const meta = records.meta(address);
    const { deviceId, easDeviceId, userEmail } = records.fields(address);
    const { access, wipePending } = accesses[meta & 3] ?? denied;
    const reason = reasons.text(meta >>> 2);
    const position = records.position(address);
    // Written out: this is made for every request, and spreading objects costs more than the look-up.
    const verdict = { deviceId, easDeviceId, userEmail, access, reason, position };
    return wipePending === undefined ? verdict : { ...verdict, wipePending };
  };
  const empty = (chunk: number): void => {
    for (const address of records.inChunk(chunk)) {
      if (!records.isLive(address)) continue;
      const moved = records.move(address);
      eachIndex(moved, (index, hash) => index.replace(hash, address, moved));
    }
    records.free(chunk);
  };
  const drop = (address: number): void => {
    eachIndex(address, (index, hash) => index.remove(hash, address));
    reasons.release(records.meta(address) >>> 2);
    const worthEmptying = records.kill(address);
    if (worthEmptying >= 0) empty(worthEmptying);
    size -= 1;
  };
  const addressOf = (deviceId: string): number => {
    const key = packDeviceId(deviceId);
    return byDevice.first(hashOf(key), key);
  };
  const metaOf = (verdict: Verdict): number => reasons.hold(verdict.reason) * 4 + accessCode(verdict);
  const store = (verdict: Verdict): void => {
    const address = records.add(verdict, metaOf(verdict), verdict.position);
    eachIndex(address, (index, hash) => index.add(hash, address));
    size += 1;
  };

  return {
    upsert: (given) => {
      const address = addressOf(given.deviceId);
      const verdict = canonical(given);
      if (address === 0) {
        store(verdict);
        return verdict.easDeviceId === null ? [] : [verdict.easDeviceId];
      }
      // After a reconnect the server repeats a little: an older fact must not undo a newer one even for a moment.
      if (verdict.position < records.position(address)) return [];
      const old = records.fields(address);
      if (old.easDeviceId === verdict.easDeviceId && old.userEmail === verdict.userEmail) {
        const meta = metaOf(verdict);
        reasons.release(records.meta(address) >>> 2);
        records.write(address, meta, verdict.position);
      } else {
        drop(address);
        store(verdict);
      }
      return [old.easDeviceId, verdict.easDeviceId].filter((id) => id !== null);
    },
    remove: (deviceId) => {
      const address = addressOf(deviceId);
      if (address === 0) return [];
      const { easDeviceId } = records.fields(address);
      drop(address);
      return easDeviceId === null ? [] : [easDeviceId];
    },
    find: (easIds) => {
      for (const easId of easIds) {
        const key = Buffer.from(easId, 'utf8');
        const found = key.length === 0 ? [] : byEasId.find(hashOf(key), key);
        if (found.length > 0) return found.map(read);
      }
      return [];
    },
    ofUser: (user) => {
      const key = Buffer.from(localPart(user), 'utf8');
      return key.length === 0 ? [] : byUser.find(hashOf(key), key).map(read);
    },
    *verdicts() {
      for (let chunk = 0; chunk < records.chunks(); chunk += 1)
        for (const address of records.inChunk(chunk)) if (records.isLive(address)) yield read(address);
    },
    size: () => size,
    sizeBytes: () => records.sizeBytes() + byDevice.sizeBytes() + byEasId.sizeBytes() + byUser.sizeBytes(),
  };
};

/** The table in use and how fresh it is. One record, made in main.ts; changed only by receive.ts and feed.ts. */
export interface KnownVerdicts {
  table: Table;
  /** Whose verdicts these are; null before anything was heard. */
  tenantId: string | null;
  /** Where to resume the feed; null starts with a snapshot. */
  position: string | null;
  /** When the server last confirmed the table, ms since the epoch; null when it never did. */
  contactAt: number | null;
  connected: boolean;
  /** What the tenant wants once the verdicts are older than they may be: nobody, or who was allowed last. */
  staleRule: StaleRule;
  /** Whether the tenant wants to hear of devices that nobody knows. */
  learns: boolean;
}

export type StaleRule = 'deny' | 'allow-known';

/** Before anything was heard. */
export const nothingKnown = (): KnownVerdicts => ({
  table: openTable(),
  tenantId: null,
  position: null,
  contactAt: null,
  connected: false,
  staleRule: 'deny',
  learns: false,
});
