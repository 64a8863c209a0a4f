/**
 * The socket that devices reach: HTTP or HTTPS with limits that fit ActiveSync, and an answer to everything that is not
 * HTTP. Called by instance.ts.
 */
import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TlsOptions } from 'node:tls';
import { MusterError } from '../platform/errors.ts';
import type { AccessEntry } from './access-log.ts';
import type { ClientAddresses } from './client-address.ts';
import type { Gate } from './gate.ts';

/** Times that a client is given, in ms; tests shorten them. */
export interface ListenerTiming {
  readonly proxyHeaderMs: number;
  readonly handshakeMs: number;
  readonly headersMs: number;
  /** How often headers that are late are looked for. */
  readonly checkMs: number;
}

const usual: ListenerTiming = {
  proxyHeaderMs: 5_000,
  handshakeMs: 15_000,
  headersMs: 20_000,
  checkMs: 5_000,
};

const limitsOf = ({ headersMs, checkMs }: ListenerTiming): ServerOptions => ({
  maxHeaderSize: 32 * 1024,
  headersTimeout: headersMs,
  // To receive a whole request, which may be a large mail over a slow network; the answer has no limit.
  requestTimeout: 65 * 60_000,
  connectionsCheckingInterval: checkMs,
  keepAliveTimeout: 75_000,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
  // Asked for below: what Node refuses by itself is in no log.
  requireHostHeader: false,
  insecureHTTPParser: false,
});

export interface ListenerParts {
  readonly instance: string;
  /** Told of requests that never reach the gate. */
  readonly observe: (entry: AccessEntry) => void;
  readonly addresses: ClientAddresses;
  /** Whether every connection starts with a PROXY header. */
  readonly proxyProtocol: boolean;
  readonly timing?: Partial<ListenerTiming> | undefined;
}

/** A server that is not listening yet, and how it ends. */
export interface Listener {
  readonly server: Server;
  /**
   * Takes no new connection, announces the end of those it has with their next answer, and settles when the last one is
   * closed; those left after `graceMs` are cut. `onSweep` is called until then, for requests that arrive meanwhile.
   */
  readonly drain: (graceMs: number, onSweep: () => void) => Promise<void>;
}

/** Opens it; over TLS when there is a context for it. */
export const openListener = (tls: TlsOptions | undefined, gate: Gate, parts: ListenerParts): Listener => {
  const { addresses } = parts;
  const timing = { ...usual, ...parts.timing };
  const limits = limitsOf(timing);
  const server =
    tls === undefined
      ? createServer(limits)
      : createTlsServer({ ...limits, ...tls, minVersion: 'TLSv1.2', handshakeTimeout: timing.handshakeMs });
  server.timeout = 0;
  // Node would drop the headers beyond a limit without a word; the gate counts them all and refuses too many.
  server.maxHeadersCount = 0;
  if (parts.proxyProtocol)
    addresses.takeProxyHeaders(server, {
      timeoutMs: timing.proxyHeaderMs,
      onRefused: (client, problem, bytesIn) =>
        parts.observe(entryOf(parts, client, 'balancer', problem, null, bytesIn)),
    });
  const ending = endingOf(server);
  const busy = new WeakMap<Duplex, number>();
  const handle =
    (expectsContinue: boolean): RequestListener =>
    (req, res) => {
      const { socket } = req;
      busy.set(socket, (busy.get(socket) ?? 0) + 1);
      res.once('close', () => busy.set(socket, (busy.get(socket) ?? 1) - 1));
      ending.track(res);
      if (req.headers.host === undefined && req.httpVersion === '1.1')
        return answerMalformed(req, res, 400, 'HTTP/1.1 without Host', parts);
      gate(req, res, expectsContinue);
    };
  server.on('request', handle(false));
  server.on('checkContinue', handle(true));
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) => {
    ending.track(res);
    answerMalformed(req, res, 417, 'an expectation that nobody can meet', parts);
  });
  server.on('connect', (_req: unknown, socket: Duplex) =>
    refuseRaw(socket, '403 Forbidden', 'method', parts),
  );
  const shaken = new WeakSet<Duplex>();
  server.prependListener('secureConnection', (socket: Socket) => shaken.add(socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // Over TLS that never came about nothing can be answered, and an answer would wait for it for ever.
    if (tls !== undefined && !shaken.has(socket)) return dropUnshaken(socket, parts, error);
    // Half an answer is on the wire already: another one in its middle could be taken for the mail server's.
    if ((busy.get(socket) ?? 0) > 0) return void socket.destroy();
    refuseRaw(socket, statusOf(error), 'protocol', parts, error.code);
  });
  return { server, drain: ending.drain };
};

