/**
 * The walk of one request: read it, decide, then forward it or refuse it, and log one line. Called by listener.ts for
 * every request that Node's strict HTTP parser accepts.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Pool } from 'undici';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import type { AccessEntry } from './access-log.ts';
import type { ClientAddresses } from './client-address.ts';
import type { ClientCertificates, ShownCertificate } from './client-certificates.ts';
import type { InstanceConfig } from './config.ts';
import { type Credential, readCredential } from './credential.ts';
import { decide } from './decide.ts';
import { type EasRequest, easPath, readTarget, type Unreadable } from './eas.ts';
import { type Forwarding, forward } from './forward.ts';
import { hasBody, type ReadHeaders, readHeaders, requestHeaders } from './headers.ts';
import { endHeartbeat } from './heartbeat.ts';
import type { HeldRequests } from './held.ts';
import type { Decision, Question } from './question.ts';
import { placeholderId } from './rules/validate.ts';
import type { KnownVerdicts } from './table.ts';
import { peekBytes, rootCommand } from './wbxml.ts';

/** What the gate works with; made in instance.ts. */
export interface GateParts {
  readonly instance: InstanceConfig;
  /** Age beyond which verdicts are stale. */
  readonly maxAgeMs: number;
  readonly known: KnownVerdicts;
  readonly backend: Pool;
  readonly held: HeldRequests;
  readonly addresses: Pick<ClientAddresses, 'of'>;
  /** Null where no certificates are asked for. */
  readonly clientCertificates: Pick<ClientCertificates, 'shownBy'> | null;
  /** In place of the two minutes for which a request body may make no progress. */
  readonly bodyIdleMs?: number | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  /** Told of every request once it is over. */
  readonly observe: (entry: AccessEntry) => void;
}

/** What a question is made of besides the request. */
export type QuestionParts = Pick<GateParts, 'known' | 'clock' | 'maxAgeMs'>;

/** A request body that makes no progress for this long is cut; an answer may take as long as it likes. */
const bodyIdleMs = 120_000;
/** How long a refused client may go on sending a body nobody wants, so that it gets to read its refusal. */
const lingerMs = 10_000;

/** Everything that was read from one request. */
interface Reading {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly socket: Socket;
  readonly client: string | null;
  readonly method: string;
  readonly headers: ReadHeaders;
  readonly eas: EasRequest | Unreadable;
  readonly credential: Credential;
  readonly expectsContinue: boolean;
  readonly startedAt: number;
}

/** What a look into the body found, and the whole body again. */
type Peeked = { readonly command: string | null; readonly body: Readable };

/** Handles one request; `expectsContinue` when the client waits for 100 before it sends the body. */
export type Gate = (req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) => void;

/** The gate over these parts. */
export const openGate =
  (parts: GateParts): Gate =>
  (req, res, expectsContinue) => {
    // Both may fail while nobody listens any more (the client or the mail server is gone); that is not a fault.
    req.on('error', () => {});
    res.on('error', () => {});
    const reading = read(parts, req, res, expectsContinue);
    walk(parts, reading).catch((error: unknown) => {
      parts.log.error({ err: error }, 'a request failed inside the proxy');
      const failed = { allow: false, rule: 'internal', reason: 'something went wrong in the proxy' };
      refuse(reading, failed);
      logRequest(parts, reading, failed, null);
    });
  };

const read = (
  { addresses }: GateParts,
  req: IncomingMessage,
  res: ServerResponse,
  expectsContinue: boolean,
): Reading => {
  const method = req.method ?? '';
  const headers = readHeaders(req.rawHeaders, req.httpVersion);
  return {
    req,
    res,
    socket: req.socket,
    client: addresses.of(req.socket, headers.values.get('x-forwarded-for')),
    method,
    headers,
    expectsContinue,
    eas: readTarget(method, req.url ?? ''),
    credential: readCredential(headers.values.get('authorization')),
    startedAt: performance.now(),
  };
};

