/**
 * `/healthz` for the machine's own monitoring, on a listener of its own so that the public one shows nothing but
 * ActiveSync. Called by main.ts.
 */
import { createServer, type Server } from 'node:http';
import { isoTime } from '../platform/clock.ts';
import type { KnownVerdicts, StaleRule } from './table.ts';

/** The state of one instance; `stale`: the server has not been heard for too long, and `staleRule` says what then. */
export interface Health {
  readonly status: 'ok' | 'stale';
  readonly devices: number;
  readonly position: string | null;
  readonly connected: boolean;
  readonly lastContactAt: string | null;
  readonly stale: boolean;
  readonly staleRule: StaleRule;
  /** False: allowAnyServerCertificate is set. */
  readonly verifiesServer: boolean;
  /** Of the certificate that devices see; absent without TLS. */
  readonly certificateExpiresAt?: string;
}

/** Health as of `now` (ms since the epoch). */
export const healthOf = (
  known: KnownVerdicts,
  now: number,
  maxAgeMs: number,
  verifiesServer: boolean,
): Health => {
  const stale = known.contactAt === null || now - known.contactAt > maxAgeMs;
  return {
    status: stale ? 'stale' : 'ok',
    devices: known.table.size(),
    position: known.position,
    connected: known.connected,
    lastContactAt: known.contactAt === null ? null : isoTime(known.contactAt),
    stale,
    staleRule: known.staleRule,
    verifiesServer,
  };
};

/** The state of a proxy: the worst of its instances, and each of them by name. */
export interface ProxyHealth {
  readonly status: Health['status'];
  readonly instances: Readonly<Record<string, Health>>;
}

/** All instances together. */
export const overallHealth = (instances: readonly (readonly [string, Health])[]): ProxyHealth => ({
  status: instances.some(([, { stale }]) => stale) ? 'stale' : 'ok',
  instances: Object.fromEntries(instances),
});

const path = '/healthz';

/** What a path asks for: the whole, or one instance below it; undefined when there is no such thing. */
const healthAt = (url: string, health: ProxyHealth): ProxyHealth | Health | undefined => {
  if (url === path) return health;
  const name = url.startsWith(`${path}/`) ? url.slice(path.length + 1) : '';
  return Object.hasOwn(health.instances, name) ? health.instances[name] : undefined;
};

/**
 * A server, not listening yet, that answers 200 while every instance, or the one that is asked for, can decide, and 503
 * while it refuses everybody.
 */
export const openAdmin = (health: () => ProxyHealth): Server =>
  createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (req, res) => {
    const now = req.method === 'GET' ? healthAt(req.url ?? '', health()) : undefined;
    if (now === undefined) {
      res
        .writeHead(404, { 'content-type': 'text/plain' })
        .end('There is only GET /healthz and /healthz/<instance> here.\n');
      return;
    }
    res
      .writeHead(now.status === 'ok' ? 200 : 503, {
        'content-type': 'application/json',
        'cache-control': 'no-store',
      })
      .end(`${JSON.stringify(now)}\n`);
  });
