/**
 * How an HTTP route declares what it needs of its caller: beside the route itself, all of them gathered in routes.ts.
 * Called by whatever has routes; the matrix in docs/reference/permissions.md is generated from it.
 */
import type { RequestHandler } from 'express';
import type { Permission } from '../domain/account/permissions.ts';
import { methodNotAllowed } from './problem.ts';

/**
 * `public`: anybody. `perField`: anybody, each field of GraphQL asks for itself. `enrolmentCode`: anybody with a code
 * in the body. `device`: with the token of one, and nobody else. `proxy`: with the certificate of one, on the listener for
 * proxies, and nobody else. Else the permissions that are needed, all of them.
 */
export type RouteAccess =
  | 'public'
  | 'perField'
  | 'enrolmentCode'
  | 'device'
  | 'proxy'
  | readonly [Permission, ...Permission[]];

/** One route. */
export interface RouteDeclaration {
  readonly methods: readonly ('GET' | 'HEAD' | 'POST')[];
  /** With Express's `:id`. */
  readonly path: string;
  readonly access: RouteAccess;
}

/** Refuses every method but those a route has. */
export const only =
  ({ methods }: Pick<RouteDeclaration, 'methods'>): RequestHandler =>
  (req, _res, next) => {
    if ((methods as readonly string[]).includes(req.method)) return next();
    throw methodNotAllowed(...methods);
  };
