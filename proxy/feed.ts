/**
 * Follows the server's feed of mail verdicts for as long as the proxy runs, and reconnects whatever happens. Called by
 * instance.ts. The feed is `GET /proxy/v1/feed?after=<position>&nonce=<random>`, an endless gzip of signed lines; see receive.ts.
 */
import { randomBytes } from 'node:crypto';
import { pipeline } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { type Agent, request } from 'undici';
import type { Logger } from '../platform/log.ts';
import { longestLineBytes } from './batch.ts';
import { readLines } from './lines.ts';
import { openReceiver, type ReceiverParts } from './receive.ts';

/** Waits, in ms. */
export interface FeedTiming {
  /** Reconnect when no line came for so long; the server sends one at least every 15 s. */
  readonly silenceMs: number;
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** Retry of a registration that was refused. */
  readonly revokedRetryMs: number;
}

const defaultTiming: FeedTiming = {
  silenceMs: 45_000,
  firstRetryMs: 200,
  lastRetryMs: 10_000,
  revokedRetryMs: 15_000,
};

export interface FeedParts extends ReceiverParts {
  readonly serverUrl: URL;
  readonly agent: Agent;
  /** False: allowAnyServerCertificate; the server is told. */
  readonly verifiesServer: boolean;
  /** True once the file on disk has grown so long that a new snapshot is cheaper. */
  readonly wantsSnapshot: () => boolean;
  readonly log: Logger;
  readonly timing?: Partial<FeedTiming> | undefined;
}

/** A feed being followed. */
export interface Feed {
  readonly stop: () => Promise<void>;
}

class FeedRefused extends Error {}
class SnapshotDue extends Error {}

/** Starts to follow. */
export const followFeed = (parts: FeedParts): Feed => {
  const { known } = parts;
  const timing = { ...defaultTiming, ...parts.timing };
  const stopping = new AbortController();
  const run = async () => {
    for (let failures = 0; !stopping.signal.aborted; failures += 1) {
      const before = known.contactAt;
      const error = await followOnce(parts, timing, stopping.signal);
      known.connected = false;
      if (stopping.signal.aborted) return;
      if (known.contactAt !== before) failures = 0;
      if (error instanceof SnapshotDue) continue;
      const waitMs = waitAfter(error, timing, failures);
      const level = error instanceof FeedRefused ? 'error' : 'warn';
      parts.log[level](
        { reason: error.message, waitMs: Math.round(waitMs) },
        'the feed of verdicts is interrupted; deciding from the table',
      );
      await sleep(waitMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  };
  const running = run();
  return {
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
};

/** Full jitter over a growing bound, so that a returning server is not met by every proxy at once. */
const waitAfter = (error: Error, timing: FeedTiming, failures: number): number => {
  if (error instanceof FeedRefused) return timing.revokedRetryMs * (0.5 + Math.random() / 2);
  const { firstRetryMs, lastRetryMs } = timing;
  const bound = Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(failures, 16));
  return firstRetryMs + Math.random() * (bound - firstRetryMs);
};

const nonceBytes = 18;

const connect = async (parts: FeedParts, nonce: string, signal: AbortSignal) => {
  const { known, serverUrl, agent, verifiesServer, serverKey } = parts;
  const url = new URL(`${serverUrl.pathname.replace(/\/$/, '')}/proxy/v1/feed`, serverUrl);
  if (known.position !== null && !parts.wantsSnapshot()) url.searchParams.set('after', known.position);
  url.searchParams.set('nonce', nonce);
  const response = await request(url, {
    dispatcher: agent,
    signal,
    headers: { accept: 'application/x-ndjson', 'x-muster-server-trust': verifiesServer ? 'verified' : 'any' },
  });
  if (response.statusCode !== 200) {
    await response.body.dump();
    const refused = response.statusCode === 401 || response.statusCode === 403;
    throw refused
      ? new FeedRefused('the server does not know the certificate of this proxy; register it')
      : new Error(`the server answered ${response.statusCode}`);
  }
  serverKey.meet(String(response.headers['x-muster-feed-key'] ?? ''));
  return response.body;
};

/** One connection from start to end; answers why it ended, for it never ends well. */
const followOnce = async (parts: FeedParts, timing: FeedTiming, stopping: AbortSignal): Promise<Error> => {
  const { known, log } = parts;
  const ending = new AbortController();
  const end = () => ending.abort(new Error('the proxy stops'));
  stopping.addEventListener('abort', end, { once: true });
  const silence = setTimeout(() => ending.abort(new Error('the feed is silent')), timing.silenceMs);
  try {
    const nonce = randomBytes(nonceBytes).toString('base64url');
    const body = await connect(parts, nonce, ending.signal);
    known.connected = true;
    log.info({ after: known.position }, 'following the feed of verdicts');
    const receive = openReceiver(parts, nonce);
    const unzipped = createGunzip();
    pipeline(body, unzipped, () => {});
    let awaitsSnapshot = known.position === null || parts.wantsSnapshot();
    for await (const line of readLines(unzipped, longestLineBytes)) {
      silence.refresh();
      receive(line);
      if (!parts.wantsSnapshot()) awaitsSnapshot = false;
      else if (!awaitsSnapshot) return new SnapshotDue('the file on disk is to be written anew');
    }
    return new Error('the server ended the feed');
  } catch (error) {
    return ending.signal.aborted ? (ending.signal.reason as Error) : (error as Error);
  } finally {
    clearTimeout(silence);
    stopping.removeEventListener('abort', end);
    ending.abort(new Error('the connection is over'));
  }
};
