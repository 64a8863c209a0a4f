/**
 * One client's connection: reads request after request off its socket and gives each to the gate. Opened by listener.ts.
 *
 * A connection carries one request at a time; what a client sends ahead waits. It ends with the answer to whatever leaves in
 * doubt where a message ends, for what follows could be part of it (RFC 9112 6.3, 9.6, 11.2).
 */
import type { Socket } from 'node:net';
import { type ReadHeaders, readHeaders } from '../headers.ts';
import { decode, noBody, openDecoder } from './body.ts';
import {
  type Connection,
  closes,
  type Exchange,
  enter,
  forgetBody,
  isComplete,
  pause,
  resume,
  settlePeek,
} from './exchange.ts';
import { canBecomeHead, endOfHead, readRequestHead } from './head.ts';

/** Times in ms, measured by `sweep`. */
export interface ConnectionTiming {
  /** For a head, from its first byte or the start of the connection. */
  readonly headersMs: number;
  /** Without a byte of a body that is wanted, or without taking anything of an answer. */
  readonly idleBodyMs: number;
  /** For a whole request, which may be a large mail over a slow network. */
  readonly requestMs: number;
  /** Between requests. */
  readonly idleMs: number;
  /** For a client to read its refusal and stop to send. */
  readonly lingerMs: number;
}

/** A request that HTTP does not allow. */
export interface Fault {
  readonly status: number;
  readonly problem: string;
}

/** What connections take from their listener. */
export interface ConnectionHost {
  readonly timing: ConnectionTiming;
  readonly handle: (exchange: Exchange) => void;
  /** Told of what never becomes a request. */
  readonly onFault: (socket: Socket, fault: Fault, method: string | null) => void;
  readonly isEnding: () => boolean;
  /** What an answer says when the connection goes on. */
  readonly keptLines: string;
}

/** Longest head (Node's own limit is smaller); beyond it 431. */
const maxHeadBytes = 32 * 1024;
/** What a client may send ahead of being read: more is left in the kernel. */
const maxAheadBytes = 64 * 1024;

const CR = 13;
const LF = 10;

/** Where the line ends that stand between two requests stop: some clients send one too many (RFC 9112 2.2). */
const afterLineEnds = (bytes: Buffer): number => {
  let at = 0;
  while (bytes[at] === CR && bytes[at + 1] === LF) at += 2;
  return at;
};

const takePiece = (exchange: Exchange, piece: Buffer): void => {
  if (exchange.isOver) return;
  if (exchange.sink !== null) {
    if (!exchange.sink.data(piece)) pause(exchange.connection);
    return;
  }
  exchange.waiting.push(piece);
  exchange.waitingBytes += piece.length;
};

/** A connection of a client, with its host. */
export interface ClientConnection extends Connection {
  readonly host: ConnectionHost;
}

/** Opens one on a socket, whose TLS handshake is over if it has one. */
export const openConnection = (socket: Socket, host: ConnectionHost): ClientConnection => {
  const now = performance.now();
  const connection: ClientConnection = {
    socket,
    host,
    phase: 'fresh',
    since: now,
    bytes: null,
    lookedAt: 0,
    exchange: null,
    isAdvancing: false,
    isPaused: false,
    closesAfter: false,
    unsentBytes: 0,
    unsentSince: now,
    carriedIn: 0,
    carriedOut: 0,
    flushed(error) {
      const { exchange } = connection;
      if (!error && exchange !== null && exchange.isAnswered) over(connection, exchange, true);
    },
  };
  socket.on('data', (piece: Buffer) => {
    const { bytes } = connection;
    if (connection.phase === 'closing') return;
    connection.bytes = bytes === null ? piece : Buffer.concat([bytes, piece]);
    if (!connection.isAdvancing) advance(connection);
  });
  socket.on('drain', () => connection.exchange?.onDrain?.());
  socket.on('error', ignore);
  // Who hangs up while an answer is awaited wants none.
  socket.on('end', () => {
    const { exchange, phase } = connection;
    if (exchange === null ? phase === 'fresh' || phase === 'head' : !exchange.isAnswered) socket.destroy();
  });
  socket.on('close', () => {
    const { exchange } = connection;
    if (exchange !== null) over(connection, exchange, false);
  });
  return connection;
};

const ignore = (): void => {};

