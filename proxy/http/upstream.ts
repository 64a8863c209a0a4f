/**
 * The connections to the mail server: sends one request at a time over each and reads its answer. Opened by
 * mail-server.ts, used by forward.ts.
 *
 * A request is never sent twice: whether a mail has left cannot be known once a connection breaks (RFC 9110 9.2.2).
 * Connections are used again when both sides have said all, and for less time than the mail server keeps them. A server that
 * ends them behind its answers without having said so (SOGo does) gets a new one for each request: one that was used again
 * would be lost on the way, and nobody could tell whether its mail has left.
 * Source: RFC 9112 6.3 (length of answers), 9.3 (persistence); RFC 9110 15.2 (interim answers).
 */
import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import {
  chunkEnd,
  chunkStart,
  type Decoder,
  decode,
  type Framing,
  lastChunk,
  noBody,
  openDecoder,
} from './body.ts';
import { endOfHead, type ResponseHead, readResponseHead, type SentFields, type Version } from './head.ts';
import { inOnePiece } from './slab.ts';

/** What is sent. */
export interface UpstreamRequest {
  readonly method: string;
  readonly path: string;
  /** Field lines, each with its line end; Host and framing are added. */
  readonly fields: string;
  /** All of it, or how it will come by `writeBody`. */
  readonly body: Buffer | Framing;
}

/** Who gets the answer. Each method is called from the connection's own events. */
export interface Receiver {
  /** `sizeBytes` is null when only the end of the body says. */
  head(answer: ResponseHead, sizeBytes: number | null): void;
  /** False: no more until `resumeAnswer`. */
  data(piece: Buffer): boolean;
  /** No more has come for now. */
  pause(): void;
  /** All of the answer has come. */
  end(): void;
  fail(error: Error): void;
  /** More of the request's body may be written. */
  drain(): void;
}

/** One request on its way; changed by this file alone. */
export interface Sending {
  readonly method: string;
  readonly isChunked: boolean;
  readonly receiver: Receiver;
  /** Until it is written: a long poll must not keep its body. */
  request: UpstreamRequest | null;
  link: Link | null;
  /** Pieces of the body that came before there was a connection. */
  early: Buffer[];
  /** All of the body has come. */
  hasEnded: boolean;
  /** All of the request has been written. */
  isSent: boolean;
  isOver: boolean;
}

/** One connection. */
interface Link {
  readonly socket: Socket;
  sending: Sending | null;
  bytes: Buffer | null;
  decoder: Decoder | null;
  isPaused: boolean;
  /** What the mail server said of the connection. */
  keepMs: number;
  idleSince: number;
}

export interface Upstream {
  readonly send: (request: UpstreamRequest, receiver: Receiver) => Sending;
  /** Ends all connections at once. */
  readonly destroy: () => void;
}

export interface UpstreamParts {
  readonly url: URL;
  readonly connect: buildConnector.connector;
}

const maxHeadBytes = 64 * 1024;
/** How long a connection waits for another request at most: IIS gives up after two minutes, others earlier. */
const idleMs = 30_000;
const sweepMs = 5_000;
/** A connection that outlives its answer by as much is one that the mail server means to keep. */
const keptMs = 1_000;

const fault = (message: string, code: string): Error => Object.assign(new Error(message), { code });

