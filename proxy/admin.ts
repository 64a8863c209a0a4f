/**
 * Health, readiness, metrics and explanations for those who run the proxy, on a listener of its own so that the public
 * one shows nothing but ActiveSync. Called by main.ts.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { isoTime } from '../platform/clock.ts';
import type { ExplainInput, Explanation } from './explain.ts';
import type { Metrics } from './metrics.ts';
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
  /** Whether it is about to stop: it serves on, or finishes what it has. */
  readonly draining: boolean;
  /** Of the certificate that devices see; absent without TLS. */
  readonly certificateExpiresAt?: string;
}

/** Health as of `now` (ms since the epoch). */
export const healthOf = (
  known: KnownVerdicts,
  now: number,
  maxAgeMs: number,
  verifiesServer: boolean,
): Omit<Health, 'draining'> => {
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

/** Whether nobody is allowed for want of verdicts that are fresh enough; the rule itself is rules/stale.ts. */
export const deniesAll = ({ stale, staleRule, lastContactAt }: Health): boolean =>
  stale && (staleRule === 'deny' || lastContactAt === null);

/** The state of a proxy: the worst of its instances, and each of them by name. */
export interface ProxyHealth {
  readonly status: Health['status'];
  readonly draining: boolean;
  readonly instances: Readonly<Record<string, Health>>;
}

/** All instances together. */
export const overallHealth = (instances: readonly (readonly [string, Health])[]): ProxyHealth => ({
  status: instances.some(([, { stale }]) => stale) ? 'stale' : 'ok',
  draining: instances.some(([, { draining }]) => draining),
  instances: Object.fromEntries(instances),
});

/** What the listener answers from. */
export interface AdminParts {
  readonly health: () => ProxyHealth;
  readonly readiness: () => Readiness;
  readonly metrics: Pick<Metrics, 'expose'>;
  /** Undefined: there is no such instance. Null asks for the only one. */
  readonly explain: (instance: string | null, input: ExplainInput) => Explanation | undefined;
  /** Settles when no request is left. */
  readonly drain: () => Promise<void>;
}

/** Whether to send phones to an instance, and why not. */
export interface InstanceReadiness {
  readonly instance: string;
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

/** Whether to send phones here: to every instance. */
export interface Readiness {
  readonly ready: boolean;
  readonly instances: readonly InstanceReadiness[];
}

/** An answer; `instance` is what the path says after its name, null when it says nothing. */
type Answer = (res: ServerResponse, query: URLSearchParams, instance: string | null) => void | Promise<void>;

const json = (res: ServerResponse, status: number, body: unknown): void => {
  res
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(`${JSON.stringify(body)}\n`);
};

const noSuchInstance = (res: ServerResponse, instances: ProxyHealth['instances']): void =>
  json(res, 404, { error: `instance must be one of ${Object.keys(instances).join(', ')}` });

const routesOf = ({ health, readiness, metrics, explain }: AdminParts): Readonly<Record<string, Answer>> => ({
  '/healthz': (res, _query, instance) => {
    const all = health();
    const { instances } = all;
    if (instance !== null && !Object.hasOwn(instances, instance)) return noSuchInstance(res, instances);
    const now = instance === null ? all : (instances[instance] as Health);
    json(res, now.status === 'ok' ? 200 : 503, now);
  },
  '/livez': (res) => json(res, 200, { alive: true }),
  '/readyz': (res, _query, instance) => {
    const all = readiness();
    const now = instance === null ? all : all.instances.find((one) => one.instance === instance);
    if (now === undefined) return noSuchInstance(res, health().instances);
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
      certificate: optional('certificate'),
    });
    if (explanation === undefined) return noSuchInstance(res, health().instances);
    json(res, 200, explanation);
  },
});

/** Paths about one instance: its name follows. */
const perInstance = /^(\/healthz|\/readyz)\/([^/]+)$/;

/** A server, not listening yet, for those who run the proxy: health, readiness, metrics and explanations. */
export const openAdmin = (parts: AdminParts): Server => {
  const routes = routesOf(parts);
  return createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (req, res) => {
    const [path = '', query = ''] = (req.url ?? '').split('?', 2);
    const [, name = path, instance = null] = perInstance.exec(path) ?? [];
    if (req.method === 'POST' && path === '/drain') {
      // Browsers say where a POST comes from: a web page must not stop the proxy of whoever looks at it.
      if (req.headers.origin !== undefined) return json(res, 403, { error: 'not from a web page' });
      void parts.drain().then(() => json(res, 200, { drained: true }));
      return;
    }
    const answer = Object.hasOwn(routes, name) ? routes[name] : undefined;
    if (req.method !== 'GET' || answer === undefined) {
      const known = Object.keys(routes).join(', ');
      res
        .writeHead(404, { 'content-type': 'text/plain' })
        .end(`There is only GET of ${known} and POST of /drain here.\n`);
      return;
    }
    Promise.resolve(answer(res, new URLSearchParams(query), instance)).catch(() => res.destroy());
  });
};

/** Whether an instance should get phones, and why not. */
export const readinessOf = (instance: string, health: Health): InstanceReadiness => {
  const reasons: string[] = [];
  if (health.draining) reasons.push('draining');
  if (health.lastContactAt === null) reasons.push('no-verdicts');
  else if (deniesAll(health)) reasons.push('stale');
  return { instance, ready: reasons.length === 0, reasons };
};