/** Acts on time that has passed. */
export const sweep = (connection: ClientConnection, now: number): void => {
  const { socket, host, phase, since, exchange } = connection;
  const { timing } = host;
  const passed = now - since;
  if (takesNothing(connection, now)) socket.destroy();
  else if (phase === 'fresh' && passed > timing.headersMs) socket.destroy();
  else if (phase === 'head' && passed > timing.headersMs)
    refuse(connection, { status: 408, problem: 'the head did not arrive in time' });
  else if (phase === 'body') {
    const isLate = now - (exchange?.startedAt ?? now) > timing.requestMs;
    if (isLate || (!connection.isPaused && passed > timing.idleBodyMs)) socket.destroy();
  } else if (phase === 'idle' && passed > timing.idleMs) close(connection, true);
  else if ((phase === 'closing' || phase === 'discard') && passed > timing.lingerMs) socket.destroy();
};

/** Whether what is to be written has waited for the client too long. */
const takesNothing = (connection: ClientConnection, now: number): boolean => {
  const { writableLength } = connection.socket;
  if (writableLength !== connection.unsentBytes) {
    connection.unsentBytes = writableLength;
    connection.unsentSince = now;
  }
  return writableLength > 0 && now - connection.unsentSince > connection.host.timing.idleBodyMs;
};

/** Closes it unless a request is on it. */
export const closeIdle = (connection: ClientConnection): void => {
  if (connection.phase === 'idle') close(connection, true);
};

/** Ends it once all is written. With bytes unread the system would reset it and the client lose its answer. */
const close = (connection: ClientConnection, hasReadAll: boolean): void => {
  const { socket } = connection;
  connection.bytes = null;
  enter(connection, 'closing');
  if (hasReadAll) return void socket.destroySoon();
  socket.end();
  resume(connection);
};

