/**
 * `/graphql`: admits requests, identifies the account and hands over to GraphQL Yoga. Called by api/main.ts.
 */
import express, { type RequestHandler } from 'express';
import { GraphQLError } from 'graphql';
import { createYoga } from 'graphql-yoga';
import { MusterError } from '../../platform/errors.ts';
import { addressOf } from '../address.ts';
import { bearerToken } from '../credentials.ts';
import { identify } from '../identify/index.ts';
import { methodNotAllowed, requestIdOf } from '../problem.ts';
import type { RouteDeclaration } from '../route.ts';
import { browserOf, tokenOf } from '../sign-in/browser.ts';
import type { ApiContext } from './context.ts';
import { documentById } from './documents.ts';
import { documentLimits } from './limits.ts';
import { musterPlugin } from './plugin.ts';
import { schema } from './schema.ts';

/** What is the same for every request. */
export type GraphqlParts = Omit<ApiContext, 'requestId' | 'address' | 'browser' | 'credential'> & {
  /** Whether browsers are shown GraphiQL. */
  readonly graphiql: boolean;
};

/** Where it is; what a caller needs, each field says for itself. */
export const graphqlRoute = {
  methods: ['POST'],
  path: '/graphql',
  access: 'perField',
} as const satisfies RouteDeclaration;

const bodyBytes = 1_000_000;
/** Levels of JSON in a body: deeper than any input of the schema. */
const bodyDepth = 32;

/** Throws `body-too-deep`; walks level by level, so that no depth can exhaust the stack. */
const refuseDeep = (body: unknown): void => {
  let level: unknown[] = [body];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > bodyDepth) throw new MusterError('body-too-deep', `at most ${bodyDepth} levels`);
    level = level.flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.values(value as object) : [],
    );
  }
};

/** The body with the document that its `documentId` names; throws when there is none, or two documents are given. */
const withOwnDocument = (body: object): object => {
  const { documentId, ...rest } = body as { documentId?: unknown; query?: unknown };
  if (documentId === undefined) return body;
  if (rest.query !== undefined)
    throw new MusterError('invalid-input', 'give a document or the id of one', { field: 'documentId' });
  const query = typeof documentId === 'string' ? documentById.get(documentId) : undefined;
  if (query === undefined)
    throw new MusterError('document-unknown', `no document of this server has that id`, {
      field: 'documentId',
    });
  return { ...rest, query };
};

/** The request to run; throws what is wrong with a body, as far as Yoga would not say it in our words. */
const readBody = (body: unknown, ownOnly: boolean): object => {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new MusterError('invalid-input', 'one GraphQL request as a JSON object is needed');
  refuseDeep(body);
  if (ownOnly && !('documentId' in body))
    throw new MusterError('document-not-own', 'a session kept as a cookie runs our own documents alone', {
      field: 'query',
    });
  const request = withOwnDocument(body);
  const { query } = request as { query?: unknown };
  if (typeof query !== 'string' || query === '')
    throw new MusterError('invalid-input', 'a GraphQL document is needed', { field: 'query' });
  if (query.length > documentLimits.characters)
    throw new MusterError('query-too-complex', `at most ${documentLimits.characters} characters`, {
      field: 'query',
    });
  return request;
};

const graphiqlPolicy =
  "default-src 'self' 'unsafe-inline' 'unsafe-eval' https://unpkg.com https://esm.sh data: blob:; connect-src 'self'";

/** The handlers of `/graphql`, in order. Only JSON is taken, so that no form of another site can post here. */
export const graphqlHandlers = (parts: GraphqlParts): RequestHandler[] => {
  const { graphiql, ...shared } = parts;
  const yoga = createYoga<ApiContext>({
    schema,
    graphqlEndpoint: graphqlRoute.path,
    graphiql: graphiql ? { title: 'Muster', subscriptionsProtocol: 'SSE' } : false,
    landingPage: false,
    logging: false,
    cors: false,
    batching: false,
    multipart: false,
    plugins: [musterPlugin],
    maskedErrors: {
      maskError: (error) =>
        error instanceof GraphQLError ? error : new GraphQLError('Something went wrong'),
    },
  });
  return [
    (req, res, next) => {
      const page = graphiql && req.method === 'GET' && (req.get('accept') ?? '').includes('text/html');
      if (page) res.setHeader('content-security-policy', graphiqlPolicy);
      if (!page && req.method !== 'POST') throw methodNotAllowed(...(graphiql ? ['POST', 'GET'] : ['POST']));
      if (req.method === 'POST' && !req.is('application/json'))
        throw new MusterError('unsupported-media-type', 'send application/json');
      next();
    },
    express.json({ limit: bodyBytes, type: 'application/json' }),
    async (req, res) => {
      const { publicUrl, trustedProxies, graphqlDocuments } = shared.config;
      const browser = browserOf(req, res, publicUrl);
      const address = addressOf(req, trustedProxies);
      const bearer = bearerToken(req);
      const token = tokenOf(bearer, browser);
      const byCookie = bearer === undefined && token !== undefined;
      if (req.method === 'POST') req.body = readBody(req.body, byCookie && graphqlDocuments === 'own');
      const credential = await identify(shared.deps, shared.credentials, { token, address });
      await yoga(req, res, {
        ...shared,
        requestId: requestIdOf(res),
        address,
        browser,
        credential,
      } as never);
    },
  ];
};
