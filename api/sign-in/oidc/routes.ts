/**
 * The two addresses that browsers visit to sign in by an identity provider. Both answer with a redirect, or say what
 * is wrong: as a page to people, as a problem (RFC 9457) to programs. Called by api/app.ts.
 */

import type { Express, Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { hasSecondFactor } from '../../../domain/account/account.ts';
import { isRefusal } from '../../../domain/refusals.ts';
import type { ServerConfig } from '../../../platform/config.ts';
import type { Deps } from '../../../platform/deps.ts';
import { MusterError } from '../../../platform/errors.ts';
import { newSecret } from '../../../platform/new-id.ts';
import { addressOf, countedAddress } from '../../address.ts';
import type { Credentials } from '../../credentials.ts';
import { isInnerFault, particularsOf, requestIdOf, sendProblem, statusOf } from '../../problem.ts';
import { only, type RouteDeclaration } from '../../route.ts';
import { type Browser, browserOf } from '../browser.ts';
import type { Door } from '../door.ts';
import { type EnterParts, openSession } from '../enter.ts';
import { askSecondFactor } from '../second-factor.ts';
import { type Arrived, beginSingleSignOn, completeSingleSignOn } from './single-sign-on.ts';

export interface RouteParts {
  readonly config: ServerConfig;
  readonly deps: Deps;
  readonly credentials: Credentials;
  readonly door: Door;
}

/** A path of our own: `//host` and `/\host` lead elsewhere (WHATWG URL). */
const ownPath = z
  .string()
  .max(500)
  .regex(/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/, 'must be a path of this server');

const wanted = z.strictObject({
  portal: z
    .enum(['admin', 'self-service', 'selfservice'])
    .default('admin')
    .transform((portal) => (portal === 'admin' ? portal : 'self-service')),
  returnTo: ownPath.default('/'),
});

const enterPartsOf = ({ config, ...parts }: RouteParts, req: Request, res: Response): EnterParts => ({
  ...parts,
  requestId: requestIdOf(res),
  address: addressOf(req, config.trustedProxies),
});

/** What a browser that began before sends is kept: several windows may sign in at once. */
const secretOf = ({ signOnSecret }: Browser): string =>
  /^[\w-]{43}$/.test(signOnSecret ?? '') ? (signOnSecret as string) : newSecret();

const begin = async (parts: RouteParts, req: Request, res: Response, tenantSlug: string): Promise<void> => {
  const query = wanted.safeParse({ ...req.query });
  if (!query.success) {
    const [issue] = query.error.issues;
    throw new MusterError('invalid-input', issue?.message ?? '', { field: String(issue?.path[0] ?? '') });
  }
  const browser = browserOf(req, res, parts.config.publicUrl);
  const secret = secretOf(browser);
  const url = await beginSingleSignOn(
    enterPartsOf(parts, req, res),
    { tenantSlug, portal: query.data.portal, returnTo: query.data.returnTo },
    secret,
  );
  if (isRefusal(url)) return fail(parts, req, res, url);
  browser.keepSignOn(secret);
  res.redirect(302, url);
};

/** Opens the session, in place of the one that the browser had; answers where to go on. */
const enter = async (parts: EnterParts, arrived: Arrived, browser: Browser): Promise<string> => {
  const { credentials, door, address, requestId } = parts;
  const home = door.publicUrl();
  if (arrived.kind === 'account' && hasSecondFactor(arrived.proven.account) && !arrived.proven.vouched) {
    const { token, expiresAt } = await askSecondFactor(parts, arrived.proven);
    const { returnTo } = arrived;
    // The fragment stays in the browser: no log of a server between holds the token.
    return `${home}/sign-in#${new URLSearchParams({ pendingToken: token, pendingUntil: expiresAt, returnTo })}`;
  }
  const before = browser.sessionToken;
  if (arrived.kind === 'account') {
    const entered = await openSession(parts, arrived.proven, browser.userAgent);
    browser.keepSession(entered.token);
    browser.keepClient(entered.clientToken);
  } else {
    const { tenantId, userId } = arrived;
    const opened = await credentials.portalSessions.open(tenantId, userId);
    const { userAgent } = browser;
    const data = {
      userId,
      address: countedAddress(address),
      userAgent,
      method: 'identity-provider',
    } as const;
    const actor = { kind: 'user', id: userId } as const;
    await door.recorder.tell(tenantId, { type: 'UserSignedIn', data }, { actor, requestId });
    browser.keepSession(opened.token);
  }
  if (before !== undefined) {
    await credentials.sessions.end(before);
    await credentials.portalSessions.end(before);
  }
  return `${home}${arrived.returnTo}`;
};

const complete = async (parts: RouteParts, req: Request, res: Response): Promise<void> => {
  const browser = browserOf(req, res, parts.config.publicUrl);
  const enterParts = enterPartsOf(parts, req, res);
  const at = req.originalUrl.indexOf('?');
  const query = new URLSearchParams(at < 0 ? '' : req.originalUrl.slice(at));
  const { signOnSecret: browserSecret, clientToken } = browser;
  const arrived = await completeSingleSignOn(enterParts, query, { browserSecret, clientToken });
  if (isRefusal(arrived)) return fail(parts, req, res, arrived);
  res.redirect(303, await enter(enterParts, arrived, browser));
};

const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** Says what is wrong in the form that was asked for. */
const fail = ({ deps }: Pick<RouteParts, 'deps'>, req: Request, res: Response, error: unknown): void => {
  if (!(req.get('accept') ?? '').includes('text/html')) {
    sendProblem(res, error, deps);
    return;
  }
  const { code, message, advice } = particularsOf(error);
  const requestId = requestIdOf(res);
  if (isInnerFault(code)) deps.log.error({ err: error, requestId, code }, 'request failed');
  res
    .status(statusOf(code))
    .type('html')
    .send(
      `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign-in</title><h1>${escaped(message)}</h1><p>${escaped(advice)}</p><p>Code: ${code}. Request: ${requestId}.</p></html>\n`,
    );
};

const orSay =
  (parts: RouteParts, work: (req: Request, res: Response) => Promise<void>): RequestHandler =>
  async (req, res) => {
    try {
      await work(req, res);
    } catch (error) {
      fail(parts, req, res, error);
    }
  };

const callbackRoute = { methods: ['GET'], path: '/sign-in/oidc/callback', access: 'public' } as const;
const beginRoute = { methods: ['GET'], path: '/sign-in/oidc/:tenantSlug', access: 'public' } as const;

export const singleSignOnRoutes: readonly RouteDeclaration[] = [callbackRoute, beginRoute];

/** Adds the routes; `get` refuses every other method. */
export const addSingleSignOnRoutes = (app: Express, parts: RouteParts): void => {
  app.all(
    callbackRoute.path,
    only(callbackRoute),
    orSay(parts, (req, res) =>
      // A tenant may be called that: providers always send the state back (RFC 6749 §4.1.2).
      'state' in req.query ? complete(parts, req, res) : begin(parts, req, res, 'callback'),
    ),
  );
  app.all(
    beginRoute.path,
    only(beginRoute),
    orSay(parts, (req, res) => begin(parts, req, res, String(req.params['tenantSlug']))),
  );
};
