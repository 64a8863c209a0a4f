/**
 * Counts refusals by device, user and rule for the next report to the server: the first of a kind at once, repetitions
 * together when their window ends, and only a bounded number of kinds, so that a hostile client cannot flood the log.
 * Filled with every access entry; emptied by report.ts.
 */
import { type Clock, isoTime } from '../platform/clock.ts';
import type { AccessEntry } from './access-log.ts';

/** The same refusal `count` times between `since` and `until`. */
export interface MailDenial {
  readonly easDeviceId: string | null;
  readonly user: string | null;
  readonly rule: string;
  /** Of the first. */
  readonly reason: string;
  readonly address: string | null;
  readonly count: number;
  readonly since: string;
  readonly until: string;
}

/** What is due for a report; `others` counts refusals of kinds beyond the bound. */
export interface DueDenials {
  readonly denials: readonly MailDenial[];
  readonly others: number;
}

export interface DenialTally {
  /** Counts one entry; true when a kind was seen that is not reported yet. */
  readonly record: (entry: AccessEntry) => boolean;
  /** Takes what is due; null when nothing is. */
  readonly take: () => DueDenials | null;
  /** Every refusal since the start. */
  readonly total: () => number;
}

interface Window {
  readonly denial: Omit<MailDenial, 'count' | 'until'>;
  readonly endsAt: number;
  count: number;
  untilMs: number;
  isReported: boolean;
}

const windowMs = 600_000;
/** Kinds within a window; the server's schema has the same bound for one report. */
export const maxKinds = 100;

/** Ends of the proxy, not refusals of a device. */
const notDenials = new Set(['stopping', 'internal', 'protocol']);

/** An empty tally. */
export const openDenialTally = (clock: Clock): DenialTally => {
  const windows = new Map<string, Window>();
  let others = 0;
  let othersDueAt = 0;
  let total = 0;

  const open = (key: string, entry: AccessEntry, now: number): void => {
    const { deviceId, user, rule, reason, client } = entry;
    windows.set(key, {
      denial: {
        easDeviceId: deviceId?.slice(0, 128) ?? null,
        user: user?.slice(0, 320) ?? null,
        rule,
        reason: reason.slice(0, 500),
        address: client,
        since: isoTime(now),
      },
      endsAt: now + windowMs,
      count: 1,
      untilMs: now,
      isReported: false,
    });
  };

  return {
    total: () => total,
    record: (entry) => {
      const { decision, deviceId, user, rule } = entry;
      if (decision === 'allow') return false;
      total += 1;
      // Scanners name neither: they are in the access log and in the metrics.
      if ((deviceId === null && user === null) || notDenials.has(rule)) return false;
      const now = clock();
      const key = `${deviceId ?? ''}\n${user ?? ''}\n${rule}`;
      const known = windows.get(key);
      if (known !== undefined) {
        known.count += 1;
        known.untilMs = now;
        return false;
      }
      if (windows.size >= maxKinds) {
        others += 1;
        return false;
      }
      open(key, entry, now);
      return true;
    },
    take: () => {
      const now = clock();
      const denials: MailDenial[] = [];
      for (const [key, window] of windows) {
        const isOver = now >= window.endsAt;
        if (window.count > 0 && (isOver || !window.isReported)) {
          denials.push({ ...window.denial, count: window.count, until: isoTime(window.untilMs) });
          window.count = 0;
          window.isReported = true;
        }
        if (isOver) windows.delete(key);
      }
      const dueOthers = now >= othersDueAt ? others : 0;
      if (dueOthers > 0) {
        others = 0;
        othersDueAt = now + windowMs;
      }
      return denials.length === 0 && dueOthers === 0 ? null : { denials, others: dueOthers };
    },
  };
};
