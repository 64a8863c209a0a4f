/**
 * `/healthz` for the machine's own monitoring, on a listener of its own so that the public one shows nothing but
 * ActiveSync. Called by main.ts.
 */
import { createServer, type Server } from 'node:http';
import { isoTime } from '../platform/clock.ts';
import type { KnownVerdicts, StaleRule } from './table.ts';

/** The state of a proxy; `stale`: the server has not been heard for too long, and `staleRule` says what then. */
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

/** A server, not listening yet, that answers 200 while the proxy can decide and 503 while it refuses everybody. */
export const openAdmin = (health: () => Health): Server =>
  createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (req, res) => {
    if (req.method !== 'GET' || req.url !== '/healthz') {
      res.writeHead(404, { 'content-type': 'text/plain' }).end('There is only GET /healthz here.\n');
      return;
    }
    const now = health();
    res
      .writeHead(now.stale ? 503 : 200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      .end(`${JSON.stringify(now)}\n`);
  });
