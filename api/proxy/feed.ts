/**
 * `GET /proxy/v1/feed`: mail verdicts of one tenant for its EAS proxies, as endless NDJSON: everything first, then
 * every change as soon as it is projected. Called by api/main.ts; its other end is proxy/feed.ts.
 */
import type { Request, Response } from 'express';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import type { ProjectionWaiter } from '../../projections/await.ts';
import { type MailVerdictRow, mailVerdictsSince } from '../../projections/mail.ts';
import { bearerToken, type ProxyCredential, streamCheckMs } from '../credentials.ts';
import { followRows } from '../follow.ts';
import { identifyProxy } from '../identify/proxy.ts';
import type { RouteDeclaration } from '../route.ts';
import { type OpenStream, openStream } from '../stream.ts';

export interface ProxyFeedParts {
  readonly deps: Deps;
  readonly waiter: ProjectionWaiter;
  readonly stopping: AbortSignal;
  /** Pause without news after which the position is sent; tests choose a shorter one. */
  readonly heartbeatMs?: number;
  /** How often the credential is looked at again. */
  readonly checkMs?: number;
}

/** Where it is, and what its caller needs. */
export const proxyFeedRoute = {
  methods: ['GET'],
  path: '/proxy/v1/feed',
  access: 'proxy',
} as const satisfies RouteDeclaration;

/** The contract promises a line every 15 s. */
const defaultHeartbeatMs = 10_000;
const rowsAtOnce = 500;
/** A reason is one or a few sentences; the contract ends them here. */
const longestReason = 4000;

const line = (value: object): string => `${JSON.stringify(value)}\n`;

const verdictLine = ({ deviceId, easDeviceId, userEmail, access, reason, changedPosition }: MailVerdictRow) =>
  line({
    kind: 'verdict',
    deviceId,
    easDeviceId,
    userEmail,
    access,
    reason: reason.slice(0, longestReason),
    position: changedPosition.toString(),
  });

const positionLine = (position: bigint): string =>
  line({ kind: 'position', position: (position < 0n ? 0n : position).toString() });

/** The position after which the proxy knows nothing yet; undefined when it asks for a snapshot. */
const afterOf = (req: Request): bigint | undefined => {
  const { after } = req.query;
  if (after === undefined) return undefined;
  if (typeof after !== 'string' || !/^\d{1,19}$/.test(after))
    throw new MusterError('invalid-input', 'is not a position', { field: 'after' });
  return BigInt(after);
};

/** Whether what the proxy knows belongs to this log: a position that it has not reached is another log's. */
const resumable = async (deps: Deps, after: bigint | undefined): Promise<boolean> =>
  after !== undefined && after <= (await deps.store.lastPosition());

/** Sends every verdict there is, and where that leaves the proxy. */
const sendSnapshot = async (deps: Deps, { tenantId }: ProxyCredential, stream: OpenStream) => {
  await stream.write(line({ kind: 'snapshot' }));
  let position = -1n;
  while (!stream.signal.aborted) {
    const rows = await mailVerdictsSince(deps.sql, tenantId, position, rowsAtOnce);
    if (rows.length === 0) break;
    position = rows.at(-1)?.changedPosition ?? position;
    await stream.write(rows.map(verdictLine).join(''));
  }
  return position;
};

const sameProxy = (a: ProxyCredential, b: ProxyCredential | null): boolean =>
  b !== null && a.tenantId === b.tenantId && a.proxyId === b.proxyId;

/** The handler. The tenant is the credential's: nothing in the request can name another. */
export const proxyFeed =
  ({ deps, waiter, stopping, heartbeatMs = defaultHeartbeatMs, checkMs = streamCheckMs }: ProxyFeedParts) =>
  async (req: Request, res: Response): Promise<void> => {
    const token = bearerToken(req);
    const credential = await identifyProxy(deps, token);
    if (!credential) throw new MusterError('unauthenticated', 'a proxy token is needed');
    const { tenantId, proxyId } = credential;
    const after = afterOf(req);
    const resumes = await resumable(deps, after);
    const stream = openStream(res, 'application/x-ndjson', stopping);
    deps.log.info({ tenantId, proxyId, resumes }, 'proxy follows its feed');
    try {
      const from = resumes && after !== undefined ? after : await sendSnapshot(deps, credential, stream);
      await stream.write(positionLine(from));
      for await (const { rows, position } of followRows<MailVerdictRow>({
        waiter,
        read: (since) => mailVerdictsSince(deps.sql, tenantId, since, rowsAtOnce),
        positionOf: (row) => row.changedPosition,
        after: from,
        allowed: async () => sameProxy(credential, await identifyProxy(deps, token)),
        checkMs,
        heartbeatMs,
        signal: stream.signal,
      })) {
        await stream.write(rows.map(verdictLine).join('') + positionLine(position));
      }
    } catch (err) {
      deps.log.warn({ err, tenantId, proxyId }, 'the feed of a proxy broke');
    } finally {
      stream.end();
      deps.log.info({ tenantId, proxyId }, 'proxy left its feed');
    }
  };
