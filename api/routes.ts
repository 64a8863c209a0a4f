/**
 * Every HTTP route of the server with what it needs of its caller; those for proxies are on a listener of their own. Called by docs/generate.ts and by the tests that
 * hold the routes in service, and their answers to every kind of caller, against it.
 */
import { adminRoutes } from './admin/main.ts';
import { statusRoutes } from './app.ts';
import { deviceRouteTable } from './device/main.ts';
import { eventFeedRoute } from './events/feed.ts';
import { graphqlRoute } from './graphql/server.ts';
import { proxyAskRoute } from './proxy/ask.ts';
import { proxyFeedRoute } from './proxy/feed.ts';
import { proxyStatusRoute } from './proxy/status.ts';
import type { RouteDeclaration } from './route.ts';
import { singleSignOnRoutes } from './sign-in/oidc/routes.ts';

export const routes: readonly RouteDeclaration[] = [
  graphqlRoute,
  ...adminRoutes,
  eventFeedRoute,
  proxyFeedRoute,
  proxyAskRoute,
  proxyStatusRoute,
  ...deviceRouteTable,
  ...singleSignOnRoutes,
  ...statusRoutes,
];
