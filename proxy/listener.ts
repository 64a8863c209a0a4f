/**
 * The socket that devices reach: HTTP or HTTPS with limits that fit ActiveSync, and an answer to everything that is not
 * HTTP. Called by instance.ts.
 */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TlsOptions } from 'node:tls';
import { MusterError } from '../platform/errors.ts';
import type { Logger } from '../platform/log.ts';
import type { AccessEntry } from './access-log.ts';
import type { Gate } from './gate.ts';

const limits: ServerOptions = {
  maxHeaderSize: 32 * 1024,
  headersTimeout: 20_000,
  // To receive a whole request, which may be a large mail over a slow network; the answer has no limit.
  requestTimeout: 65 * 60_000,
  connectionsCheckingInterval: 5_000,
  keepAliveTimeout: 75_000,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
  requireHostHeader: true,
  insecureHTTPParser: false,
};

export interface ListenerParts {
  readonly log: Logger;
  readonly instance: string;
  /** Told of requests that never reach the gate. */
  readonly observe: (entry: AccessEntry) => void;
}

/** A server that is not listening yet; over TLS when there is a context for it. */
export const openListener = (
  tls: TlsOptions | undefined,
  gate: Gate,
  { log, observe, instance }: ListenerParts,
): Server => {
  const server =
    tls === undefined ? createServer(limits) : createTlsServer({ ...limits, ...tls, minVersion: 'TLSv1.2' });
  server.timeout = 0;
  // Node would drop the headers beyond a limit without a word; the gate counts them all and refuses too many.
  server.maxHeadersCount = 0;
  const busy = new WeakMap<Duplex, number>();
  const handle =
    (expectsContinue: boolean): RequestListener =>
    (req, res) => {
      const { socket } = req;
      busy.set(socket, (busy.get(socket) ?? 0) + 1);
      res.once('close', () => busy.set(socket, (busy.get(socket) ?? 1) - 1));
      gate(req, res, expectsContinue);
    };
  server.on('request', handle(false));
  server.on('checkContinue', handle(true));
  server.on('connect', (_req: unknown, socket: Duplex) =>
    refuseRaw(socket, '403 Forbidden', 'method', { instance, observe }),
  );
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // Half an answer is on the wire already: another one in its middle could be taken for the mail server's.
    if ((busy.get(socket) ?? 0) > 0) return void socket.destroy();
    refuseRaw(socket, statusOf(error), 'protocol', { instance, observe }, error.code);
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException) =>
    log.debug({ reason: error.code }, 'a TLS handshake failed'),
  );
  return server;
};

const statusOf = (error: NodeJS.ErrnoException): string => {
  if (error.code === 'HPE_HEADER_OVERFLOW') return '431 Request Header Fields Too Large';
  return error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request';
};

/** Answers on a socket whose request could not be read, and closes it. */
const refuseRaw = (
  socket: Duplex,
  status: string,
  rule: string,
  { instance, observe }: Omit<ListenerParts, 'log'>,
  problem?: string,
): void => {
  socket.on('error', () => {});
  const client = 'remoteAddress' in socket ? (socket as Socket).remoteAddress : null;
  observe({
    instance,
    client: client ?? null,
    method: null,
    protocol: null,
    cmd: null,
    user: null,
    deviceId: null,
    decision: 'deny',
    rule,
    reason: problem ?? 'only POST and OPTIONS are served',
    status: Number(status.slice(0, 3)),
    durationMs: 0,
    bytesIn: 'bytesRead' in socket ? (socket as Socket).bytesRead : 0,
    bytesOut: 0,
    fault: null,
  });
  if (!socket.writable) return void socket.destroy();
  socket.end(
    `HTTP/1.1 ${status}\r\nX-Muster-Reason: ${rule}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    () => socket.destroy(),
  );
};

/** Listens; answers the port. Throws `config-invalid` with the setting of the port when it cannot. */
export const listen = async (server: Server, host: string, port: number, field: string): Promise<number> => {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new MusterError('config-invalid', `${field}: cannot listen on ${host}:${port}`, { cause, field });
  }
  return (server.address() as AddressInfo).port;
};

/** Stops to listen and settles when the last connection is closed. */
export const close = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