const walk = async (parts: GateParts, reading: Reading): Promise<void> => {
  const peeked = needsPeek(reading) ? await peek(reading, parts.bodyIdleMs) : null;
  const certificate = () => parts.clientCertificates?.shownBy(reading.socket, parts.clock()) ?? null;
  const decideNow = () => decide(questionOf(parts, reading, peeked?.command ?? null, certificate()));
  const decision = decideNow();
  if (!decision.allow || 'unreadable' in reading.eas) {
    refuse(reading, decision);
    return logRequest(parts, reading, decision, null);
  }
  const { final, fault } = await pass(
    parts,
    reading,
    reading.eas,
    decision,
    decideNow,
    peeked?.body ?? reading.req,
  );
  logRequest(parts, reading, final, fault);
};

/** The question as of now: verdicts and their age change while a request is held. */
export const questionOf = (
  { maxAgeMs, known, clock }: QuestionParts,
  { method, headers, eas, credential }: Pick<Reading, 'method' | 'headers' | 'eas' | 'credential'>,
  bodyCommand: string | null,
  certificate: ShownCertificate | null,
): Question => {
  const keys = easKeys(eas);
  return {
    method,
    eas,
    credential,
    certificate,
    bodyCommand,
    malformed:
      headers.malformed ?? (method === 'OPTIONS' && hasBody(headers.values) ? 'OPTIONS has no body' : null),
    devices: known.table.find(keys),
    devicesOfUser:
      keys[0] === placeholderId && credential.user !== null ? known.table.ofUser(credential.user) : [],
    tableAgeMs: known.contactAt === null ? null : Math.max(0, clock() - known.contactAt),
    maxAgeMs,
  };
};

const easKeys = (eas: EasRequest | Unreadable): readonly string[] =>
  'unreadable' in eas || eas.deviceId === null ? [] : [eas.deviceId, ...eas.aliases];

/** Forwards, and ends the request early when a changed verdict asks for it. */
const pass = async (
  parts: GateParts,
  reading: Reading,
  eas: EasRequest,
  first: Decision,
  decideNow: () => Decision,
  body: Readable,
) => {
  const { req, res, socket } = reading;
  let final = first;
  const forwarding: Forwarding = send(parts, reading, eas, body);
  const release = parts.held.add({
    easIds: easKeys(eas),
    isLongPoll: eas.command === 'Ping' || eas.command === 'Sync',
    decide: decideNow,
    cut: (why) => {
      final = why;
      forwarding.abort();
      if (res.headersSent) res.destroy();
      else if (why.rule === 'stopping' && eas.command === 'Ping') endHeartbeat(res);
      else refuse(reading, why);
    },
  });
  const fault = await forwarding.done;
  release();
  if (!req.complete) linger(socket, res);
  return { final, fault };
};

const send = (parts: GateParts, reading: Reading, eas: EasRequest, body: Readable): Forwarding => {
  const { req, res, socket, client, headers, expectsContinue } = reading;
  const { instance, backend } = parts;
  const { publicUrl } = instance;
  const sendsBody = hasBody(headers.values);
  if (sendsBody) watchBody(req, socket, parts.bodyIdleMs);
  if (expectsContinue && !needsPeek(reading)) res.writeContinue();
  const { pathname } = instance.backend.url;
  const path = pathname === '/' ? easPath : pathname;
  return forward(
    backend,
    {
      method: reading.method === 'OPTIONS' ? 'OPTIONS' : 'POST',
      path: eas.query === '' ? path : `${path}?${eas.query}`,
      headers: requestHeaders(headers.values, eas, {
        address: client ?? '',
        proto: instance.tls === undefined ? publicUrl.protocol.slice(0, -1) : 'https',
        host: publicUrl.host,
      }),
      body: sendsBody ? body : null,
    },
    res,
    publicUrl,
  );
};

/** Node destroys a socket whose timeout passes; cleared once the body is complete, so that long polls may be silent. */
const watchBody = (req: IncomingMessage, socket: Socket, idleMs = bodyIdleMs): void => {
  if (req.readableEnded) return;
  socket.setTimeout(idleMs);
  req.once('end', () => socket.setTimeout(0));
};