/** How a server comes to its end: it knows its answers and sockets. */
const endingOf = (server: Server) => {
  const answers = new Set<ServerResponse>();
  const sockets = new Set<Socket>();
  let isEnding = false;
  // Also those that have not got as far as HTTP, which the server itself could not close.
  server.prependListener('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const announce = (res: ServerResponse): void => {
    if (!res.headersSent) res.setHeader('connection', 'close');
  };
  const track = (res: ServerResponse): void => {
    answers.add(res);
    res.once('close', () => answers.delete(res));
    if (isEnding) announce(res);
  };
  const drain = async (graceMs: number, onSweep: () => void): Promise<void> => {
    isEnding = true;
    for (const res of answers) announce(res);
    const closed = close(server);
    onSweep();
    const cut = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    // Connections that finish their request meanwhile would stay open for the next one.
    const sweep = setInterval(() => {
      onSweep();
      server.closeIdleConnections();
    }, 50);
    await closed;
    clearTimeout(cut);
    clearInterval(sweep);
  };
  return { track, drain };
};

const statusOf = (error: NodeJS.ErrnoException): string => {
  if (error.code === 'HPE_HEADER_OVERFLOW') return '431 Request Header Fields Too Large';
  return error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request';
};

/** The access entry of something that never became a request. */
const entryOf = (
  { instance }: Pick<ListenerParts, 'instance'>,
  client: string | null,
  rule: string,
  reason: string,
  status: number | null,
  bytesIn: number,
): AccessEntry => ({
  instance,
  client,
  method: null,
  protocol: null,
  cmd: null,
  user: null,
  deviceId: null,
  decision: 'deny',
  rule,
  reason,
  status,
  durationMs: 0,
  bytesIn,
  bytesOut: 0,
  fault: null,
});

/** Closes a connection whose TLS handshake failed or took too long; certificates of clients do not make it fail. */
const dropUnshaken = (
  socket: Socket,
  parts: Pick<ListenerParts, 'instance' | 'observe' | 'addresses'>,
  error: NodeJS.ErrnoException,
): void => {
  const { addresses, observe } = parts;
  const reason = `no TLS handshake: ${error.code ?? 'failed'}`;
  observe(entryOf(parts, addresses.of(socket), 'protocol', reason, null, socket.bytesRead));
  socket.destroy();
};

/** Answers a request that HTTP does not allow, in its turn, and closes the connection. */
const answerMalformed = (
  { socket }: IncomingMessage,
  res: ServerResponse,
  status: number,
  reason: string,
  parts: Pick<ListenerParts, 'instance' | 'observe' | 'addresses'>,
): void => {
  parts.observe(entryOf(parts, parts.addresses.of(socket), 'protocol', reason, status, socket.bytesRead));
  res.writeHead(status, { 'x-muster-reason': 'protocol', 'content-length': 0, connection: 'close' }).end();
};

/** Answers on a socket whose request could not be read, and closes it. */
const refuseRaw = (
  socket: Duplex,
  status: string,
  rule: string,
  parts: Pick<ListenerParts, 'instance' | 'observe' | 'addresses'>,
  problem = 'only POST and OPTIONS are served',
): void => {
  socket.on('error', () => {});
  const bytesIn = 'bytesRead' in socket ? (socket as Socket).bytesRead : 0;
  const code = Number(status.slice(0, 3));
  parts.observe(entryOf(parts, parts.addresses.of(socket), rule, problem, code, bytesIn));
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
