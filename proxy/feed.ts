/**
 * Follows the server's feed of mail verdicts for as long as the proxy runs, and reconnects whatever happens. Called by
 * instance.ts. The feed is `GET /proxy/v1/feed?after=<position>`, an endless NDJSON stream; see receive.ts for its lines.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Logger } from '../platform/log.ts';
import { readLines } from './lines.ts';
import { openReceiver, type ReceiverParts } from './receive.ts';
import { openConnector, type Trust } from './trust.ts';

/** Waits, in ms. */
export interface FeedTiming {
  /** Reconnect when no line came for so long; the server sends one at least every 15 s. */
  readonly silenceMs: number;
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** Retry of a credential that was refused. */
  readonly revokedRetryMs: number;
}

const defaultTiming: FeedTiming = {
  silenceMs: 45_000,
  firstRetryMs: 200,
  lastRetryMs: 10_000,
  revokedRetryMs: 60_000,
};

/** No verdict comes near this; a longer line is not our server. */
const maxLineBytes = 64 * 1024;

export interface FeedParts extends ReceiverParts {
  readonly serverUrl: URL;
  readonly serverToken: string;
  /** How the certificate of the server is judged. */
  readonly trust: Trust;
  readonly log: Logger;
  readonly timing?: Partial<FeedTiming> | undefined;
}

/** A feed being followed. */
export interface Feed {
  readonly stop: () => Promise<void>;
}

class FeedRefused extends Error {}

/** Starts to follow. */
export const followFeed = (parts: FeedParts): Feed => {
  const { log, known } = parts;
  const timing = { ...defaultTiming, ...parts.timing };
  const stopping = new AbortController();
  const agent = new Agent({
    headersTimeout: 15_000,
    bodyTimeout: 0,
    connect: openConnector(parts.trust),
  });
  const run = async () => {
    for (let failures = 0; !stopping.signal.aborted; failures += 1) {
      const before = known.contactAt;
      const error = await followOnce(parts, timing, agent, stopping.signal);
      known.connected = false;
      if (stopping.signal.aborted) return;
      if (known.contactAt !== before) failures = 0;
      const waitMs =
        error instanceof FeedRefused
          ? timing.revokedRetryMs * (0.5 + Math.random() / 2)
          : jitter(timing, failures);
      const level = error instanceof FeedRefused ? 'error' : 'warn';
      log[level](
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
      await agent.destroy();
    },
  };
};

/** Full jitter over a growing bound, so that a returning server is not met by every proxy at once. */
const jitter = ({ firstRetryMs, lastRetryMs }: FeedTiming, failures: number): number => {
  const bound = Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(failures, 16));
  return firstRetryMs + Math.random() * (bound - firstRetryMs);
};

/** One connection from start to end; answers why it ended, for it never ends well. */
const followOnce = async (
  parts: FeedParts,
  timing: FeedTiming,
  agent: Agent,
  stopping: AbortSignal,
): Promise<Error> => {
  const { known, serverUrl, serverToken, log } = parts;
  const ending = new AbortController();
  const end = () => ending.abort(new Error('the proxy stops'));
  stopping.addEventListener('abort', end, { once: true });
  const silence = setTimeout(() => ending.abort(new Error('the feed is silent')), timing.silenceMs);
  try {
    const url = new URL(`${serverUrl.pathname.replace(/\/$/, '')}/proxy/v1/feed`, serverUrl);
    if (known.position !== null) url.searchParams.set('after', known.position);
    const response = await request(url, {
      dispatcher: agent,
      signal: ending.signal,
      headers: { authorization: `Bearer ${serverToken}`, accept: 'application/x-ndjson' },
    });
    if (response.statusCode !== 200) {
      await response.body.dump();
      const refused = response.statusCode === 401 || response.statusCode === 403;
      return refused
        ? new FeedRefused('the server refused the credential of this proxy')
        : new Error(`the server answered ${response.statusCode}`);
    }
    known.connected = true;
    log.info({ after: known.position }, 'following the feed of verdicts');
    const receive = openReceiver(parts);
    for await (const line of readLines(response.body, maxLineBytes)) {
      silence.refresh();
      receive(line);
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
