/**
 * The listener that EAS proxies follow: TLS in which both sides show a certificate, and nothing but the feed, its
 * question and reports. Called by api/main.ts.
 *
 * Proxies' certificates sign themselves, so TLS proves here only that the caller has the key; whether the certificate is
 * registered is looked up afterwards. Nothing may end TLS in front of it: that would end the proof.
 */
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { proxyDecider } from '../../domain/proxy/decide.ts';
import type { ServerConfig } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import { newUuid } from '../../platform/new-id.ts';
import { certificateSha256 } from '../../platform/pki.ts';
import type { SealedSecrets } from '../../platform/sealed-secrets.ts';
import { publicHalf } from '../../platform/signed-line.ts';
import type { ProjectionWaiter } from '../../projections/await.ts';
import { type IdentifiedProxy, identifyProxy } from '../identify/proxy.ts';
import { listen, stopServer } from '../listener.ts';
import { methodNotAllowed, requestIdOf, sendProblem } from '../problem.ts';
import { answerQuestion, proxyAskRoute } from './ask.ts';
import { type ProxyFeedParts, proxyFeedRoute, serveFeed } from './feed.ts';
import { feedCertificate, feedSigningKey } from './server-identity.ts';
import { proxyStatusRoute, takeReport } from './status.ts';

/** What an operator tells a proxy of the server. */
export interface FeedInfo {
  readonly url: string;
  readonly port: number;
  /** PEM for the proxy's serverCaFile. */
  readonly authorityPem: string;
  /** Hex for the proxy's serverPin. */
  readonly pin: string;
  /** Public key of the signatures, as proxies pin it. */
  readonly signingKey: string;
}

export interface RunningFeed extends FeedInfo {
  stop(): Promise<void>;
}

export interface FeedListenerParts extends Pick<ProxyFeedParts, 'checkMs' | 'heartbeatMs'> {
  readonly deps: Deps;
  readonly waiter: ProjectionWaiter;
  readonly secrets: SealedSecrets;
  readonly stopping: AbortSignal;
  readonly config: ServerConfig;
}

/** How often the certificate is looked at for renewal. */
const renewMs = 12 * 3_600_000;
/** Strangers get no longer to show a certificate. */
const handshakeMs = 10_000;
/** Certificates whose refusal was logged lately; a refusal is logged once in ten minutes, whoever knocks. */
const remembered = { max: 1_000, ttl: 600_000 };

const certificateOf = (req: IncomingMessage): string | null => {
  const { raw } = (req.socket as TLSSocket).getPeerCertificate();
  if (raw === undefined) return null;
  const certificate = new X509Certificate(raw);
  return Date.parse(certificate.validTo) < Date.now() ? null : certificateSha256(certificate);
};

/** Says in the log of events, once per change, whether the proxy verifies the server. */
const noteTrust = async (
  { handler }: Pick<Deps, 'handler'>,
  proxy: IdentifiedProxy,
  req: IncomingMessage,
): Promise<void> => {
  const verifiesServer = req.headers['x-muster-server-trust'] !== 'any';
  if (proxy.verifiesServer === verifiesServer) return;
  const { tenantId, proxyId: id } = proxy;
  const cause = { actor: { kind: 'system', id: 'proxy-feed' }, commandId: newUuid() } as const;
  await handler.handle(proxyDecider, { tenantId, id }, { type: 'ReportServerTrust', verifiesServer }, cause);
};

/** Starts to listen; answers undefined when no port is configured. */
export const startFeed = async (parts: FeedListenerParts): Promise<RunningFeed | undefined> => {
  const { deps, config, stopping } = parts;
  const { proxyFeedPort: port, proxyFeedHost: host } = config;
  if (port === undefined) return undefined;
  const certificate = await feedCertificate(config, new Date(deps.clock()));
  const feedParts: ProxyFeedParts = { ...parts, signingKey: await feedSigningKey(parts.secrets) };
  const refused = new LRUCache<string, true>(remembered);

  const identify = async (req: IncomingMessage): Promise<{ proxy: IdentifiedProxy; sha256: string }> => {
    const sha256 = certificateOf(req);
    const proxy = sha256 === null ? null : await identifyProxy(deps, sha256);
    if (sha256 !== null && proxy !== null) return { proxy, sha256 };
    const address = req.socket.remoteAddress ?? '';
    if (!refused.has(sha256 ?? address))
      deps.log.warn({ certificateSha256: sha256, address }, 'a proxy that is not registered was refused');
    refused.set(sha256 ?? address, true);
    throw new MusterError('unauthenticated', 'the certificate is not registered');
  };
  const route = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    requestIdOf(res);
    const { proxy, sha256 } = await identify(req);
    const path = (req.url ?? '').split('?', 1)[0];
    const found = [proxyFeedRoute, proxyAskRoute, proxyStatusRoute].find((known) => known.path === path);
    if (found === undefined) throw new MusterError('not-found', '');
    if (req.method !== found.methods[0]) throw methodNotAllowed(...found.methods);
    if (found === proxyAskRoute) return answerQuestion(feedParts, proxy, req, res);
    if (found === proxyStatusRoute) return takeReport(deps, proxy, req, res);
    await noteTrust(deps, proxy, req);
    return serveFeed(feedParts, proxy, sha256, req, res);
  };
  const server: Server = createServer(
    {
      ...certificate,
      minVersion: 'TLSv1.2',
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: handshakeMs,
    },
    (req, res) => void route(req, res).catch((error: unknown) => sendProblem(res, error, { log: deps.log })),
  );
  server.headersTimeout = 10_000;
  server.requestTimeout = 30_000;
  await listen(server, { host, port }, 'MUSTER_PROXY_FEED_HOST, MUSTER_PROXY_FEED_PORT');
  const renewal = setInterval(() => {
    feedCertificate(config, new Date(deps.clock())).then(
      (renewed) => server.setSecureContext({ ...renewed, minVersion: 'TLSv1.2' }),
      (err: unknown) => deps.log.error({ err }, 'the certificate of the proxies’ feed cannot be renewed'),
    );
  }, renewMs);
  const bound = (server.address() as AddressInfo).port;
  const name = config.proxyFeedNames[0] ?? (host.includes(':') ? `[${host}]` : host);
  const url = `https://${name}:${bound}`;
  deps.log.info({ url, pin: certificate.pin }, 'proxies follow here');
  stopping.addEventListener('abort', () => clearInterval(renewal));
  return {
    url,
    port: bound,
    authorityPem: certificate.authority,
    pin: certificate.pin,
    signingKey: publicHalf(feedParts.signingKey),
    stop: async () => {
      clearInterval(renewal);
      await stopServer(server);
    },
  };
};
