/**
 * The mail server behind an instance: the connections over which requests are passed on, and a client for the few questions
 * of the proxy's own, both with one trust. Opened by instance.ts; the client alone by `muster proxy check`.
 */
import { Pool } from 'undici';
import { openUpstream, type Upstream } from './http/upstream.ts';
import { openConnector, type Trust } from './trust.ts';

export interface MailServer {
  /** For requests that are passed on: one connection for each that is in flight, long polls included. */
  readonly upstream: Upstream;
  /** For questions of the proxy's own. */
  readonly client: Pool;
  readonly destroy: () => Promise<void>;
}

/** A client for questions of the proxy's own. */
export const openMailClient = (backendUrl: URL, trust: Trust): Pool =>
  new Pool(backendUrl.origin, { connections: 16, pipelining: 1, connect: openConnector(trust) });

/** Opens them; no connection is made before it is needed. */
export const openMailServer = (backendUrl: URL, trust: Trust): MailServer => {
  const upstream = openUpstream({ url: backendUrl, connect: openConnector(trust) });
  const client = openMailClient(backendUrl, trust);
  return {
    upstream,
    client,
    destroy: () => {
      upstream.destroy();
      return client.destroy();
    },
  };
};
