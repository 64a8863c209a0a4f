/**
 * The Express routes: GraphQL, feeds, health, and problems for everything else. Called by api/main.ts.
 */
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { refusals } from '../domain/refusals.ts';
import { describeCode, type ErrorCode, type FaultCode, faults, MusterError } from '../platform/errors.ts';
import type { ProjectorState } from '../projections/main.ts';
import { addAdminRoutes } from './admin/main.ts';
import { eventFeed, eventFeedRoute } from './events/feed.ts';
import { type GraphqlParts, graphqlHandlers, graphqlRoute } from './graphql/server.ts';
import { readiness } from './health.ts';
import { type MethodFault, requestIdOf, sendProblem, statusOf } from './problem.ts';
import { only, type RouteDeclaration } from './route.ts';
import { addSingleSignOnRoutes } from './sign-in/oidc/routes.ts';

export interface AppParts extends GraphqlParts {
  readonly projector: { state(): ProjectorState } | undefined;
  /** Whether the server speaks TLS. */
  readonly secure: boolean;
}

const securityHeaders =
  (secure: boolean): RequestHandler =>
  (_req, res, next) => {
    requestIdOf(res);
    res.setHeader('x-content-type-options', 'nosniff');
    res.setHeader('referrer-policy', 'no-referrer');
    res.setHeader('cross-origin-resource-policy', 'same-origin');
    res.setHeader('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
    res.setHeader('cache-control', 'no-store');
    if (secure) res.setHeader('strict-transport-security', 'max-age=31536000');
    next();
  };

/** Faults that Express and its body parser throw, by their `type` (body-parser) or `code`. */
const bodyFaults: Readonly<Record<string, FaultCode>> = {
  'charset.unsupported': 'unsupported-media-type',
  'encoding.unsupported': 'unsupported-encoding',
  'entity.parse.failed': 'invalid-json',
  'entity.too.large': 'body-too-large',
  'request.aborted': 'invalid-json',
  'request.size.invalid': 'invalid-json',
};

/** An error of Express or its body parser in the catalogue's words; anything else as it is. */
const knownFault = (error: unknown): unknown => {
  if (error instanceof MusterError || !(error instanceof Error)) return error;
  const { type, status } = error as { type?: unknown; status?: unknown };
  const code = typeof type === 'string' ? bodyFaults[type] : undefined;
  if (code) return new MusterError(code, '', { cause: error });
  if (error instanceof URIError) return new MusterError('not-found', '', { cause: error });
  // Whatever else the parser dislikes about a body, such as broken gzip, is the caller's.
  return status === 400 ? new MusterError('invalid-json', '', { cause: error }) : error;
};

const healthRoute = { methods: ['GET', 'HEAD'], path: '/healthz', access: 'public' } as const;
const readinessRoute = { methods: ['GET', 'HEAD'], path: '/readyz', access: 'public' } as const;
const errorsRoute = { methods: ['GET', 'HEAD'], path: '/errors', access: 'public' } as const;

/** What the server tells about itself. */
export const statusRoutes: readonly RouteDeclaration[] = [healthRoute, readinessRoute, errorsRoute];

const catalogue = () =>
  [...Object.keys(faults), ...Object.keys(refusals)]
    .sort()
    .map((code) => ({ code, status: statusOf(code as ErrorCode), ...describeCode(code as ErrorCode) }));

/** Makes the app. */
export const openApp = (parts: AppParts): Express => {
  const { deps, waiter, stopping, credentials, config, projector } = parts;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // One spelling per route: what stands in front of the server may tell routes apart by theirs.
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.set('query parser', 'simple');
  app.use(securityHeaders(parts.secure));
  app.all(graphqlRoute.path, ...graphqlHandlers(parts));
  app.all(eventFeedRoute.path, only(eventFeedRoute), eventFeed({ deps, credentials, config, stopping }));
  addSingleSignOnRoutes(app, parts);
  addAdminRoutes(app, { deps, credentials, config, denials: parts.denials, stopping });
  app.all(healthRoute.path, only(healthRoute), (_req, res) => void res.json({ alive: true }));
  app.all(readinessRoute.path, only(readinessRoute), async (_req, res) => {
    const found = await readiness(deps, waiter, projector);
    res.status(found.ready ? 200 : 503).json(found);
  });
  app.all(errorsRoute.path, only(errorsRoute), (_req, res) => void res.json(catalogue()));
  app.use(() => {
    throw new MusterError('not-found', '');
  });
  const fail: ErrorRequestHandler = (error, _req, res, _next) => {
    const { allow } = error as Partial<MethodFault>;
    sendProblem(res, knownFault(error), { log: deps.log, ...(allow === undefined ? {} : { allow }) });
  };
  app.use(fail);
  return app;
};
