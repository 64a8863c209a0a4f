/**
 * HTTPS to a server that a tenant's administrator names: at an address that was checked, with a certificate that was
 * checked, without redirects and with bounded answers. Called by online.ts, token.ts and on-premises.ts.
 */
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { TLSSocket } from 'node:tls';
import { Agent, buildConnector, request } from 'undici';
import type { ExchangeSettings } from '../../domain/exchange/exchange.ts';
import { MusterError } from '../../platform/errors.ts';
import { isDenied } from '../../platform/ldap/address.ts';

type Trust = Pick<ExchangeSettings, 'caCertificate' | 'certificateSha256' | 'allowAnyCertificate'>;

const connectTimeoutMs = 10_000;
/** WS-Management holds an answer for up to its operation time-out, which is shorter. */
const answerTimeoutMs = 90_000;
const mostAnswerBytes = 8 * 1024 * 1024;

/** The one address to connect to: resolved once, and it is that answer which is connected to. */
const addressOf = async (host: string, allowLoopback: boolean): Promise<string> => {
  const found = await lookup(host, { all: true }).catch((cause: unknown) => {
    throw new MusterError('exchange-unavailable', `the name ${host} does not resolve`, { cause });
  });
  const allowed = found.find(({ address }) => allowLoopback || !isDenied(address));
  if (!allowed) throw new MusterError('exchange-refused', `${host} is no address at which Exchange may be`);
  return allowed.address;
};

const digestOf = (socket: unknown): string | undefined =>
  socket instanceof TLSSocket
    ? socket.getPeerCertificate().fingerprint256?.replaceAll(':', '').toLowerCase()
    : undefined;

/** The pin is looked at last, whatever else was checked: taking any certificate does not switch it off. */
const connectorOf = (host: string, trust: Trust, lookup: LookupFunction): buildConnector.connector => {
  const connect = buildConnector({
    minVersion: 'TLSv1.2',
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(trust.caCertificate === null ? {} : { ca: trust.caCertificate }),
    rejectUnauthorized: !trust.allowAnyCertificate,
    lookup,
    timeout: connectTimeoutMs,
    // A resumed session shows no certificate.
    maxCachedSessions: 0,
  });
  return (options, done) =>
    connect(options, (...[fault, socket]) => {
      if (fault) return done(fault, null);
      if (trust.certificateSha256 === null || digestOf(socket) === trust.certificateSha256)
        return done(null, socket);
      socket.destroy();
      return done(new Error('the certificate is not the pinned one'), null);
    });
};

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** What `Retry-After` asks for (RFC 9110 10.2.3); undefined: nothing. */
  readonly retryAfterMs: number | undefined;
  /** Cookies as `Set-Cookie` gives them, one a line. */
  readonly setCookies: readonly string[];
}

/** A server that can be posted to. */
export interface Dialled {
  /** `https://host[:port]` */
  readonly origin: string;
  post(path: string, headers: Readonly<Record<string, string>>, body: string): Promise<Answer>;
  close(): Promise<void>;
}

const longestRetryMs = 3_600_000;
const retryAfterOf = (value: unknown): number | undefined => {
  if (typeof value !== 'string') return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? Math.min(ms, longestRetryMs) : undefined;
};

const readBounded = async (body: AsyncIterable<Buffer>): Promise<string> => {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.length;
    if (sizeBytes > mostAnswerBytes) throw new Error(`the answer is larger than ${mostAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
};

/** Opens connections to `host[:port]`; throws `exchange-refused` for an address at which it may not be. */
export const dial = async (hostAndPort: string, trust: Trust, allowLoopback: boolean): Promise<Dialled> => {
  const origin = `https://${hostAndPort}`;
  const host = new URL(origin).hostname.replace(/^\[|\]$/g, '');
  const address = await addressOf(host, allowLoopback);
  const answerLookup: LookupFunction = (_name, options, done) => {
    const family = isIP(address);
    if (options.all) done(null, [{ address, family }]);
    else done(null, address, family);
  };
  const agent = new Agent({
    connect: connectorOf(host, trust, answerLookup),
    headersTimeout: answerTimeoutMs,
    bodyTimeout: answerTimeoutMs,
    connections: 4,
  });
  return {
    origin,
    async post(path, headers, body) {
      try {
        const reply = await request(`${origin}${path}`, {
          method: 'POST',
          headers: { ...headers },
          body,
          dispatcher: agent,
        });
        return {
          status: reply.statusCode,
          retryAfterMs: retryAfterOf(reply.headers['retry-after']),
          setCookies: [reply.headers['set-cookie'] ?? []].flat(),
          text: await readBounded(reply.body),
        };
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new MusterError('exchange-unavailable', `${hostAndPort}: ${why}`, { cause });
      }
    },
    close: () => agent.destroy(),
  };
};
