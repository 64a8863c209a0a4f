/**
 * One request and its answer, as gate.ts sees them: the head is read, the body comes when somebody wants it, and an answer
 * is written whole or piece by piece. Made by connection.ts.
 *
 * Written for a proxy that holds many long polls and passes many small requests: no stream objects, nothing kept of what has
 * been passed on, and a small answer leaves in one write.
 * Source: RFC 9112 6 (framing of answers), 9 (connections); RFC 9110 8.6, 10.1.1 and 15.
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { ReadHeaders } from '../headers.ts';
import { chunkEnd, chunkStart, type Decoder, lastChunk } from './body.ts';
import { dateLine } from './date.ts';
import { inOnePiece } from './slab.ts';

/** Who takes a body, piece by piece. */
export interface BodySink {
  /** False: no more, please, until `resumeBody`. */
  readonly data: (piece: Buffer) => boolean;
  readonly end: () => void;
}

/**
 * `fresh`: nothing has come. `discard`: what is left of a request that was answered already is read away. `closing`: all
 * is said, and the client has time to read it.
 */
export type Phase = 'fresh' | 'head' | 'body' | 'answer' | 'discard' | 'idle' | 'closing';

/**
 * The connection that carries it; changed by this folder alone, but for `closesAfter`. A record and no closures: there is one for
 * each device.
 */
export interface Connection {
  readonly socket: Socket;
  readonly host: {
    /** Whether all connections end with their next answer. */
    readonly isEnding: () => boolean;
    /** What an answer says when the connection goes on. */
    readonly keptLines: string;
  };
  phase: Phase;
  /** When it came to this phase, or when it last got on in it; ms of the process. */
  since: number;
  /** What has come and is not understood yet, and how much of it was looked at. */
  bytes: Buffer | null;
  lookedAt: number;
  exchange: Exchange | null;
  isAdvancing: boolean;
  isPaused: boolean;
  /** It ends with the answer to the current request. */
  closesAfter: boolean;
  /** What waited to be written when somebody last looked, and since when. */
  unsentBytes: number;
  unsentSince: number;
  /** What it had carried when `takeCarried` was last called. */
  carriedIn: number;
  carriedOut: number;
  /** Told of a write that has left, or has failed. */
  flushed(error?: Error | null): void;
}

/** Goes over to a phase. */
export const enter = (connection: Connection, phase: Phase): void => {
  connection.phase = phase;
  connection.since = performance.now();
};

/** Stops reading until `resume`. */
export const pause = (connection: Connection): void => {
  if (connection.isPaused) return;
  connection.isPaused = true;
  connection.socket.pause();
};

/** Reads on. */
export const resume = (connection: Connection): void => {
  if (!connection.isPaused) return;
  connection.isPaused = false;
  // Time in which nothing could be sent is not the client's.
  connection.since = performance.now();
  connection.socket.resume();
};

/** Whether it ends with the answer to the current request, for whatever reason. */
export const closes = ({ closesAfter, host }: Connection): boolean => closesAfter || host.isEnding();

/** Bytes that it has carried since the last time this was asked: heads and chunk sizes too, TLS not. */
export const takeCarried = (
  connection: Connection,
): { readonly bytesIn: number; readonly bytesOut: number } => {
  const { bytesRead, bytesWritten } = connection.socket;
  const carried = {
    bytesIn: bytesRead - connection.carriedIn,
    bytesOut: bytesWritten - connection.carriedOut,
  };
  connection.carriedIn = bytesRead;
  connection.carriedOut = bytesWritten;
  return carried;
};

/** One request and its answer; changed by this folder alone. */
export interface Exchange {
  readonly connection: Connection;
  readonly socket: Socket;
  readonly method: string;
  readonly target: string;
  readonly headers: ReadHeaders;
  /** Whether the client waits for 100 before it sends its body. */
  readonly expectsContinue: boolean;
  readonly isOld: boolean;
  readonly startedAt: number;
  readonly decoder: Decoder;
  /** What has come of the body and nobody has taken. */
  waiting: Buffer[];
  waitingBytes: number;
  sink: BodySink | null;
  peeking: { readonly wantedBytes: number; readonly resolve: (peeked: Peeked) => void } | null;
  /** Of the answer, once there is one. */
  status: number | null;
  /** What has still to be written before the body. */
  head: string;
  framing: 'none' | 'length' | 'chunked' | 'close';
  left: number;
  /** Everything of the answer has been handed to the socket. */
  isAnswered: boolean;
  /** Called once, when the answer has left whole (true) or the client has (false). */
  onOver: ((isAnswered: boolean) => void) | null;
  /** Called when the client takes more of the answer. */
  onDrain: (() => void) | null;
  isOver: boolean;
  /** Its chunks make no sense: it is over. */
  isBroken: boolean;
}

/** What of a body has come. */
export interface Peeked {
  readonly head: Buffer;
  /** True when that is all of it. */
  readonly isWhole: boolean;
  /** False when the client left before it had sent all that it announced. */
  readonly isSound: boolean;
}

/** From now on the client must send. */
const wantBody = (exchange: Exchange): void => {
  const { connection } = exchange;
  if (connection.exchange === exchange && connection.phase === 'answer') enter(connection, 'body');
  resume(connection);
};

/** Whether all of the request has come. */
export const isComplete = ({ decoder }: Exchange): boolean => decoder.step === 'over';

/** All that has come and nobody has taken, in one piece; it is still there afterwards. */
const joined = (exchange: Exchange): Buffer => {
  if (exchange.waiting.length !== 1) exchange.waiting = [Buffer.concat(exchange.waiting)];
  return exchange.waiting[0] as Buffer;
};

const peeked = (exchange: Exchange, isSound: boolean): Peeked => ({
  head: joined(exchange),
  isWhole: isComplete(exchange),
  isSound,
});

