/**
 * A real OpenID provider on loopback for a test: npm oidc-provider over https, with a CA, keys and people of its own,
 * and a browser that walks through its redirects with a jar of cookies. Called by the tests of single sign-on.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import Provider from 'oidc-provider';
import { Agent, request } from 'undici';
import { createAuthority, issueServerCertificate } from '../../platform/pki.ts';

/** Claims of somebody who is about to sign in; `sub` names whom. */
export interface Claims extends Readonly<Record<string, unknown>> {
  readonly sub: string;
}

/** Changes an ID token before it is handed out: its claims, or who signs it. */
export type Tamper = (claims: JWTPayload) => { readonly claims: JWTPayload; readonly foreignKey?: boolean };

export interface IdentityProvider {
  readonly issuer: string;
  /** CA of its certificate, in PEM. */
  readonly ca: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Who sits before the browser and signs in without being asked. */
  whoSignsIn(claims: Claims): void;
  /** What becomes of ID tokens; undefined: nothing. */
  tamper(how: Tamper | undefined): void;
  stop(): Promise<void>;
}

type Handle = (req: IncomingMessage, res: ServerResponse) => void;

/** Rewrites the ID token of an answer of the token endpoint. */
const rewriting =
  (handle: Handle, rewrite: (token: string) => Promise<string> | undefined): Handle =>
  (req, res) => {
    if (req.url === '/token') {
      const end = res.end.bind(res) as (body?: unknown) => ServerResponse;
      res.end = ((body?: unknown) => {
        const answer = JSON.parse(String(body)) as { id_token?: string };
        const changed = answer.id_token === undefined ? undefined : rewrite(answer.id_token);
        if (!changed) return end(body);
        void changed.then((token) => {
          const text = JSON.stringify({ ...answer, id_token: token });
          res.setHeader('content-length', Buffer.byteLength(text));
          end(text);
        });
        return res;
      }) as typeof res.end;
    }
    handle(req, res);
  };

/** Starts a provider that knows one client, which comes back to `redirectUri`. */
export const startIdentityProvider = async (redirectUri: string): Promise<IdentityProvider> => {
  const authority = await createAuthority('Test CA', new Date());
  const { certificate, key } = await issueServerCertificate(authority, ['localhost'], new Date());
  const [own, foreign] = await Promise.all([
    generateKeyPair('RS256', { extractable: true }),
    generateKeyPair('RS256', { extractable: true }),
  ]);
  let handle: Handle = (_req, res) => void res.writeHead(503).end();
  const server = createServer({ cert: certificate, key }, (req, res) => handle(req, res));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `https://localhost:${(server.address() as AddressInfo).port}`;
  const client = { clientId: 'muster', clientSecret: 'canary-client-secret-of-the-provider' };
  let who: Claims = { sub: 'nobody' };
  let how: Tamper | undefined;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: client.clientId,
        client_secret: client.clientSecret,
        redirect_uris: [redirectUri],
        response_types: ['code'],
        grant_types: ['authorization_code'],
      },
    ],
    jwks: { keys: [{ ...(await exportJWK(own.privateKey)), kid: 'own', alg: 'RS256', use: 'sig' }] },
    cookies: { keys: ['a key of cookies'] },
    pkce: { required: () => true },
    claims: { openid: ['sub', 'amr', 'acr'], email: ['email', 'email_verified'], profile: ['name'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ ...who, sub: id }) }),
    loadExistingGrant: async ({ oidc }) => {
      const grant = new oidc.provider.Grant({
        clientId: oidc.client?.clientId ?? '',
        accountId: oidc.session?.accountId ?? '',
      });
      grant.addOIDCScope('openid email profile');
      await grant.save();
      return grant;
    },
  });
  const answer = provider.callback();
  const walk: Handle = (req, res) => {
    if (!req.url?.startsWith('/interaction/')) return void answer(req, res);
    const { sub: accountId, amr } = who;
    const login = { accountId, ...(Array.isArray(amr) ? { amr: amr as string[] } : {}) };
    void provider.interactionFinished(req, res, { login });
  };
  handle = rewriting(walk, (token) => {
    const tampered = how?.(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()));
    return (
      tampered &&
      new SignJWT(tampered.claims)
        .setProtectedHeader({ alg: 'RS256', kid: 'own' })
        .sign(tampered.foreignKey ? foreign.privateKey : own.privateKey)
    );
  });
  return {
    issuer,
    ca: authority.certificate,
    ...client,
    whoSignsIn: (claims) => {
      who = claims;
    },
    tamper: (changed) => {
      how = changed;
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
};

/** Where a walk of redirects ended. */
export interface Arrival {
  readonly status: number;
  readonly url: string;
  /** Where it would go on. */
  readonly location: string | undefined;
  readonly body: string;
  readonly setCookies: readonly string[];
}

export interface WebBrowser {
  /** Cookies by host. */
  readonly jar: Map<string, Map<string, string>>;
  /** Visits one address. */
  visit(url: string, headers?: Readonly<Record<string, string>>): Promise<Arrival>;
  /** Follows redirects until `stop` holds of the next address, or there is none. */
  follow(url: string, stop: (next: string) => boolean): Promise<Arrival>;
}

/** A browser that trusts the CAs; sessions of providers end with it. */
export const openBrowser = (...cas: readonly string[]): WebBrowser => {
  const dispatcher = new Agent({ connect: { ca: [...cas] }, pipelining: 0 });
  const jar: WebBrowser['jar'] = new Map();
  const visit: WebBrowser['visit'] = async (url, headers = {}) => {
    const { host } = new URL(url);
    const cookies = jar.get(host) ?? new Map<string, string>();
    jar.set(host, cookies);
    const answer = await request(url, {
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '), ...headers },
      dispatcher,
    });
    const setCookies = [answer.headers['set-cookie'] ?? []].flat();
    for (const cookie of setCookies) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      if (value === '') cookies.delete(name);
      else cookies.set(name, value);
    }
    const { location } = answer.headers;
    return {
      status: answer.statusCode,
      url,
      location: location === undefined ? undefined : new URL(String(location), url).href,
      body: await answer.body.text(),
      setCookies,
    };
  };
  return {
    jar,
    visit,
    async follow(url, stop) {
      let arrival = await visit(url);
      for (let steps = 0; steps < 20; steps += 1) {
        const { location } = arrival;
        if (location === undefined || stop(location)) return arrival;
        arrival = await visit(location);
      }
      throw new Error('it goes round in circles');
    },
  };
};
