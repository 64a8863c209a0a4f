/**
 * One client's connection: reads request after request off its socket and gives each to the gate. Opened by listener.ts.
 *
 * A connection carries one request at a time; what a client sends ahead waits. It ends with the answer to whatever leaves in
 * doubt where a message ends, for what follows could be part of it (RFC 9112 6.3, 9.6, 11.2).
 */
import type { Socket } from 'node:net';
import { type ReadHeaders, readHeaders } from '../headers.ts';
import { decode, noBody, openDecoder } from './body.ts';
import { type Connection, type Exchange, forgetBody, isComplete, settlePeek } from './exchange.ts';
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

/** `fresh`: nothing has come. `closing`: all is said, and the client has time to read it. */
type Phase = 'fresh' | 'head' | 'body' | 'answer' | 'discard' | 'idle' | 'closing';

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
    if (!exchange.sink.data(piece)) exchange.connection.pause();
    return;
  }
  exchange.waiting.push(piece);
  exchange.waitingBytes += piece.length;
};

/** Opens one on a socket, whose TLS handshake is over if it has one. */
export const openConnection = (socket: Socket, host: ConnectionHost): Connection => {
  const { timing } = host;
  let phase: Phase = 'fresh';
  let since = performance.now();
  /** What has come and is not understood yet, and how much of it was looked at. */
  let bytes: Buffer | null = null;
  let lookedAt = 0;
  let exchange: Exchange | null = null;
  let isAdvancing = false;
  let isPaused = false;
  /** What waited to be written when somebody last looked, and since when. */
  let unsentBytes = 0;
  let unsentSince = since;
  let bytesReadBefore = 0;
  let bytesWrittenBefore = 0;

  const enter = (next: Phase): void => {
    phase = next;
    since = performance.now();
  };

  /** Whether what is to be written has waited for the client too long. */
  const takesNothing = (now: number): boolean => {
    const { writableLength } = socket;
    if (writableLength !== unsentBytes) {
      unsentBytes = writableLength;
      unsentSince = now;
    }
    return writableLength > 0 && now - unsentSince > timing.idleBodyMs;
  };

  const connection: Connection = {
    closesAfter: false,
    keptLines: host.keptLines,
    closes: () => connection.closesAfter || host.isEnding(),
    flushed: (error) => {
      if (!error && exchange !== null && exchange.isAnswered) over(exchange, true);
    },
    pause: () => {
      if (isPaused) return;
      isPaused = true;
      socket.pause();
    },
    resume: () => {
      if (!isPaused) return;
      isPaused = false;
      // Time in which nothing could be sent is not the client's.
      since = performance.now();
      socket.resume();
    },
    wantsBody: (wanted) => {
      if (wanted === exchange && phase === 'answer') enter('body');
      connection.resume();
    },
    sweep: (now) => {
      const passed = now - since;
      if (takesNothing(now)) return void socket.destroy();
      if (phase === 'fresh' && passed > timing.headersMs) socket.destroy();
      else if (phase === 'head' && passed > timing.headersMs)
        refuse({ status: 408, problem: 'the head did not arrive in time' });
      else if (phase === 'body') {
        const isLate = now - (exchange?.startedAt ?? now) > timing.requestMs;
        if (isLate || (!isPaused && passed > timing.idleBodyMs)) socket.destroy();
      } else if (phase === 'idle' && passed > timing.idleMs) close(true);
      else if ((phase === 'closing' || phase === 'discard') && passed > timing.lingerMs) socket.destroy();
    },
    closeIdle: () => {
      if (phase === 'idle') close(true);
    },
    destroy: () => void socket.destroy(),
    takeCarried: () => {
      const { bytesRead, bytesWritten } = socket;
      const carried = { bytesIn: bytesRead - bytesReadBefore, bytesOut: bytesWritten - bytesWrittenBefore };
      bytesReadBefore = bytesRead;
      bytesWrittenBefore = bytesWritten;
      return carried;
    },
  };

  /** Ends it once all is written. With bytes unread the system would reset it and the client lose its answer. */
  const close = (hasReadAll: boolean): void => {
    bytes = null;
    enter('closing');
    if (hasReadAll) return void socket.destroySoon();
    socket.end();
    connection.resume();
  };

  /** Answers what is no request, and closes. */
  const refuse = (fault: Fault, method: string | null = null): void => {
    host.onFault(socket, fault, method);
    const rule = method === null ? 'protocol' : 'method';
    const reason = reasonOf(fault.status);
    socket.write(
      `HTTP/1.1 ${fault.status} ${reason}\r\nx-muster-reason: ${rule}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
      'latin1',
    );
    close(false);
  };

  /** The exchange has been answered, or has lost its client. */
  const over = (ended: Exchange, isAnswered: boolean): void => {
    if (ended.isOver) return;
    ended.isOver = true;
    ended.sink = null;
    settlePeek(ended);
    forgetBody(ended);
    const { onOver } = ended;
    ended.onOver = null;
    ended.onDrain = null;
    onOver?.(isAnswered);
    if (!isAnswered || socket.destroyed) return;
    if (connection.closes()) {
      exchange = null;
      close(isComplete(ended) && bytes === null && ended.headers.malformed === null);
    } else if (isComplete(ended)) next();
    else {
      // What is left of a request that was answered already is read away, for a while.
      enter('discard');
      connection.resume();
    }
  };

  const next = (): void => {
    exchange = null;
    enter('idle');
    if (bytes === null) connection.resume();
    else if (!isAdvancing) advance();
  };

  const advance = (): void => {
    isAdvancing = true;
    while (bytes !== null && phase !== 'closing' && !socket.destroyed) {
      if (exchange === null) {
        if (!readHead(bytes)) break;
      } else if (isComplete(exchange)) break;
      else if (!readBody(exchange, bytes)) break;
    }
    isAdvancing = false;
    if (bytes !== null && exchange !== null && bytes.length > maxAheadBytes) connection.pause();
  };

  /** Starts an exchange; false when more has to come first, or nothing more is wanted. */
  const readHead = (all: Buffer): boolean => {
    const from = lookedAt > 0 ? 0 : afterLineEnds(all);
    if (from === all.length) {
      bytes = null;
      connection.resume();
      return false;
    }
    const end = endOfHead(all, from);
    if (end < 0 || end - from > maxHeadBytes)
      return awaitHead(from === 0 ? all : all.subarray(from), end >= 0);
    bytes = end === all.length ? null : all.subarray(end);
    lookedAt = 0;
    const head = readRequestHead(all, from, end);
    if ('problem' in head) return stop({ status: 400, problem: head.problem });
    const { method, target, version, fields } = head;
    if (method === 'CONNECT')
      return stop({ status: 403, problem: 'only POST and OPTIONS are served' }, method);
    const headers = readHeaders(fields, version);
    const expect = version === '1.1' ? headers.values.get('expect') : undefined;
    const fault = faultOf(headers, version, expect);
    if (fault !== null) return stop(fault);
    if (version === '1.0' || headers.malformed !== null || asksToClose(headers))
      connection.closesAfter = true;
    start(headers, method, target, version === '1.0', expect !== undefined);
    return true;
  };

  const stop = (fault: Fault, method: string | null = null): false => {
    refuse(fault, method);
    return false;
  };

  const awaitHead = (all: Buffer, isTooLong: boolean): false => {
    if (isTooLong || all.length > maxHeadBytes)
      return stop({ status: 431, problem: 'the head is too large' });
    if (phase !== 'head') enter('head');
    if (!canBecomeHead(all, lookedAt)) return stop({ status: 400, problem: 'the head is malformed' });
    bytes = all;
    // A carriage return at the end waits for its line feed.
    lookedAt = Math.max(0, all.length - 1);
    connection.resume();
    return false;
  };

  const start = (
    headers: ReadHeaders,
    method: string,
    target: string,
    isOld: boolean,
    expectsContinue: boolean,
  ): void => {
    enter('answer');
    const { framing, malformed } = headers;
    const isSound = malformed === null && 'kind' in framing;
    const started: Exchange = {
      connection,
      socket,
      method,
      target,
      headers,
      expectsContinue,
      isOld,
      startedAt: since,
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
    exchange = started;
    // Most bodies come with their head: whoever looks into one then need not wait.
    if (bytes !== null && !isComplete(started) && !readBody(started, bytes)) return;
    host.handle(started);
  };

  /** False when the body is malformed: the connection is gone. */
  const readBody = (current: Exchange, all: Buffer): boolean => {
    if (phase === 'body') since = performance.now();
    bytes = null;
    const at = decode(current.decoder, all, 0, takePiece, current);
    if (at < 0) {
      // An answer that was begun must not go on into another, and what was forwarded must not look complete.
      current.isBroken = true;
      socket.destroy();
      return false;
    }
    if (at < all.length) bytes = all.subarray(at);
    settlePeek(current);
    if (isComplete(current)) completed(current);
    else if (current.sink === null && current.peeking === null && current.waitingBytes > maxAheadBytes)
      connection.pause();
    return true;
  };

  const completed = (current: Exchange): void => {
    if (phase === 'body') enter('answer');
    current.sink?.end();
    if (current.isOver && exchange === current) next();
  };

  socket.on('data', (piece: Buffer) => {
    if (phase === 'closing') return;
    bytes = bytes === null ? piece : Buffer.concat([bytes, piece]);
    if (!isAdvancing) advance();
  });
  socket.on('drain', () => exchange?.onDrain?.());
  socket.on('error', () => {});
  // Who hangs up while an answer is awaited wants none.
  socket.on('end', () => {
    if (exchange === null ? phase === 'fresh' || phase === 'head' : !exchange.isAnswered) socket.destroy();
  });
  socket.on('close', () => {
    if (exchange !== null) over(exchange, false);
  });
  return connection;
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
