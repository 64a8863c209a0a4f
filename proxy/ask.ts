/**
 * Asks the server about an EAS id that the table does not know, once: a phone that has just enrolled works at once. Called
 * by gate.ts before an unknown device is refused. The server is `POST /proxy/v1/ask`; its answer is signed as the feed is.
 *
 * Ids and user names come from anybody, so questions are few however many are wanted: one per id at a time, a bounded
 * number per user, per address and in all, and a "no" is believed for a while.
 */
import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Agent, request } from 'undici';
import { z } from 'zod';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { openLine } from '../platform/signed-line.ts';
import { fill, verdictRow } from './batch.ts';
import { openTally } from './rate.ts';
import type { ServerKey } from './server-key.ts';
import type { KnownVerdicts } from './table.ts';

/** Answers whether the table may know more now; never throws. */
export type Ask = (
  easIds: readonly string[],
  who: { readonly user: string | null; readonly address: string },
) => Promise<boolean>;

export interface AskParts {
  readonly known: KnownVerdicts;
  readonly serverUrl: URL;
  readonly serverKey: ServerKey;
  readonly agent: Agent;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onVerdicts: (easIds: readonly string[]) => void;
}

const answer = z.object({
  tenantId: z.string(),
  nonce: z.string(),
  verdicts: z.array(verdictRow).max(100),
});

const timeoutMs = 3_000;
/** A "no" is believed for this long; so is a server that could not be reached. */
const noMs = 10_000;
const unreachableMs = 5_000;
const windowMs = 60_000;
const perWindow = { user: 6, address: 60, all: 600 } as const;
const mostAtOnce = 32;
const mostRemembered = 10_000;
const longestAnswerBytes = 256 * 1024;

/** Opens the questioner. */
export const openAsk = (parts: AskParts): Ask => {
  const { clock, log, known } = parts;
  const refused = new LRUCache<string, number>({ max: mostRemembered });
  const running = new Map<string, Promise<boolean>>();
  const mayAsk = openTally(clock, windowMs);
  let unreachableSince = Number.NEGATIVE_INFINITY;

  const ask = async (easIds: readonly string[], name: string): Promise<boolean> => {
    try {
      const changed = await askOnce(parts, easIds);
      if (changed.length === 0) refused.set(name, clock());
      else parts.onVerdicts(changed);
      return changed.length > 0;
    } catch (err) {
      unreachableSince = clock();
      log.warn({ err }, 'the server could not be asked about an unknown device');
      return false;
    }
  };

  return async (easIds, { user, address }) => {
    const name = easIds.join('\n');
    const now = clock();
    if (name === '' || known.tenantId === null || now - unreachableSince < unreachableMs) return false;
    if (now - (refused.get(name) ?? Number.NEGATIVE_INFINITY) < noMs) return false;
    const asked = running.get(name);
    if (asked !== undefined) return asked;
    const allowed =
      running.size < mostAtOnce &&
      mayAsk(`address ${address}`, perWindow.address) &&
      mayAsk(`user ${user}`, perWindow.user) &&
      mayAsk('all', perWindow.all);
    if (!allowed) return false;
    const question = ask(easIds, name).finally(() => running.delete(name));
    running.set(name, question);
    return question;
  };
};

/** Asks, checks, fills the table; answers the EAS ids that changed. */
const askOnce = async (
  { known, serverUrl, serverKey, agent }: AskParts,
  easDeviceIds: readonly string[],
): Promise<readonly string[]> => {
  const nonce = randomBytes(18).toString('base64url');
  const url = new URL(`${serverUrl.pathname.replace(/\/$/, '')}/proxy/v1/ask`, serverUrl);
  const response = await request(url, {
    dispatcher: agent,
    method: 'POST',
    signal: AbortSignal.timeout(timeoutMs),
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ easDeviceIds: easDeviceIds.slice(0, 4), nonce }),
  });
  if (response.statusCode !== 200) {
    await response.body.dump();
    throw new Error(`the server answered ${response.statusCode}`);
  }
  if (Number(response.headers['content-length'] ?? 0) > longestAnswerBytes)
    throw new Error('the answer is too long');
  const key = serverKey.key();
  const text = key === null ? null : openLine(key, await response.body.text());
  if (text === null) throw new Error('the answer is not signed by the server');
  const told = answer.parse(JSON.parse(text));
  if (told.nonce !== nonce || told.tenantId !== known.tenantId)
    throw new Error('the answer is to another question');
  return fill(known.table, told.verdicts);
};