/** Opens them; none is made before it is needed. */
export const openUpstream = ({ url, connect }: UpstreamParts): Upstream => {
  const idle: Link[] = [];
  const links = new Set<Link>();
  let isDestroyed = false;
  /** Set when one that was to be used again was ended soon after its answer, until one is seen to be kept. */
  let endsUnsaid = false;
  const target = {
    hostname: url.hostname,
    host: url.host,
    protocol: url.protocol,
    port: url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port,
  };

  const drop = (link: Link): void => {
    links.delete(link);
    const at = idle.indexOf(link);
    if (at >= 0) idle.splice(at, 1);
    link.socket.destroy();
  };

  const takeIdle = (): Link | undefined => {
    // The one used last: the others get the chance to be closed.
    if (!endsUnsaid) return idle.pop();
    const oldest = idle[0];
    if (oldest === undefined || performance.now() - oldest.idleSince < keptMs) return undefined;
    endsUnsaid = false;
    return idle.shift();
  };

  const failed = (link: Link, error: Error): void => {
    const { sending } = link;
    const wasKept = idle.includes(link) || (sending !== null && link.decoder === null && link.idleSince > 0);
    if (wasKept && performance.now() - link.idleSince < keptMs) endsUnsaid = true;
    link.sending = null;
    drop(link);
    if (sending !== null) fail(sending, error);
  };

  const release = (link: Link, head: { readonly isSent: boolean }): void => {
    link.sending = null;
    link.decoder = null;
    if (!head.isSent || link.keepMs <= 0 || link.bytes !== null || isDestroyed) return void drop(link);
    link.idleSince = performance.now();
    idle.push(link);
  };

  const adopt = (socket: Socket): Link => {
    const link: Link = {
      socket,
      sending: null,
      bytes: null,
      decoder: null,
      isPaused: false,
      keepMs: idleMs,
      idleSince: 0,
    };
    links.add(link);
    socket.on('data', (piece: Buffer) => {
      // Nobody asked: whatever it is must not become the answer to the next request.
      if (link.sending === null) return drop(link);
      link.bytes = link.bytes === null ? piece : Buffer.concat([link.bytes, piece]);
      receive(link, failed, release);
    });
    socket.on('drain', () => link.sending?.receiver.drain());
    socket.on('error', (error) => failed(link, error));
    socket.on('end', () => ended(link, failed, release));
    socket.on('close', () => failed(link, fault('the mail server closed the connection', 'UPSTREAM_CLOSED')));
    return link;
  };

  const dial = (sending: Sending): void => {
    connect(target as unknown as buildConnector.Options, (error, socket) => {
      if (error !== null) return fail(sending, error);
      const link = adopt(socket as Socket);
      if (sending.isOver || isDestroyed) return release(link, { isSent: true });
      assign(link, sending, target.host);
    });
  };

  const sweep = setInterval(() => {
    const now = performance.now();
    for (const link of [...idle]) if (now - link.idleSince > link.keepMs) drop(link);
  }, sweepMs);
  sweep.unref();

  return {
    send: (request, receiver) => {
      const { method, body } = request;
      const sending: Sending = {
        method,
        isChunked: !Buffer.isBuffer(body) && body.kind === 'chunked',
        receiver,
        request,
        link: null,
        early: [],
        hasEnded: false,
        isSent: false,
        isOver: false,
      };
      const link = takeIdle();
      if (link === undefined) dial(sending);
      else assign(link, sending, target.host);
      return sending;
    },
    destroy: () => {
      isDestroyed = true;
      clearInterval(sweep);
      for (const link of [...links]) failed(link, fault('the proxy stops', 'UPSTREAM_STOPPED'));
    },
  };
};

const fail = (sending: Sending, error: Error): void => {
  if (sending.isOver) return;
  sending.isOver = true;
  sending.early = [];
  sending.link = null;
  sending.receiver.fail(error);
};

