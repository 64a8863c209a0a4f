/**
 * Forwards one allowed request to the mail server and passes the answer back, buffering neither. Called by gate.ts.
 *
 * There is no time limit on the answer: Ping and Sync legitimately wait for an hour (MS-ASCMD 2.2.3.81.2, HeartbeatInterval).
 * A client that leaves ends the request to the mail server too, else abandoned long polls pile up there.
 */
import { responseHeaders } from './headers.ts';
import {
  answer,
  beginAnswer,
  type Exchange,
  endAnswer,
  flushAnswer,
  resumeBody,
  takeBody,
  writeAnswer,
} from './http/exchange.ts';
import {
  abort,
  endBody,
  resumeAnswer,
  type Upstream,
  type UpstreamRequest,
  writeBody,
} from './http/upstream.ts';

/** A request on its way. */
export interface Forwarding {
  /** Ends the request to the mail server at once and leaves the client's answer to the caller. */
  abort(): void;
}

/**
 * Sends `rebuilt`, whose `path` and `fields` are never the client's own, and answers. `done` is told once what went wrong,
 * for the log, or null.
 */
export const forward = (
  upstream: Upstream,
  rebuilt: UpstreamRequest,
  exchange: Exchange,
  publicUrl: URL,
  done: (fault: string | null) => void,
): Forwarding => {
  let fault: string | null = null;
  const sending = upstream.send(rebuilt, {
    head({ status, fields }, sizeBytes) {
      beginAnswer(exchange, status, responseHeaders(status, fields, publicUrl), sizeBytes);
    },
    data(piece) {
      if (writeAnswer(exchange, piece)) return true;
      exchange.onDrain = () => resumeAnswer(sending);
      return false;
    },
    // Usually the first bytes come with the head and have left in one write with it; a long poll may make them wait.
    pause() {
      flushAnswer(exchange);
    },
    end() {
      endAnswer(exchange);
    },
    fail(error) {
      fault = error.message;
      answerFault(error, exchange);
    },
    drain() {
      resumeBody(exchange);
    },
  });
  exchange.onOver = (isAnswered) => {
    // After a complete answer this ends what is left of a request that was answered before it was sent.
    abort(sending);
    if (!isAnswered) fault ??= exchange.isBroken ? 'the body is malformed' : 'the client left';
    done(fault);
  };
  if (!Buffer.isBuffer(rebuilt.body) && rebuilt.body.kind !== 'none')
    takeBody(exchange, {
      data(piece) {
        return writeBody(sending, piece);
      },
      end() {
        endBody(sending);
      },
    });
  return {
    abort() {
      abort(sending);
      if (exchange.onOver === null) return;
      // The caller's answer is no matter of this request any more.
      exchange.onOver = null;
      done(fault);
    },
  };
};

/** Codes of undici and the system that mean nobody is there, as against an answer that makes no sense. */
const unreachable =
  /ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EPIPE|UND_ERR_CONNECT_TIMEOUT/;

const unreachableBody = Buffer.from('The mail server cannot be reached.\n');
const invalidBody = Buffer.from('The mail server gave no valid answer.\n');

const answerFault = (error: Error & { code?: string }, exchange: Exchange): void => {
  if (exchange.status !== null) {
    // The answer is incomplete and must not look complete.
    exchange.socket.destroy();
    return;
  }
  const isAway = unreachable.test(error.code ?? '');
  exchange.connection.closesAfter = true;
  const fields = 'content-type: text/plain; charset=utf-8\r\nretry-after: 30\r\n';
  answer(exchange, isAway ? 503 : 502, fields, isAway ? unreachableBody : invalidBody);
};
