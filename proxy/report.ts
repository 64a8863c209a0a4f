/**
 * Tells the server every few seconds how this proxy is and whom it refused: `POST /proxy/v1/status`, with the feed's
 * certificate. Opened by operations.ts for each instance. A report that fails is sent again with the same id, so that
 * nothing is recorded twice.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Agent, request } from 'undici';
import type { Logger } from '../platform/log.ts';
import type { DenialTally, DueDenials } from './denial-tally.ts';
import type { MailSighting } from './sightings.ts';

/** The state of one proxy as it tells it. Times are ISO 8601, UTC. */
export interface ProxyReport {
  readonly version: string;
  /** Whether it shares the process of the server. */
  readonly internal: boolean;
  readonly startedAt: string;
  readonly position: string | null;
  /** Seconds since the server last confirmed the verdicts; null: never. */
  readonly lagSeconds: number | null;
  readonly connected: boolean;
  readonly stale: boolean;
  readonly devices: number;
  readonly heldRequests: number;
  /** Refusals since the proxy started. */
  readonly denials: number;
  readonly certificateExpiresAt: string | null;
}

export interface ReporterParts {
  readonly serverUrl: URL;
  readonly agent: Agent;
  readonly state: () => ProxyReport;
  readonly tally: DenialTally;
  /** Takes what was seen since the last report. */
  readonly takeSightings: () => readonly MailSighting[];
  readonly log: Logger;
  readonly timing?: Partial<ReportTiming> | undefined;
}

/** Waits, in ms. */
export interface ReportTiming {
  readonly everyMs: number;
  /** After a refusal of a new kind, so that it is known soon and a burst is one report. */
  readonly soonMs: number;
}

export interface Reporter {
  /** Sends the next report soon. */
  readonly soon: () => void;
  /** Sends what is due, once, and ends. */
  readonly stop: () => Promise<void>;
}

/** How long the end of the proxy waits for its last report. */
const lastReportMs = 2_000;

const defaultTiming: ReportTiming = { everyMs: 15_000, soonMs: 1_000 };

type Batch = DueDenials & { readonly reportId: string; readonly sightings: readonly MailSighting[] };

/** Starts to report. */
export const openReporter = (parts: ReporterParts): Reporter => {
  const { serverUrl, agent, state, tally, takeSightings, log } = parts;
  const { everyMs, soonMs } = { ...defaultTiming, ...parts.timing };
  const url = new URL(`${serverUrl.pathname.replace(/\/$/, '')}/proxy/v1/status`, serverUrl);
  let unsent: Batch | null = null;
  let isFailing = false;
  let sending: Promise<void> = Promise.resolve();

  const send = async (): Promise<void> => {
    if (unsent === null) {
      const due = tally.take() ?? { denials: [], others: 0 };
      unsent = { ...due, sightings: takeSightings(), reportId: randomUUID() };
    }
    const { reportId, denials, others, sightings } = unsent;
    const response = await request(url, {
      method: 'POST',
      dispatcher: agent,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ reportId, state: state(), denials, others, sightings }),
      headersTimeout: 10_000,
      bodyTimeout: 10_000,
    });
    await response.body.dump();
    // It will never take this one; the next may be better.
    if (response.statusCode === 413 || response.statusCode === 422) unsent = null;
    if (response.statusCode >= 300) throw new Error(`the server answered ${response.statusCode}`);
    unsent = null;
  };

  const attempt = async (): Promise<void> => {
    try {
      await send();
      isFailing = false;
    } catch (error) {
      // The feed says loudly that the server is away; once is enough here.
      if (!isFailing)
        log.warn({ reason: (error as Error).message }, 'the server takes no report of this proxy');
      isFailing = true;
    }
  };
  const next = (): void => {
    sending = sending.then(attempt);
  };

  let early: NodeJS.Timeout | null = null;
  const every = setInterval(next, everyMs);
  every.unref();
  next();
  return {
    soon: () => {
      if (early !== null || isFailing) return;
      early = setTimeout(() => {
        early = null;
        next();
      }, soonMs);
      early.unref();
    },
    stop: async () => {
      clearInterval(every);
      if (early !== null) clearTimeout(early);
      if (!isFailing) next();
      const bound = new AbortController();
      const enough = sleep(lastReportMs, undefined, { signal: bound.signal }).catch(() => {});
      await Promise.race([sending, enough]);
      bound.abort();
    },
  };
};
