/**
 * First sights of devices that nobody knows, for the tenant's quarantine. A sight counts only once the mail server has
 * answered 2xx to the client's credential, which is asked beside the refusal, by an OPTIONS of the proxy's own: nothing of
 * the client's request but the credential is in it, no mail is in its answer, and the client never hears of it. Told by
 * gate.ts; emptied by report.ts.
 *
 * Whoever asks without a password must not make the proxy guess for them or lock an account: a user is tried a few times
 * in half an hour, below what directories lock after, addresses and the whole are bounded too, and what was answered for a
 * user and id is believed for a while.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Dispatcher } from 'undici';
import { type Clock, isoTime } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { localPart } from '../platform/mail-user.ts';
import { easPath } from './eas.ts';
import { openTally } from './rate.ts';
import type { KnownVerdicts } from './table.ts';

/** A device as it showed itself. Times are ISO 8601, UTC. */
export interface MailSighting {
  readonly easDeviceId: string;
  readonly deviceType: string | null;
  readonly user: string;
  readonly userAgent: string | null;
  readonly address: string | null;
  readonly at: string;
}

/** A refused request of an unknown device; never throws, never waits. */
export type Sight = (seen: Omit<MailSighting, 'at'> & { readonly authorization: string }) => void;

export interface Sightings {
  readonly sight: Sight;
  /** Takes what was seen since the last time, at most as much as the server takes at once. */
  readonly take: () => readonly MailSighting[];
  /** Waits for what is being asked. */
  readonly stop: () => Promise<void>;
}

export interface SightingParts {
  readonly known: Pick<KnownVerdicts, 'learns'>;
  readonly mailServer: Pick<Dispatcher, 'request'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of each new sighting. */
  readonly onSighting: () => void;
}

const windowMs = 30 * 60_000;
const perWindow = { user: 3, address: 20, all: 300 } as const;
const dayMs = 24 * 60 * 60_000;
/** Devices that one user may show in a day, whatever he calls himself. */
const perDay = 10;
/** How long a mail server is believed that it takes everybody, or that it does not. */
const openMs = 10 * 60_000;
const mostAtOnce = 8;
const timeoutMs = 10_000;
/** A sighting is told again after this, in case it was settled otherwise meanwhile; a refused credential after the window. */
const againMs = 60 * 60_000;
const mostRemembered = 10_000;
/** The server's schema has the same bound for one report. */
const mostInReport = 50;

const bindable = /^[0-9A-Za-z]{1,64}$/;

/** Text as the log takes it: one line, bounded; null when nothing is left. */
const plain = (text: string | null, most: number): string | null =>
  text?.replace(/\p{C}/gu, '').trim().slice(0, most) || null;

/** Opens them, empty. */
export const openSightings = ({ known, mailServer, clock, log, onSighting }: SightingParts): Sightings => {
  const mayTry = openTally(clock, windowMs);
  const mayShow = openTally(clock, dayMs);
  let takesAnybody = { is: false, until: Number.NEGATIVE_INFINITY };
  /** When a pair of user and id may be tried again. */
  const nextAt = new LRUCache<string, number>({ max: mostRemembered });
  const waiting = new Map<string, MailSighting>();
  const running = new Set<Promise<void>>();
  const stopping = new AbortController();

  const isOk = async (headers: Record<string, string>): Promise<boolean> => {
    const { statusCode, body } = await mailServer.request({
      method: 'OPTIONS',
      path: easPath,
      headers,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      signal: stopping.signal,
    });
    await body.dump();
    return statusCode >= 200 && statusCode < 300;
  };

  /** Where nobody is asked for a password, a password that was taken proves nothing. */
  const isTaken = async (authorization: string): Promise<boolean> => {
    if (!(await isOk({ authorization }))) return false;
    if (clock() >= takesAnybody.until) takesAnybody = { is: await isOk({}), until: clock() + openMs };
    return !takesAnybody.is;
  };

  const look = async (pair: string, sighting: MailSighting, authorization: string): Promise<void> => {
    try {
      if (!(await isTaken(authorization))) return;
    } catch (err) {
      if (!stopping.signal.aborted) log.debug({ err }, 'the mail server could not be asked about a sighting');
      return;
    }
    nextAt.set(pair, clock() + againMs);
    if (waiting.size >= mostInReport || !mayShow(localPart(sighting.user), perDay)) return;
    waiting.set(pair, sighting);
    onSighting();
  };

  return {
    sight: ({ authorization, ...seen }) => {
      if (!known.learns || !bindable.test(seen.easDeviceId) || stopping.signal.aborted) return;
      // Not the names themselves: a digest is short, whatever somebody calls himself.
      const pair = createHash('sha256').update(`${seen.user}\n${seen.easDeviceId}`).digest('base64url');
      const now = clock();
      if (now < (nextAt.get(pair) ?? 0) || running.size >= mostAtOnce) return;
      const allowed =
        mayTry(`address ${seen.address}`, perWindow.address) &&
        // However the name is spelt, it is one account that guesses would lock.
        mayTry(`user ${localPart(seen.user)}`, perWindow.user) &&
        mayTry('all', perWindow.all);
      if (!allowed) return;
      nextAt.set(pair, now + windowMs);
      const sighting: MailSighting = {
        ...seen,
        deviceType: plain(seen.deviceType, 64),
        userAgent: plain(seen.userAgent, 200),
        at: isoTime(now),
      };
      const looking: Promise<void> = look(pair, sighting, authorization).finally(() =>
        running.delete(looking),
      );
      running.add(looking);
    },
    take: () => {
      const taken = [...waiting.values()];
      waiting.clear();
      return taken;
    },
    stop: async () => {
      stopping.abort();
      await Promise.all(running);
    },
  };
};