/** Only the account set-up rule looks into the body. */
const needsPeek = ({ method, eas, headers }: Reading): boolean =>
  method === 'POST' &&
  headers.malformed === null &&
  easKeys(eas)[0] === placeholderId &&
  hasBody(headers.values);

/** The first bytes of the body and the command they tell; the body is left paused behind them. */
const peek = async (
  { req, res, socket, expectsContinue }: Reading,
  idleMs: number | undefined,
): Promise<Peeked> => {
  watchBody(req, socket, idleMs);
  if (expectsContinue) res.writeContinue();
  const head = await firstBytes(req);
  return { command: rootCommand(head), body: joined(head, req) };
};

const firstBytes = (req: IncomingMessage): Promise<Buffer> =>
  new Promise((resolve) => {
    let head: Buffer = Buffer.alloc(0);
    const settle = () => {
      req.pause();
      req.off('data', take).off('end', settle).off('close', settle);
      resolve(head);
    };
    const take = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk]);
      if (head.length >= peekBytes) settle();
    };
    req.on('data', take).on('end', settle).on('close', settle);
  });

const joined = (head: Buffer, rest: IncomingMessage): Readable => {
  const chunks = async function* () {
    if (head.length > 0) yield head;
    if (!rest.readableEnded) yield* rest;
  };
  return Readable.from(chunks(), { objectMode: false }).on('error', () => {});
};

/** Not about the device: it must come back, which 503 asks for and 403 would put off (MS-ASHTTP 2.2.2.1.1). */
const temporary = new Set(['stopping', 'internal']);

/**
 * The refusal: 403, which ActiveSync clients of every version show as "no access" (MS-ASHTTP 2.2.2.1.1). Never 401, which
 * makes them ask for the password again until the account is locked.
 */
const refuse = ({ req, res, socket, expectsContinue }: Reading, { rule, reason }: Decision): void => {
  if (res.headersSent || res.destroyed) return void res.destroy();
  const body = `Muster does not let this request through: ${reason}.\n`;
  const isTemporary = temporary.has(rule);
  res.writeHead(isTemporary ? 503 : 403, {
    ...(isTemporary ? { 'retry-after': '10' } : {}),
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-muster-reason': rule,
    // The body that was announced will not come, or is not wanted: this connection cannot carry another request.
    ...(expectsContinue || isTemporary ? { connection: 'close' } : {}),
  });
  res.end(body);
  if (req.complete) return;
  req.resume();
  linger(socket, res);
};

/** Closes a connection whose request goes on after its answer, late enough for the client to read the answer. */
const linger = (socket: Socket, res: ServerResponse): void => {
  if (socket.destroyed) return;
  const timer = setTimeout(() => {
    if (!res.req.complete) socket.destroy();
  }, lingerMs);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
};

/** Bytes that the request's connection has carried since the request before it, heads and chunk sizes included. */
const carried = new WeakMap<Socket, { bytesIn: number; bytesOut: number }>();
const takeCarried = (socket: Socket): { bytesIn: number; bytesOut: number } => {
  const before = carried.get(socket);
  const now = { bytesIn: socket.bytesRead, bytesOut: socket.bytesWritten };
  carried.set(socket, now);
  return { bytesIn: now.bytesIn - (before?.bytesIn ?? 0), bytesOut: now.bytesOut - (before?.bytesOut ?? 0) };
};

const logRequest = (
  { observe, instance }: GateParts,
  reading: Reading,
  decision: Decision,
  fault: string | null,
): void => {
  const { eas, credential, res, socket, client, method, startedAt } = reading;
  const request = 'unreadable' in eas ? null : eas;
  const { bytesIn, bytesOut } = takeCarried(socket);
  observe({
    instance: instance.name,
    client,
    method,
    cmd: request?.command ?? null,
    user: credential.user ?? request?.queryUser?.slice(0, 320) ?? null,
    deviceId: request?.deviceId ?? null,
    decision: decision.allow ? 'allow' : 'deny',
    rule: decision.rule,
    reason: decision.reason,
    status: res.headersSent ? res.statusCode : null,
    durationMs: Math.round(performance.now() - startedAt),
    bytesIn,
    bytesOut,
    fault,
  });
};
