/**
 * `GET /proxy/v1/feed`: mail verdicts of one tenant for its EAS proxies: everything first, then every change as soon as
 * it is projected. Called by api/proxy/main.ts; its other end is proxy/feed.ts.
 *
 * An endless gzip of lines, each a batch of verdicts in JSON behind its signature (platform/signed-line.ts). A batch names
 * the connection (`nonce`), its number in it and the position it follows, so that none can be left out, repeated or be of
 * another time; docs/proxy-feed.md has every field.
 */
import type { KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import { publicHalf, signLine } from '../../platform/signed-line.ts';
import type { ProjectionWaiter } from '../../projections/await.ts';
import { type MailVerdictRow, mailVerdictsSince } from '../../projections/mail.ts';
import { streamCheckMs } from '../credentials.ts';
import { followRows } from '../follow.ts';
import { type IdentifiedProxy, identifyProxy } from '../identify/proxy.ts';
import type { RouteDeclaration } from '../route.ts';
import { openStream } from '../stream.ts';
import { compressed } from './compress.ts';

export interface ProxyFeedParts {
  readonly deps: Deps;
  readonly waiter: ProjectionWaiter;
  readonly stopping: AbortSignal;
  readonly signingKey: KeyObject;
  /** Pause without news after which the position is sent; tests choose a shorter one. */
  readonly heartbeatMs?: number;
  /** How often the registration is looked at again besides whenever the log goes on. */
  readonly checkMs?: number;
}

/** Where it is on the listener for proxies, and what its caller needs. */
export const proxyFeedRoute = {
  methods: ['GET'],
  path: '/proxy/v1/feed',
  access: 'proxy',
} as const satisfies RouteDeclaration;

/** The contract promises a batch every 15 s. */
const defaultHeartbeatMs = 10_000;
const rowsAtOnce = 500;
/** A reason is one or a few sentences; the contract ends them here. */
const longestReason = 1_000;

/** A verdict as it is sent: an array, for names would be half of it. */
export const verdictRow = (row: MailVerdictRow) => [
  row.deviceId,
  row.easDeviceId,
  row.userEmail,
  row.access === 'allow' ? 1 : row.wipePending ? 2 : 0,
  row.reason.slice(0, longestReason),
  Number(row.changedPosition),
];

/** What a proxy asks for: `after` is undefined when it knows nothing yet. */
const wishOf = (req: IncomingMessage): { after: bigint | undefined; nonce: string } => {
  const query = new URL(req.url ?? '', 'https://muster').searchParams;
  const [after, nonce] = [query.get('after'), query.get('nonce')];
  if (after !== null && !/^\d{1,19}$/.test(after))
    throw new MusterError('invalid-input', 'is not a position', { field: 'after' });
  if (nonce === null || !/^[\w-]{16,64}$/.test(nonce))
    throw new MusterError('invalid-input', 'must be 16 to 64 characters of base64url', { field: 'nonce' });
  return { after: after === null ? undefined : BigInt(after), nonce };
};

const notNegative = (position: bigint): string => (position < 0n ? 0n : position).toString();

/** Numbers and signs the batches of one connection. */
const openBatches = (
  { deps, signingKey }: ProxyFeedParts,
  nonce: string,
  current: () => IdentifiedProxy,
  write: (text: string) => Promise<void>,
) => {
  let seq = 0;
  return (batch: {
    readonly from: bigint | null;
    readonly position: bigint;
    readonly rows: readonly MailVerdictRow[];
    readonly snapshot?: 'part' | 'last';
    readonly reset?: boolean;
  }): Promise<void> => {
    const { from, position, rows, ...rest } = batch;
    const { tenantId, staleMailRule, unknownMailDevices } = current();
    const text = JSON.stringify({
      tenantId,
      nonce,
      seq,
      from: from === null ? null : notNegative(from),
      position: notNegative(position),
      at: deps.clock(),
      staleRule: staleMailRule,
      learns: unknownMailDevices !== 'refuse',
      ...rest,
      verdicts: rows.map(verdictRow),
    });
    seq += 1;
    return write(`${signLine(signingKey, text)}\n`);
  };
};

type Send = ReturnType<typeof openBatches>;

/** Sends every verdict there is; answers the position that leaves the proxy at. */
const sendSnapshot = async (
  { deps }: ProxyFeedParts,
  { tenantId }: IdentifiedProxy,
  send: Send,
  reset: boolean,
  signal: AbortSignal,
): Promise<bigint> => {
  let position = -1n;
  while (!signal.aborted) {
    const rows = await mailVerdictsSince(deps.sql, tenantId, position, rowsAtOnce);
    position = rows.at(-1)?.changedPosition ?? position;
    const snapshot = rows.length < rowsAtOnce ? 'last' : 'part';
    await send({ from: null, position, rows, snapshot, ...(reset ? { reset } : {}) });
    if (snapshot === 'last') break;
  }
  return position;
};

/** Serves the feed to an identified proxy until either side leaves or the registration ends. */
export const serveFeed = async (
  parts: ProxyFeedParts,
  proxy: IdentifiedProxy,
  certificateSha256: string,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> => {
  const { deps, waiter, stopping, heartbeatMs = defaultHeartbeatMs, checkMs = streamCheckMs } = parts;
  const { after, nonce } = wishOf(req);
  const { tenantId, proxyId } = proxy;
  let current = proxy;
  // A position that the log has not reached is of another log: a backup was restored, and all begins anew.
  const reset = after !== undefined && after > (await deps.store.lastPosition());
  res.setHeader('content-encoding', 'gzip');
  res.setHeader('x-muster-feed-key', publicHalf(parts.signingKey));
  const stream = openStream(res, 'application/x-ndjson', stopping);
  const { write, close } = compressed(stream);
  const send = openBatches(parts, nonce, () => current, write);
  deps.log.info({ tenantId, proxyId, after: after?.toString() ?? null, reset }, 'proxy follows its feed');
  try {
    let from = after ?? -1n;
    if (after === undefined || reset) from = await sendSnapshot(parts, proxy, send, reset, stream.signal);
    else await send({ from, position: from, rows: [] });
    for await (const { rows, position } of followRows<MailVerdictRow>({
      waiter,
      read: (since) => mailVerdictsSince(deps.sql, tenantId, since, rowsAtOnce),
      positionOf: (row) => row.changedPosition,
      after: from,
      allowed: async () => {
        const found = await identifyProxy(deps, certificateSha256);
        if (found?.proxyId !== proxyId || found.tenantId !== tenantId) return false;
        current = found;
        return true;
      },
      checkMs,
      checkOnAdvance: true,
      heartbeatMs,
      signal: stream.signal,
    })) {
      await send({ from, position, rows });
      from = position;
    }
  } catch (err) {
    deps.log.warn({ err, tenantId, proxyId }, 'the feed of a proxy broke');
  } finally {
    close();
    stream.end();
    deps.log.info({ tenantId, proxyId }, 'proxy left its feed');
  }
};