const assign = (link: Link, sending: Sending, host: string): void => {
  link.sending = sending;
  link.keepMs = idleMs;
  sending.link = link;
  const { request, early } = sending;
  if (request === null) return;
  sending.request = null;
  const { method, path, fields, body } = request;
  const head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${fields}`;
  if (Buffer.isBuffer(body)) {
    link.socket.write(inOnePiece(`${head}${lengthLine(method, body.length)}\r\n`, body));
    sending.isSent = true;
    return;
  }
  const framing =
    body.kind === 'chunked'
      ? 'transfer-encoding: chunked\r\n'
      : lengthLine(method, body.kind === 'length' ? body.sizeBytes : 0);
  link.socket.write(`${head}${framing}\r\n`, 'latin1');
  sending.isSent = body.kind === 'none';
  sending.early = [];
  for (const piece of early) writeBody(sending, piece);
  if (sending.hasEnded) endBody(sending);
  else if (early.length > 0 && !link.socket.writableNeedDrain) sending.receiver.drain();
};

/** Only where a body is possible (RFC 9110 8.6). */
const lengthLine = (method: string, sizeBytes: number): string =>
  method === 'POST' || sizeBytes > 0 ? `content-length: ${sizeBytes}\r\n` : '';

/** Writes a piece of the body; false when the mail server takes no more for now (see `Receiver.drain`). */
export const writeBody = (sending: Sending, piece: Buffer): boolean => {
  const { link, isChunked } = sending;
  if (sending.isOver || piece.length === 0) return true;
  if (link === null) {
    sending.early.push(piece);
    return false;
  }
  if (!isChunked) return link.socket.write(piece);
  link.socket.cork();
  link.socket.write(chunkStart(piece.length), 'latin1');
  link.socket.write(piece);
  const takesMore = link.socket.write(chunkEnd, 'latin1');
  link.socket.uncork();
  return takesMore;
};

/** Ends the body. */
export const endBody = (sending: Sending): void => {
  const { link, isChunked } = sending;
  sending.hasEnded = true;
  if (link === null || sending.isSent) return;
  sending.isSent = true;
  if (isChunked) link.socket.write(lastChunk, 'latin1');
};

/** Ends the request at once; its receiver hears nothing more. */
export const abort = (sending: Sending): void => {
  if (sending.isOver) return;
  sending.isOver = true;
  sending.early = [];
  const { link } = sending;
  sending.link = null;
  if (link === null) return;
  link.sending = null;
  link.socket.destroy();
};

/** Goes on with an answer whose receiver wanted no more. */
export const resumeAnswer = ({ link }: Sending): void => {
  if (link === null || !link.isPaused) return;
  link.isPaused = false;
  link.socket.resume();
};

type Failed = (link: Link, error: Error) => void;
type Release = (link: Link, sending: Sending) => void;

const takePiece = (link: Link, piece: Buffer): void => {
  if (link.sending === null || link.sending.receiver.data(piece) || link.isPaused) return;
  link.isPaused = true;
  link.socket.pause();
};

const receive = (link: Link, failed: Failed, release: Release): void => {
  while (link.bytes !== null && link.sending !== null) {
    if (link.decoder === null) {
      if (!readHead(link, link.bytes, failed)) break;
    } else {
      const all: Buffer = link.bytes;
      link.bytes = null;
      const at = decode(link.decoder, all, 0, takePiece, link);
      if (at < 0) return void failed(link, fault('a chunk of the answer is malformed', 'UPSTREAM_MALFORMED'));
      if (at < all.length) link.bytes = all.subarray(at);
    }
    // Nothing may follow an answer that is complete, so that this ends the loop.
    if (link.decoder?.step === 'over') return void complete(link, release);
  }
  link.sending?.receiver.pause();
};

const complete = (link: Link, release: Release): void => {
  const { sending } = link;
  if (sending === null) return;
  sending.isOver = true;
  sending.link = null;
  if (link.isPaused) {
    link.isPaused = false;
    link.socket.resume();
  }
  release(link, sending);
  sending.receiver.end();
};

/** The end of the connection ends an answer that has no other end; any other it breaks off. */
const ended = (link: Link, failed: Failed, release: Release): void => {
  link.keepMs = 0;
  if (link.decoder?.kind !== 'close')
    return void failed(link, fault('the mail server closed the connection', 'UPSTREAM_CLOSED'));
  link.decoder.step = 'over';
  complete(link, release);
};

/** Reads one head; false while it is not complete, or when it makes no sense. */
const readHead = (link: Link, all: Buffer, failed: Failed): boolean => {
  const end = endOfHead(all, 0);
  const isTooLong = (end < 0 ? all.length : end) > maxHeadBytes;
  if (isTooLong) failed(link, fault('the head of the answer is too large', 'UPSTREAM_MALFORMED'));
  if (end < 0 || isTooLong) return false;
  const head = readResponseHead(all, 0, end);
  link.bytes = end === all.length ? null : all.subarray(end);
  const sending = link.sending as Sending;
  if ('problem' in head) return spoilt(link, head.problem, failed);
  const said = saidIn(head.fields);
  const framing = framingOf(sending.method, head, said);
  if ('problem' in framing) return spoilt(link, framing.problem, failed);
  // 100 and other interim answers: the client was asked for its body by the proxy itself.
  if (head.status < 200) return true;
  keepAsSaid(link, head.version, said, framing);
  link.decoder = openDecoder(framing);
  sending.receiver.head(head, said.length === undefined ? null : Number(said.length));
  return true;
};

const spoilt = (link: Link, problem: string, failed: Failed): false => {
  failed(link, fault(problem, 'UPSTREAM_MALFORMED'));
  return false;
};

/** What an answer says of its framing and its connection. */
interface Said {
  length: string | undefined;
  encoding: string | undefined;
  connection: string;
  keepAlive: string;
}

const also = (earlier: string | undefined, value: string): string =>
  earlier === undefined || earlier === '' ? value : `${earlier}, ${value}`;

const saidIn = (fields: SentFields): Said => {
  const said: Said = { length: undefined, encoding: undefined, connection: '', keepAlive: '' };
  for (let at = 0; at < fields.length; at += 3) {
    const value = fields[at + 1] as string;
    switch (fields[at]) {
      case 'content-length':
        said.length = also(said.length, value);
        break;
      case 'transfer-encoding':
        said.encoding = also(said.encoding, value);
        break;
      case 'connection':
        said.connection = also(said.connection, value);
        break;
      case 'keep-alive':
        said.keepAlive = also(said.keepAlive, value);
        break;
    }
  }
  return said;
};

const framingOf = (
  method: string,
  { status, version }: ResponseHead,
  { encoding, length }: Said,
): Framing | { problem: string } => {
  if (status === 101) return { problem: 'the mail server wants to change the protocol' };
  if (status < 200) return noBody;
  if (length !== undefined && !/^\d{1,15}$/.test(length))
    return { problem: 'its content-length is not one number' };
  if (encoding !== undefined && (length !== undefined || version === '1.0'))
    return { problem: 'its framing is ambiguous' };
  if (method === 'HEAD' || status === 204 || status === 304) return noBody;
  if (encoding !== undefined)
    return encoding.toLowerCase() === 'chunked'
      ? { kind: 'chunked' }
      : { problem: 'its transfer-encoding is unknown' };
  return length === undefined ? { kind: 'close' } : { kind: 'length', sizeBytes: Number(length) };
};

const keepAsSaid = (
  link: Link,
  version: Version,
  { connection, keepAlive }: Said,
  { kind }: Framing,
): void => {
  const isKept = version === '1.1' ? !/\bclose\b/i.test(connection) : /\bkeep-alive\b/i.test(connection);
  if (kind === 'close' || !isKept) link.keepMs = 0;
  if (keepAlive === '') return;
  const seconds = /(?:^|[\s,;])timeout=(\d{1,6})/i.exec(keepAlive)?.[1];
  // A second less: what is sent as the other side closes is lost.
  if (seconds !== undefined) link.keepMs = Math.min(link.keepMs, (Number(seconds) - 1) * 1_000);
};