/**
 * The first bytes of the body, once there are as many or it has ended: at once if they are there already. Nothing is
 * taken by it.
 */
export const peek = (exchange: Exchange, wantedBytes: number): Peeked | Promise<Peeked> => {
  if (exchange.waitingBytes >= wantedBytes || isComplete(exchange)) return peeked(exchange, true);
  if (exchange.isOver) return peeked(exchange, false);
  wantBody(exchange);
  return new Promise((resolve) => {
    exchange.peeking = { wantedBytes, resolve };
  });
};

/** Answers whoever peeks when there is enough, or when no more will come. */
export const settlePeek = (exchange: Exchange): void => {
  const { peeking } = exchange;
  if (peeking === null) return;
  const isOver = exchange.isOver && !isComplete(exchange);
  if (exchange.waitingBytes < peeking.wantedBytes && !isComplete(exchange) && !isOver) return;
  exchange.peeking = null;
  peeking.resolve(peeked(exchange, !isOver));
};

/** Gives the body to `sink`, from its first byte on. */
export const takeBody = (exchange: Exchange, sink: BodySink): void => {
  exchange.sink = sink;
  const { waiting } = exchange;
  exchange.waiting = [];
  exchange.waitingBytes = 0;
  let takesMore = true;
  for (const piece of waiting) takesMore = sink.data(piece) && takesMore;
  if (isComplete(exchange)) return void sink.end();
  wantBody(exchange);
  if (!takesMore) pause(exchange.connection);
};

/** Goes on with a body whose sink wanted no more. */
export const resumeBody = ({ connection }: Exchange): void => resume(connection);

/** Frees what was looked at; whoever looked sends it on by itself. */
export const forgetBody = (exchange: Exchange): void => {
  exchange.waiting = [];
  exchange.waitingBytes = 0;
};

/** Asks a client that waits to be asked for the body. */
export const sendContinue = ({ socket, expectsContinue, status, decoder, waitingBytes }: Exchange): void => {
  const hasBegun = waitingBytes > 0 || decoder.step === 'over';
  if (expectsContinue && status === null && !hasBegun) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
};

/**
 * Begins the answer. `fields` are lines that end in CRLF, without framing; `sizeBytes` is null when only the end of the
 * body will say. Nothing leaves before the first piece of the body or `flushAnswer`.
 */
export const beginAnswer = (
  exchange: Exchange,
  status: number,
  fields: string,
  sizeBytes: number | null,
): void => {
  const { connection, method, isOld } = exchange;
  exchange.status = status;
  const isBare = status === 204 || status === 304 || method === 'HEAD';
  exchange.framing = isBare ? 'none' : sizeBytes !== null ? 'length' : isOld ? 'close' : 'chunked';
  exchange.left = isBare ? 0 : (sizeBytes ?? 0);
  if (exchange.framing === 'close') connection.closesAfter = true;
  const length = sizeBytes === null || status === 204 ? '' : `content-length: ${sizeBytes}\r\n`;
  const chunks = exchange.framing === 'chunked' ? 'transfer-encoding: chunked\r\n' : '';
  const kept = closes(connection) ? 'connection: close\r\n' : connection.host.keptLines;
  exchange.head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n${fields}${length}${chunks}${kept}\r\n`;
};

/** Pieces up to this size are copied behind the head, so that both leave in one write. */
const smallBytes = 64 * 1024;

/** Writes a piece of the body; false when the client takes no more for now (see `onDrain`). */
export const writeAnswer = (exchange: Exchange, piece: Buffer): boolean => {
  const { socket, framing, head } = exchange;
  if (exchange.isAnswered || socket.destroyed || framing === 'none') return true;
  if (framing === 'chunked') return writeChunk(exchange, piece);
  if (framing === 'length') {
    exchange.left -= piece.length;
    if (exchange.left === 0) exchange.isAnswered = true;
  }
  exchange.head = '';
  const done = exchange.isAnswered ? exchange.connection.flushed : undefined;
  if (head === '') return socket.write(piece, done);
  if (piece.length > smallBytes) {
    socket.write(head, 'latin1');
    return socket.write(piece, done);
  }
  return socket.write(inOnePiece(head, piece), done);
};

const writeChunk = (exchange: Exchange, piece: Buffer): boolean => {
  const { socket, head } = exchange;
  exchange.head = '';
  if (piece.length === 0) return true;
  socket.cork();
  socket.write(`${head}${chunkStart(piece.length)}`, 'latin1');
  socket.write(piece);
  const takesMore = socket.write(chunkEnd, 'latin1');
  socket.uncork();
  return takesMore;
};

/** Lets what was begun leave although no body has come yet. */
export const flushAnswer = (exchange: Exchange): void => {
  const { head, socket } = exchange;
  if (head === '' || exchange.isAnswered || socket.destroyed) return;
  exchange.head = '';
  socket.write(head, 'latin1');
};

/** Ends the answer, all of whose announced length must have been written. */
export const endAnswer = (exchange: Exchange): void => {
  const { socket, framing, head, connection } = exchange;
  if (exchange.isAnswered || socket.destroyed) return;
  exchange.isAnswered = true;
  exchange.head = '';
  const rest = `${head}${framing === 'chunked' ? lastChunk : ''}`;
  // An empty write is still told of when all before it has left.
  socket.write(rest, 'latin1', connection.flushed);
};

/** Answers with a body that is there whole. */
export const answer = (exchange: Exchange, status: number, fields: string, body: Buffer): void => {
  beginAnswer(exchange, status, `${dateLine()}${fields}`, body.length);
  if (body.length > 0 && exchange.framing === 'length') writeAnswer(exchange, body);
  else endAnswer(exchange);
};
