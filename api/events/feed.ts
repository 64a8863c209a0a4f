/**
 * `GET /events/v1/feed`: a tenant's events for integrators, as server-sent events (HTML Living Standard §9.2), from
 * now on or after `Last-Event-ID`. Called by api/main.ts.
 */
import type { Request, Response } from 'express';
import { categories } from '../../domain/events.ts';
import type { ServerConfig } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import type { StoredEvent } from '../../platform/event-store.ts';
import { auditRowOf } from '../../projections/audit.ts';
import { addressOf } from '../address.ts';
import { bearerToken, type Credential, type Credentials, streamCheckMs } from '../credentials.ts';
import { accessFault } from '../graphql/scopes.ts';
import { identify } from '../identify/index.ts';
import type { RouteDeclaration } from '../route.ts';
import { browserOf, tokenOf } from '../sign-in/browser.ts';
import { type OpenStream, openStream } from '../stream.ts';

export interface EventFeedParts {
  readonly deps: Deps;
  readonly credentials: Credentials;
  readonly config: Pick<ServerConfig, 'publicUrl' | 'trustedProxies'>;
  readonly stopping: AbortSignal;
}

/** Where it is, and what its caller needs: again and again while it lasts. */
export const eventFeedRoute = {
  methods: ['GET'],
  path: '/events/v1/feed',
  access: ['audit.read'],
} as const satisfies RouteDeclaration;
const [needed] = eventFeedRoute.access;

/** A comment line at least this often, so that both sides notice a broken connection. */
const heartbeatMs = 15_000;
/** Each feed reads the log for itself: more of them would slow down everybody. */
const feedsAtOnce = { total: 64, perTenant: 4 } as const;
const eventsAtOnce = 200;

/** Position after which events are wanted; undefined: from now on. */
const lastEventId = (req: Request): bigint | undefined => {
  const given = req.get('last-event-id');
  if (given === undefined || given === '') return undefined;
  if (!/^\d{1,19}$/.test(given))
    throw new MusterError('invalid-input', 'is not an id of this feed', { field: 'Last-Event-ID' });
  return BigInt(given);
};

/** A position that the log has not reached is of a log that was replaced: waiting for it would skip what comes before. */
const requireReached = (afterPosition: bigint, lastPosition: bigint): void => {
  if (afterPosition <= lastPosition) return;
  throw new MusterError(
    'position-beyond-log',
    `${afterPosition} was asked for, the log ends at ${lastPosition}`,
    {
      field: 'Last-Event-ID',
    },
  );
};

/** One event as sent: the audit trail's shape, without secrets. */
const message = (event: StoredEvent): string => {
  const row = auditRowOf(event);
  const data = JSON.stringify({ ...row, position: row.position.toString() });
  return `id: ${row.position}\nevent: ${row.type}\ndata: ${data}\n\n`;
};

const sendEvents = async (
  deps: Deps,
  { tenantId }: Credential,
  afterPosition: bigint,
  stream: OpenStream,
): Promise<void> => {
  const batches = deps.store.follow({
    afterPosition,
    categories,
    maxBatch: eventsAtOnce,
    signal: stream.signal,
  });
  for await (const { events } of batches) {
    // `follow` may tell the event at `afterPosition` again.
    const wanted = events.filter((event) => event.tenantId === tenantId && event.position > afterPosition);
    if (wanted.length > 0) await stream.write(wanted.map(message).join(''));
  }
};

/** Counts the feeds that are open, in all and per tenant. */
const openCounter = () => {
  const open = new Map<string, number>();
  let total = 0;
  return {
    take(tenantId: string): void {
      const own = open.get(tenantId) ?? 0;
      if (total >= feedsAtOnce.total || own >= feedsAtOnce.perTenant)
        throw new MusterError('too-busy', `at most ${feedsAtOnce.perTenant} feeds of a tenant at once`);
      open.set(tenantId, own + 1);
      total += 1;
    },
    give(tenantId: string): void {
      const own = (open.get(tenantId) ?? 1) - 1;
      if (own === 0) open.delete(tenantId);
      else open.set(tenantId, own);
      total -= 1;
    },
  };
};

/** The handler. The tenant is the credential's: nothing in the request can name another. */
export const eventFeed = ({ deps, credentials, config, stopping }: EventFeedParts) => {
  const counter = openCounter();
  return async (req: Request, res: Response): Promise<void> => {
    const caller = {
      token: tokenOf(bearerToken(req), browserOf(req, res, config.publicUrl)),
      address: addressOf(req, config.trustedProxies),
    };
    const credential = await identify(deps, credentials, caller);
    const fault = accessFault(credential, needed);
    if (fault || !credential) throw fault ?? new MusterError('unauthenticated', 'sign in first');
    const { tenantId } = credential;
    const lastPosition = await deps.store.lastPosition();
    const afterPosition = lastEventId(req) ?? lastPosition;
    requireReached(afterPosition, lastPosition);
    counter.take(tenantId);
    const stream = openStream(res, 'text/event-stream', stopping);
    const heartbeat = setInterval(() => void stream.write(': \n\n'), heartbeatMs);
    const check = setInterval(async () => {
      const still = await identify(deps, credentials, caller, { use: false }).catch(() => null);
      if (accessFault(still, needed)) stream.end();
    }, streamCheckMs);
    try {
      await stream.write(': following\n\n');
      await sendEvents(deps, credential, afterPosition, stream);
    } catch (err) {
      deps.log.warn({ err, tenantId }, 'a feed of events broke');
    } finally {
      clearInterval(heartbeat);
      clearInterval(check);
      counter.give(tenantId);
      stream.end();
    }
  };
};
