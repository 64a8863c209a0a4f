/**
 * What a browser brings along and keeps: the session and the token of a known program as cookies, and whether a
 * request comes from our own pages. Called by api/graphql/server.ts, api/events/feed.ts and sign-in.
 *
 * Cookies are `__Host-` ones (RFC 6265bis §4.1.3.2), HttpOnly and SameSite=Strict, but for the one that has to come
 * along when an identity provider sends the browser back: SameSite=Lax. Since SameSite leaves sister sites
 * out, a request whose credential is the cookie must carry a header that no form can send, and prove its origin.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { MusterError } from '../../platform/errors.ts';

const names = {
  session: '__Host-muster-session',
  client: '__Host-muster-client',
  signOn: '__Host-muster-sign-on',
} as const;
const requestHeader = 'x-muster-request';
const userAgentCharacters = 300;
/** How long a browser keeps the token of a known program. */
const clientCookieSeconds = 90 * 24 * 3600;
const signOnCookieSeconds = 600;

export interface Browser {
  readonly userAgent: string | null;
  /** Tokens that it sends as cookies. */
  readonly sessionToken: string | undefined;
  readonly clientToken: string | undefined;
  /** What ties sign-ins at an identity provider to this browser. */
  readonly signOnSecret: string | undefined;
  /** Why the cookie of the session cannot be taken for a credential; undefined when it can. */
  readonly crossSite: MusterError | undefined;
  /** Has the browser keep a session, or null forget it. */
  keepSession(token: string | null): void;
  /** Has the browser keep that its program is known. */
  keepClient(token: string): void;
  /** Has the browser keep the secret of its sign-ins at an identity provider, for ten minutes. */
  keepSignOn(secret: string): void;
}

const cookiesOf = (header = ''): ReadonlyMap<string, string> =>
  new Map(
    header.split(';').flatMap((pair): [string, string][] => {
      const at = pair.indexOf('=');
      return at < 0 ? [] : [[pair.slice(0, at).trim(), pair.slice(at + 1).trim()]];
    }),
  );

const hostOf = (origin: string): string | undefined =>
  URL.canParse(origin) ? new URL(origin).host : undefined;

/** Fetch metadata (W3C) where the browser sends it, and the Origin header (RFC 6454 §7). One of both is needed. */
const crossSiteFault = (
  { headers }: Pick<IncomingMessage, 'headers'>,
  publicUrl: string | undefined,
): MusterError | undefined => {
  const fault = (detail: string) => new MusterError('cross-site-request', detail);
  if (headers[requestHeader] !== '1') return fault(`${requestHeader} is missing`);
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  if (site === undefined && origin === undefined) return fault('the origin is missing');
  if (site !== undefined && site !== 'same-origin') return fault('it was not sent by our own pages');
  if (origin === undefined) return undefined;
  const own = publicUrl === undefined ? hostOf(origin) === host : new URL(publicUrl).origin === origin;
  return own ? undefined : fault('the origin is another one');
};

const printable = (text: string | undefined): string | null => {
  const clean = (text ?? '').replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu, ' ').trim();
  return clean === ''
    ? null
    : clean
        .slice(0, userAgentCharacters)
        .replace(/\p{Cs}$/u, '')
        .trim();
};

/** The browser, or other program, behind a request. `publicUrl` is MUSTER_PUBLIC_URL. */
export const browserOf = (
  req: Pick<IncomingMessage, 'headers'>,
  res: Pick<ServerResponse, 'appendHeader'>,
  publicUrl: string | undefined,
): Browser => {
  const cookies = cookiesOf(req.headers.cookie);
  const keep = (name: string, value: string, more: string, sameSite = 'Strict') =>
    void res.appendHeader(
      'set-cookie',
      `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=${sameSite}${more}`,
    );
  return {
    userAgent: printable(req.headers['user-agent']),
    sessionToken: cookies.get(names.session),
    clientToken: cookies.get(names.client),
    signOnSecret: cookies.get(names.signOn),
    crossSite: crossSiteFault(req, publicUrl),
    keepSession: (token) => keep(names.session, token ?? '', token === null ? '; Max-Age=0' : ''),
    keepClient: (token) => keep(names.client, token, `; Max-Age=${clientCookieSeconds}`),
    keepSignOn: (secret) => keep(names.signOn, secret, `; Max-Age=${signOnCookieSeconds}`, 'Lax'),
  };
};

/**
 * The session token of a request: the bearer token where there is one, else the cookie. Throws `cross-site-request`
 * when a cookie is sent by other pages than our own.
 */
export const tokenOf = (bearer: string | undefined, browser: Browser): string | undefined => {
  if (bearer !== undefined || browser.sessionToken === undefined) return bearer;
  if (browser.crossSite) throw browser.crossSite;
  return browser.sessionToken;
};
