/**
 * Health, readiness, metrics and explanations for those who run the proxy, on a listener of its own so that the public
 * one shows nothing but ActiveSync. Called by main.ts.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { isoTime } from '../platform/clock.ts';
import type { ExplainInput, Explanation } from './explain.ts';
import type { Metrics } from './metrics.ts';
import type { KnownVerdicts } from './table.ts';

/** The state of a proxy; `stale` means that nobody is allowed until the server has been heard again. */
export interface Health {
  readonly status: 'ok' | 'stale';
  readonly devices: number;
  readonly position: string | null;
  readonly connected: boolean;
  readonly lastContactAt: string | null;
  readonly stale: boolean;
}

/** Health as of `now` (ms since the epoch). */
export const healthOf = (known: KnownVerdicts, now: number, maxAgeMs: number): Health => {
  const stale = known.contactAt === null || now - known.contactAt > maxAgeMs;
  return {
    status: stale ? 'stale' : 'ok',
    devices: known.table.size(),
    position: known.position,
    connected: known.connected,
    lastContactAt: known.contactAt === null ? null : isoTime(known.contactAt),
    stale,
  };
};

/** What the listener answers from. */
export interface AdminParts {
  readonly health: () => Health;
  readonly readiness: () => Readiness;
  readonly metrics: Pick<Metrics, 'expose'>;
  /** Undefined: there is no such instance. */
  readonly explain: (instance: string | null, input: ExplainInput) => Explanation | undefined;
}

/** Whether to send phones here, and per instance why not. */
export interface Readiness {
  readonly ready: boolean;
  readonly instances: readonly {
    readonly instance: string;
    readonly ready: boolean;
    readonly reasons: readonly string[];
  }[];
}

type Answer = (res: ServerResponse, query: URLSearchParams) => void | Promise<void>;

const json = (res: ServerResponse, status: number, body: unknown): void => {
  res
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(`${JSON.stringify(body)}\n`);
};

const routesOf = ({ health, readiness, metrics, explain }: AdminParts): Readonly<Record<string, Answer>> => ({
  '/healthz': (res) => {
    const now = health();
    json(res, now.stale ? 503 : 200, now);
  },
  '/livez': (res) => json(res, 200, { alive: true }),
  '/readyz': (res) => {
    const now = readiness();
    json(res, now.ready ? 200 : 503, now);
  },
  '/metrics': async (res) => {
    const { text, contentType } = await metrics.expose();
    res.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' }).end(text);
  },
  '/explain': (res, query) => {
    const deviceId = query.get('deviceId');
    const user = query.get('user');
    if (deviceId === null || user === null) return json(res, 400, { error: 'deviceId and user are needed' });
    const optional = (name: string) => query.get(name) ?? undefined;
    const explanation = explain(query.get('instance'), {
      deviceId,
      user,
      command: optional('command'),
      deviceType: optional('deviceType'),
      userAgent: optional('userAgent'),
    });
    if (explanation === undefined) return json(res, 404, { error: 'there is no such instance' });
    json(res, 200, explanation);
  },
});

/** A server, not listening yet, for those who run the proxy: health, readiness, metrics and explanations. */
export const openAdmin = (parts: AdminParts): Server => {
  const routes = routesOf(parts);
  return createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (req, res) => {
    const [path = '', query = ''] = (req.url ?? '').split('?', 2);
    const answer = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (req.method !== 'GET' || answer === undefined) {
      const known = Object.keys(routes).join(', ');
      res.writeHead(404, { 'content-type': 'text/plain' }).end(`There is only GET of ${known} here.\n`);
      return;
    }
    Promise.resolve(answer(res, new URLSearchParams(query))).catch(() => res.destroy());
  });
};

/** Why an instance should get no phones; empty when it should. */
export const unreadyReasons = (health: Health, draining: boolean): readonly string[] => {
  const reasons: string[] = [];
  if (draining) reasons.push('draining');
  if (health.lastContactAt === null) reasons.push('no-verdicts');
  else if (health.stale) reasons.push('stale');
  return reasons;
};
