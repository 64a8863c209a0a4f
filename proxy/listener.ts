/**
 * The socket that devices reach: TCP or TLS, its connections and their times, and a log line for whatever never becomes a
 * request. Called by instance.ts.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { MusterError } from '../platform/errors.ts';
import type { AccessEntry } from './access-log.ts';
import type { ClientAddresses } from './client-address.ts';
import type { Gate } from './gate.ts';
import {
  type ClientConnection,
  type ConnectionHost,
  type ConnectionTiming,
  closeIdle,
  openConnection,
  sweep,
} from './http/connection.ts';

/** Times that a client is given, in ms; tests shorten them. */
export interface ListenerTiming extends ConnectionTiming {
  readonly proxyHeaderMs: number;
  readonly handshakeMs: number;
  /** How often connections that are late are looked for. */
  readonly checkMs: number;
}

const usual: ListenerTiming = {
  proxyHeaderMs: 5_000,
  handshakeMs: 15_000,
  headersMs: 20_000,
  // The mail server may take as long as it likes.
  idleBodyMs: 120_000,
  requestMs: 65 * 60_000,
  idleMs: 75_000,
  lingerMs: 10_000,
  checkMs: 5_000,
};

/** Found dead by TCP itself: a phone that lost its network says nothing. */
const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };

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
  const connections = new Set<ClientConnection>();
  let isEnding = false;
  const host: ConnectionHost = {
    timing,
    handle: gate,
    keptLines: `connection: keep-alive\r\nkeep-alive: timeout=${Math.floor(timing.idleMs / 1_000)}\r\n`,
    isEnding: () => isEnding,
    onFault: (socket, { status, problem }, method) => {
      const rule = method === null ? 'protocol' : 'method';
      const entry = entryOf(parts, addresses.of(socket), rule, problem, status, socket.bytesRead);
      parts.observe({ ...entry, method });
    },
  };
  const accept = (socket: Socket): void => {
    const connection = openConnection(socket, host);
    connections.add(connection);
    socket.once('close', () => connections.delete(connection));
  };
  const server: Server =
    tls === undefined
      ? createServer(socketOptions, accept)
      : createTlsServer(
          {
            ...socketOptions,
            // A client that offers only the older one would get no handshake (RFC 7301 3.2).
            ALPNProtocols: ['http/1.1', 'http/1.0'],
            ...tls,
            minVersion: 'TLSv1.2',
            handshakeTimeout: timing.handshakeMs,
          },
          accept,
        );
  // What never came about cannot be answered; certificates of clients do not make a handshake fail.
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const reason = `no TLS handshake: ${error.code ?? 'failed'}`;
    parts.observe(entryOf(parts, addresses.of(socket), 'protocol', reason, null, socket.bytesRead));
    socket.destroy();
  });
  if (parts.proxyProtocol)
    addresses.takeProxyHeaders(server, {
      timeoutMs: timing.proxyHeaderMs,
      onRefused: (client, problem, bytesIn) =>
        parts.observe(entryOf(parts, client, 'balancer', problem, null, bytesIn)),
    });
  const sockets = socketsOf(server);
  let sweeps: NodeJS.Timeout | undefined;
  server.once('listening', () => {
    sweeps = setInterval(() => {
      const now = performance.now();
      for (const connection of connections) sweep(connection, now);
    }, timing.checkMs);
  });
  server.once('close', () => clearInterval(sweeps));
  const drain = async (graceMs: number, onSweep: () => void): Promise<void> => {
    isEnding = true;
    const closed = close(server);
    const closeAllIdle = (): void => {
      onSweep();
      for (const connection of connections) closeIdle(connection);
    };
    closeAllIdle();
    const cut = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    // Connections that finish their request meanwhile would stay open for the next one.
    const again = setInterval(closeAllIdle, 50);
    await closed;
    clearTimeout(cut);
    clearInterval(again);
  };
  return { server, drain };
};

/** Its sockets, also those that have not got as far as TLS or HTTP. */
const socketsOf = (server: Server): ReadonlySet<Socket> => {
  const sockets = new Set<Socket>();
  server.prependListener('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
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
  new Promise((resolve) => void server.close(() => resolve()));
