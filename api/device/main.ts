/**
 * The device protocol: routes everything under `/device/v1/` on a bare node:http server, without a framework, since
 * check-ins are what the server does most. Called by api/main.ts before its other routes.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerConfig } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import { methodNotAllowed, sendProblem } from '../problem.ts';
import type { RouteDeclaration } from '../route.ts';
import type { Answer } from './answer.ts';
import { bodyLimits } from './body.ts';
import { enrol } from './enrol.ts';
import { openApiDocument } from './openapi.ts';
import { sync } from './sync.ts';
import { openThrottle } from './throttle.ts';

/**
 * How many requests of each kind are worked on at once; one more is told to come again (503, Retry-After). A body
 * counts once per `shareBytes` that it may hold, so that the limits bound memory too.
 */
export const inFlightLimits = { checkIns: 1024, enrolments: 128 } as const;
export type InFlightLimits = { readonly [Key in keyof typeof inFlightLimits]: number };

const shareBytes = 65_536;

/** ms after which a device that was turned away may come again. */
const comeAgainMs = 5000;

/** What api/main.ts mounts: `handle` answers true when the request was one for it. */
export interface DeviceRoutes {
  handle(req: IncomingMessage, res: ServerResponse): Promise<boolean>;
  /** The OpenAPI 3.1 document of the routes. */
  readonly openApi: object;
}

interface Route {
  readonly method: (typeof deviceRouteTable)[number]['methods'][0];
  readonly limit: number;
  readonly run: (req: IncomingMessage) => Promise<Answer>;
  inFlight: number;
}

const prefix = '/device/v1/';

/** Every route, and what its caller needs. */
export const deviceRouteTable = [
  { methods: ['POST'], path: '/device/v1/sync', access: 'device' },
  { methods: ['POST'], path: '/device/v1/enroll', access: 'enrolmentCode' },
  { methods: ['GET'], path: '/device/v1/openapi.json', access: 'public' },
] as const satisfies readonly RouteDeclaration[];

const sendJson = (res: ServerResponse, status: number, body: unknown): void => {
  const text = JSON.stringify(body);
  res.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  res.end(text);
};

/** Bytes that the client says it sends; as many as it may when it does not say. */
const declaredBytes = (req: IncomingMessage): number =>
  Number(req.headers['content-length'] ?? (req.headers['transfer-encoding'] ? bodyLimits.sizeBytes : 0));

/** How much of a route's limit a request takes. One refused for its size is refused before it is kept. */
const weightOf = (req: IncomingMessage): number =>
  Math.max(1, Math.ceil(Math.min(declaredBytes(req), bodyLimits.sizeBytes) / shareBytes));

/** Answers with a problem. */
type Fail = (res: ServerResponse, error: unknown, allow?: string) => void;

/** Runs a route and writes its answer, whatever it is. */
const answer = async (route: Route, req: IncomingMessage, res: ServerResponse, fail: Fail): Promise<void> => {
  const weight = weightOf(req);
  // A large body still passes an idle server whose limit is smaller than its weight.
  if (route.inFlight > 0 && route.inFlight + weight > route.limit)
    return fail(
      res,
      new MusterError('too-busy', 'too many requests are in flight', { retryAfterMs: comeAgainMs }),
    );
  route.inFlight += weight;
  try {
    const answered = await route.run(req);
    if ('refusal' in answered) fail(res, answered.refusal);
    else sendJson(res, answered.status, answered.body);
  } catch (error) {
    // Node discards the rest of a refused body, which for a huge or endless one costs more than the connection.
    if (!req.complete && (req.headers['transfer-encoding'] || declaredBytes(req) > 8 * bodyLimits.sizeBytes))
      res.shouldKeepAlive = false;
    fail(res, error);
  } finally {
    route.inFlight -= weight;
  }
};

/** Makes the routes; `limits` bound the requests in flight. */
export const deviceRoutes = (
  config: ServerConfig,
  deps: Deps,
  limits: InFlightLimits = inFlightLimits,
): DeviceRoutes => {
  const throttle = openThrottle(deps.clock);
  const { log } = deps;
  const fail: Fail = (res, error, allow) => {
    const retryAfterMs = error instanceof MusterError ? error.retryAfterMs : undefined;
    sendProblem(res, error, {
      log,
      ...(allow === undefined ? {} : { allow }),
      ...(retryAfterMs === undefined ? {} : { retryAfterSeconds: Math.ceil(retryAfterMs / 1000) }),
    });
  };
  const description: Answer = { status: 200, body: openApiDocument };
  const work: Readonly<Record<(typeof deviceRouteTable)[number]['path'], Pick<Route, 'limit' | 'run'>>> = {
    '/device/v1/sync': { limit: limits.checkIns, run: (req) => sync(req, config, deps) },
    '/device/v1/enroll': { limit: limits.enrolments, run: (req) => enrol(req, config, deps, throttle) },
    '/device/v1/openapi.json': { limit: Number.POSITIVE_INFINITY, run: async () => description },
  };
  const routes: ReadonlyMap<string, Route> = new Map(
    deviceRouteTable.map(({ methods: [method], path }) => [path, { method, ...work[path], inFlight: 0 }]),
  );
  return {
    openApi: openApiDocument,
    async handle(req, res) {
      const url = req.url ?? '';
      if (!url.startsWith(prefix)) return false;
      const query = url.indexOf('?');
      const found = routes.get(query === -1 ? url : url.slice(0, query));
      if (!found) fail(res, new MusterError('not-found', 'no such device route'));
      else if (req.method !== found.method) fail(res, methodNotAllowed(found.method), found.method);
      else await answer(found, req, res, fail);
      return true;
    },
  };
};
