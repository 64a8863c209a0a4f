/**
 * How the certificate of a server is judged: by a CA, by a pin, or not at all. Called by forward.ts and feed.ts when they
 * connect.
 */
import type { TLSSocket } from 'node:tls';
import { buildConnector } from 'undici';

/** One way to trust; none of them means the CAs that Node trusts. */
export interface Trust {
  /** PEM of the only CA that is trusted. */
  readonly ca?: string | undefined;
  /** SHA-256 of the certificate, 64 upper-case digits. */
  readonly pin?: string | undefined;
  readonly allowAny?: boolean;
}

/** SHA-256 of the certificate that the other side showed, in the spelling of a pin. */
const shownPin = (socket: TLSSocket): string =>
  (socket.getPeerX509Certificate()?.fingerprint256 ?? '').replaceAll(':', '');

/** Opens connections for undici; one whose certificate is not the pinned one is closed before anything is sent. */
export const openConnector = ({ ca, pin, allowAny = false }: Trust): buildConnector.connector => {
  const connect = buildConnector({
    timeout: 10_000,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    // A resumed session shows no certificate, and a pin has to see one.
    ...(pin === undefined ? {} : { maxCachedSessions: 0 }),
    ...(ca === undefined ? {} : { ca }),
    rejectUnauthorized: pin === undefined && !allowAny,
  });
  if (pin === undefined) return connect;
  return (options, callback) =>
    connect(options, (error, socket) => {
      if (error !== null) return callback(error, null);
      if (shownPin(socket as TLSSocket) === pin) return callback(null, socket);
      socket.destroy();
      callback(new Error('the certificate is not the pinned one'), null);
    });
};