/** Answers what is no request, and closes. */
const refuse = (connection: ClientConnection, fault: Fault, method: string | null = null): void => {
  const { socket, host } = connection;
  host.onFault(socket, fault, method);
  const rule = method === null ? 'protocol' : 'method';
  const reason = reasonOf(fault.status);
  socket.write(
    `HTTP/1.1 ${fault.status} ${reason}\r\nx-muster-reason: ${rule}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
    'latin1',
  );
  close(connection, false);
};

/** The exchange has been answered, or has lost its client. */
const over = (connection: ClientConnection, ended: Exchange, isAnswered: boolean): void => {
  if (ended.isOver) return;
  ended.isOver = true;
  ended.sink = null;
  settlePeek(ended);
  forgetBody(ended);
  const { onOver } = ended;
  ended.onOver = null;
  ended.onDrain = null;
  onOver?.(isAnswered);
  if (!isAnswered || connection.socket.destroyed) return;
  if (closes(connection)) {
    connection.exchange = null;
    close(connection, isComplete(ended) && connection.bytes === null && ended.headers.malformed === null);
  } else if (isComplete(ended)) next(connection);
  else {
    // What is left of a request that was answered already is read away, for a while.
    enter(connection, 'discard');
    resume(connection);
  }
};

const next = (connection: ClientConnection): void => {
  connection.exchange = null;
  enter(connection, 'idle');
  if (connection.bytes === null) resume(connection);
  else if (!connection.isAdvancing) advance(connection);
};

const advance = (connection: ClientConnection): void => {
  connection.isAdvancing = true;
  while (connection.bytes !== null && connection.phase !== 'closing' && !connection.socket.destroyed) {
    const { exchange, bytes } = connection;
    if (exchange === null) {
      if (!readHead(connection, bytes)) break;
    } else if (isComplete(exchange)) break;
    else if (!readBody(connection, exchange, bytes)) break;
  }
  connection.isAdvancing = false;
  const { bytes, exchange } = connection;
  if (bytes !== null && exchange !== null && bytes.length > maxAheadBytes) pause(connection);
};

/** Starts an exchange; false when more has to come first, or nothing more is wanted. */
const readHead = (connection: ClientConnection, all: Buffer): boolean => {
  const from = connection.lookedAt > 0 ? 0 : afterLineEnds(all);
  if (from === all.length) {
    connection.bytes = null;
    resume(connection);
    return false;
  }
  const end = endOfHead(all, from);
  if (end < 0 || end - from > maxHeadBytes)
    return awaitHead(connection, from === 0 ? all : all.subarray(from), end >= 0);
  connection.bytes = end === all.length ? null : all.subarray(end);
  connection.lookedAt = 0;
  const head = readRequestHead(all, from, end);
  if ('problem' in head) return stop(connection, { status: 400, problem: head.problem });
  const { method, target, version, fields } = head;
  if (method === 'CONNECT')
    return stop(connection, { status: 403, problem: 'only POST and OPTIONS are served' }, method);
  const headers = readHeaders(fields, version);
  const expect = version === '1.1' ? headers.values.get('expect') : undefined;
  const fault = faultOf(headers, version, expect);
  if (fault !== null) return stop(connection, fault);
  if (version === '1.0' || headers.malformed !== null || asksToClose(headers)) connection.closesAfter = true;
  start(connection, headers, method, target, version === '1.0', expect !== undefined);
  return true;
};

const stop = (connection: ClientConnection, fault: Fault, method: string | null = null): false => {
  refuse(connection, fault, method);
  return false;
};

const awaitHead = (connection: ClientConnection, all: Buffer, isTooLong: boolean): false => {
  if (isTooLong || all.length > maxHeadBytes)
    return stop(connection, { status: 431, problem: 'the head is too large' });
  if (connection.phase !== 'head') enter(connection, 'head');
  if (!canBecomeHead(all, connection.lookedAt))
    return stop(connection, { status: 400, problem: 'the head is malformed' });
  connection.bytes = all;
  // A carriage return at the end waits for its line feed.
  connection.lookedAt = Math.max(0, all.length - 1);
  resume(connection);
  return false;
};

const start = (
  connection: ClientConnection,
  headers: ReadHeaders,
  method: string,
  target: string,
  isOld: boolean,
  expectsContinue: boolean,
): void => {
  enter(connection, 'answer');
  const { framing, malformed } = headers;
  const isSound = malformed === null && 'kind' in framing;
  const started: Exchange = {
    connection,
    socket: connection.socket,
    method,
    target,
    headers,
    expectsContinue,
    isOld,
    startedAt: connection.since,
    decoder: openDecoder(isSound ? framing : noBody),
    waiting: [],
    waitingBytes: 0,
    sink: null,
    peeking: null,
    status: null,
    head: '',
    framing: 'none',
    left: 0,
    isAnswered: false,
    onOver: null,
    onDrain: null,
    isOver: false,
    isBroken: false,
  };
  connection.exchange = started;
  const { bytes } = connection;
  // Most bodies come with their head: whoever looks into one then need not wait.
  if (bytes !== null && !isComplete(started) && !readBody(connection, started, bytes)) return;
  connection.host.handle(started);
};

/** False when the body is malformed: the connection is gone. */
const readBody = (connection: ClientConnection, current: Exchange, all: Buffer): boolean => {
  if (connection.phase === 'body') connection.since = performance.now();
  connection.bytes = null;
  const at = decode(current.decoder, all, 0, takePiece, current);
  if (at < 0) {
    // An answer that was begun must not go on into another, and what was forwarded must not look complete.
    current.isBroken = true;
    connection.socket.destroy();
    return false;
  }
  if (at < all.length) connection.bytes = all.subarray(at);
  settlePeek(current);
  if (isComplete(current)) completed(connection, current);
  else if (current.sink === null && current.peeking === null && current.waitingBytes > maxAheadBytes)
    pause(connection);
  return true;
};

const completed = (connection: ClientConnection, current: Exchange): void => {
  if (connection.phase === 'body') enter(connection, 'answer');
  current.sink?.end();
  if (current.isOver && connection.exchange === current) next(connection);
};

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  408: 'Request Timeout',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
};
const reasonOf = (status: number): string => reasons[status] ?? 'Bad Request';

/** RFC 3986 3.2.2, without what no host has: commas and percent-encoding. */
const hostForm = /^[A-Za-z0-9._~!$&'()*+;=:[\]-]*$/;

/** Why a message that is well written must not be served all the same, or null. */
const faultOf = (headers: ReadHeaders, version: string, expect: string | undefined): Fault | null => {
  if ('problem' in headers.framing) return { status: 400, problem: headers.framing.problem };
  const host = headers.values.get('host');
  if (host === undefined && version === '1.1' && headers.values.size > 0)
    return { status: 400, problem: 'HTTP/1.1 without Host' };
  // Of two the values are joined by a comma.
  if (host !== undefined && !hostForm.test(host)) return { status: 400, problem: 'Host is no host' };
  if (expect !== undefined && expect.toLowerCase() !== '100-continue')
    return { status: 417, problem: 'an expectation that nobody can meet' };
  return null;
};

const asksToClose = ({ values }: ReadHeaders): boolean => {
  const value = values.get('connection');
  return value !== undefined && /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i.test(value);
};
