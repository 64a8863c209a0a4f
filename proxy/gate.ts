/**
 * The walk of one request: read it, decide, then forward it or refuse it, and log one line. Called by http/connection.ts
 * for every request that HTTP allows.
 *
 * Nothing waits that need not: a request whose small body came with its head is decided and sent on at once.
 */
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import type { AccessEntry } from './access-log.ts';
import type { Ask } from './ask.ts';
import { answerJson, answerXml, type OwnAnswer } from './autodiscover.ts';
import type { ClientAddresses } from './client-address.ts';
import type { ClientCertificates, ShownCertificate } from './client-certificates.ts';
import { clientProblem } from './clients.ts';
import type { InstanceConfig } from './config.ts';
import { type Credential, readCredential } from './credential.ts';
import { decide } from './decide.ts';
import type { EasRequest, Unreadable } from './eas.ts';
import { bodyProblem, readEasBody } from './eas-body.ts';
import { readEws } from './ews.ts';
import { type Forwarding, forward } from './forward.ts';
import { hasBody, type ReadHeaders, requestHeaders } from './headers.ts';
import { endHeartbeat } from './heartbeat.ts';
import type { Held, HeldRequests } from './held.ts';
import { noBody } from './http/body.ts';
import {
  answer,
  type Exchange,
  forgetBody,
  type Peeked,
  peek,
  sendContinue,
  takeCarried,
} from './http/exchange.ts';
import type { Upstream } from './http/upstream.ts';
import type { Decision, Question } from './question.ts';
import { refuse } from './refuse.ts';
import { device as unknownDevice } from './rules/device.ts';
import { placeholderId } from './rules/validate.ts';
import type { Sight } from './sightings.ts';
import type { KnownVerdicts } from './table.ts';
import { readSpace, type Target } from './target.ts';
import { peekBytes } from './wbxml.ts';
import { maxXmlBytes } from './xml.ts';

/** What the gate works with; made in instance.ts. */
export interface GateParts {
  readonly instance: InstanceConfig;
  /** Age beyond which verdicts are stale. */
  readonly maxAgeMs: number;
  readonly known: KnownVerdicts;
  readonly upstream: Upstream;
  readonly held: HeldRequests;
  readonly addresses: Pick<ClientAddresses, 'of'>;
  /** Null where no certificates are asked for. */
  readonly clientCertificates: Pick<ClientCertificates, 'shownBy'> | null;
  readonly log: Logger;
  readonly clock: Clock;
  /** Asks the server about a device that is not known. */
  readonly ask: Ask;
  /** Told of a device that is refused because nobody knows it. */
  readonly sight: Sight;
  /** Told of every request once it is over. */
  readonly observe: (entry: AccessEntry) => void;
}

/** What a question is made of besides the request. */
export type QuestionParts = Pick<GateParts, 'known' | 'clock' | 'maxAgeMs'>;

/** Everything that was read from one request. */
interface Reading {
  readonly exchange: Exchange;
  readonly client: string | null;
  readonly method: string;
  readonly headers: ReadHeaders;
  readonly target: Target;
  readonly credential: Credential;
  readonly clientProblem: string | null;
}

/** What of a reading a question is made of. */
export type Asked = Pick<Ruled, 'method' | 'headers' | 'target' | 'credential' | 'clientProblem'>;

/** A request that rules decide. */
type Ruled = Reading & { readonly target: Exclude<Target, { readonly space: 'autodiscover' }> };

/** What a look into the body found. */
interface Looked {
  readonly command: string | null;
  readonly problem: string | null;
  /** All of the body, or null when more of it comes. */
  readonly whole: Buffer | null;
  /** Replaces what the client said. */
  readonly contentType?: string;
}

/** Handles one request. */
export type Gate = (exchange: Exchange) => void;

/** The gate over these parts. */
export const openGate =
  (parts: GateParts): Gate =>
  (exchange) => {
    const reading = read(parts, exchange);
    try {
      const later = isRuled(reading) ? walk(openWalk(parts, reading)) : discover(parts, reading);
      later?.catch((error: unknown) => refuseFault(parts, reading, error));
    } catch (error) {
      refuseFault(parts, reading, error);
    }
  };

const refuseFault = (parts: GateParts, reading: Reading, error: unknown): void => {
  parts.log.error({ err: error }, 'a request failed inside the proxy');
  const failed = { allow: false, rule: 'internal', reason: 'something went wrong in the proxy' };
  refuseIt(parts, reading, failed);
  logRequest(parts, reading, failed, null);
};

const isRuled = (reading: Reading): reading is Ruled => reading.target.space !== 'autodiscover';

const read = ({ instance, addresses }: GateParts, exchange: Exchange): Reading => {
  const { socket, method, headers, target } = exchange;
  const { values } = headers;
  return {
    exchange,
    client: addresses.of(socket, values.get('x-forwarded-for')),
    method,
    headers,
    target: readSpace(method, target, instance),
    credential: readCredential(values.get('authorization')),
    clientProblem: clientProblem(values.get('user-agent'), instance),
  };
};

/** One request on its way through the gate, and in flight behind it. */
interface Walk extends Held {
  readonly parts: GateParts;
  readonly reading: Ruled;
  looked: Looked | null;
  /** The last one, which the log is told. */
  decision: Decision;
  forwarding: Forwarding | null;
}

const undecided: Decision = { allow: false, rule: 'default', reason: 'nothing was decided' };

const openWalk = (parts: GateParts, reading: Ruled): Walk => {
  const { request } = reading.target;
  const command = 'unreadable' in request ? null : request.command;
  return {
    parts,
    reading,
    looked: null,
    decision: undecided,
    forwarding: null,
    easIds: easKeys(request),
    isLongPoll: command === 'Ping' || command === 'Sync',
    before: null,
    after: null,
    decide() {
      const certificate = parts.clientCertificates?.shownBy(reading.exchange.socket, parts.clock()) ?? null;
      return decide(questionOf(parts, reading, this.looked, certificate));
    },
    cut(why) {
      this.decision = why;
      const { exchange } = reading;
      if (exchange.status !== null) exchange.socket.destroy();
      else if (why.rule === 'stopping' && command === 'Ping') endHeartbeat(exchange);
      else refuseIt(parts, reading, why);
      this.forwarding?.abort();
    },
  };
};

/** Decides and answers, at once unless something has to come first. */
const walk = (walked: Walk): void | Promise<void> => {
  const { parts, reading } = walked;
  if (needsEarlyLook(parts, reading)) return walkByBody(walked);
  walked.decision = walked.decide();
  // At once, unless somebody has to be asked: what is wrong with the rest of the request would overtake the refusal.
  return walked.decision.rule === unknownDevice.name ? walkAsking(walked) : walkOn(walked);
};

const walkByBody = async (walked: Walk): Promise<void> => {
  walked.looked = await look(walked.parts, walked.reading);
  walked.decision = walked.decide();
  return walked.decision.rule === unknownDevice.name ? walkAsking(walked) : walkOn(walked);
};

/** A device that nobody knows is asked for once before it is refused: it may have enrolled a moment ago. */
const walkAsking = async (walked: Walk): Promise<void> => {
  const { credential, client } = walked.reading;
  const who = { user: credential.user, address: client ?? '' };
  if (await walked.parts.ask(walked.easIds, who)) walked.decision = walked.decide();
  return walkOn(walked);
};

/** A body is asked for and looked at only when nothing else refuses it. */
const walkOn = (walked: Walk): void | Promise<void> => {
  const { parts, reading } = walked;
  if (!walked.decision.allow || walked.looked !== null || !needsLook(reading)) return finish(walked);
  const looking = look(parts, reading);
  if (looking instanceof Promise)
    return looking.then((looked) => {
      walked.looked = looked;
      walked.decision = walked.decide();
      finish(walked);
    });
  walked.looked = looking;
  // A body that is what it should be changes nothing by itself.
  if (looking.problem !== null) walked.decision = walked.decide();
  return finish(walked);
};

const finish = (walked: Walk): void => {
  const { parts, reading, decision } = walked;
  // While somebody was asked. Nothing would end what was sent on now.
  if (reading.exchange.isOver) return void logRequest(parts, reading, decision, 'the client left');
  const { request } = reading.target;
  if (decision.allow && !('unreadable' in request)) return void pass(walked, request);
  refuseIt(parts, reading, decision);
  if (decision.rule === unknownDevice.name && !('unreadable' in request)) sight(parts, reading, request);
  logRequest(parts, reading, decision, null);
};

/** What the tenant may want to learn: it changes nothing for this request, which is answered. */
const sight = (parts: GateParts, { headers, credential, client }: Ruled, eas: EasRequest): void => {
  const authorization = headers.values.get('authorization');
  if (eas.deviceId === null || credential.user === null || authorization === undefined) return;
  parts.sight({
    easDeviceId: eas.deviceId,
    deviceType: eas.deviceType,
    user: credential.user,
    userAgent: headers.values.get('user-agent') ?? null,
    address: client,
    authorization,
  });
};

/** The question as of now: verdicts and their age change while a request is held. */
export const questionOf = (
  { maxAgeMs, known, clock }: QuestionParts,
  reading: Asked,
  looked: Pick<Looked, 'command' | 'problem'> | null,
  certificate: ShownCertificate | null,
): Question => {
  const { method, headers, target, credential } = reading;
  const keys = easKeys(target.request);
  const namesNoDevice = target.space === 'ews' || keys[0] === placeholderId;
  return {
    space: target.space,
    method,
    eas: target.request,
    credential,
    certificate,
    clientProblem: reading.clientProblem,
    bodyCommand: looked?.command ?? null,
    bodyProblem: looked?.problem ?? null,
    malformed: headers.malformed ?? strayBody(reading),
    devices: known.table.find(keys),
    devicesOfUser: namesNoDevice && credential.user !== null ? known.table.ofUser(credential.user) : [],
    tableAgeMs: known.contactAt === null ? null : Math.max(0, clock() - known.contactAt),
    maxAgeMs,
    staleRule: known.staleRule,
  };
};

/** Only a POST has a body: servers disagree on what one behind another method means. */
const strayBody = ({ method, headers }: Pick<Reading, 'method' | 'headers'>): string | null =>
  method !== 'POST' && hasBody(headers) ? `${method} has no body` : null;

const easKeys = (eas: EasRequest | Unreadable): readonly string[] =>
  'unreadable' in eas || eas.deviceId === null ? [] : [eas.deviceId, ...eas.aliases];

/** Forwards; a verdict that turns meanwhile ends the request early. */
const pass = (walked: Walk, eas: EasRequest): void => {
  const { parts, reading, looked } = walked;
  parts.held.add(walked);
  // It may be in flight for an hour: what it is decided by again is enough to keep.
  walked.looked = looked === null ? null : { ...looked, whole: null };
  walked.forwarding = send(walked, eas, looked, (fault) => {
    parts.held.remove(walked);
    logRequest(parts, reading, walked.decision, fault);
  });
};

const send = (
  { parts, reading }: Walk,
  eas: EasRequest,
  looked: Looked | null,
  done: (fault: string | null) => void,
): Forwarding => {
  const { exchange, client, headers, target } = reading;
  const { instance, upstream } = parts;
  const { publicUrl } = instance;
  if (looked === null) sendContinue(exchange);
  const whole = looked?.whole ?? null;
  if (whole !== null) forgetBody(exchange);
  const fields = requestHeaders(
    headers.values,
    { protocol: target.space, isEncodedQuery: eas.form === 'base64', contentType: looked?.contentType },
    {
      address: client ?? '',
      proto: instance.tls === undefined ? publicUrl.protocol.slice(0, -1) : 'https',
      host: publicUrl.host,
    },
  );
  return forward(
    upstream,
    {
      method: reading.method,
      path: eas.query === '' ? target.path : `${target.path}?${eas.query}`,
      fields,
      body: whole ?? ('kind' in headers.framing ? headers.framing : noBody),
    },
    exchange,
    publicUrl,
    done,
  );
};

/** Traveler's own protocol is not known here: its bodies pass unseen. An EWS request without a body is none. */
const needsLook = ({ method, target, headers }: Ruled): boolean =>
  method === 'POST' &&
  headers.malformed === null &&
  !('unreadable' in target.request) &&
  (target.space === 'ews' || (target.space === 'eas' && hasBody(headers)));

/** The rules of account set-up and of wipes allow by the body, so they must know the body first. */
const needsEarlyLook = ({ known }: GateParts, reading: Ruled): boolean => {
  if (!needsLook(reading)) return false;
  const { request } = reading.target;
  const keys = easKeys(request);
  return (
    keys[0] === placeholderId ||
    (!('unreadable' in request) &&
      request.command === 'Provision' &&
      known.table.find(keys).some(({ wipePending }) => wipePending === true))
  );
};

const look = (parts: GateParts, reading: Ruled): Looked | Promise<Looked> => {
  sendContinue(reading.exchange);
  if (reading.target.space === 'ews') return lookAtEws(parts, reading);
  const seen = peek(reading.exchange, bytesToSee(reading.headers));
  return seen instanceof Promise ? seen.then((later) => lookAtEas(reading, later)) : lookAtEas(reading, seen);
};

const gone = ({ isBroken }: Exchange): string =>
  isBroken ? 'the body is malformed' : 'the client left in the middle of its body';

const bodyHeaders = ({ values }: ReadHeaders) => ({
  contentType: values.get('content-type'),
  contentEncoding: values.get('content-encoding'),
});

/** A body of up to this size is taken whole before it is sent on: far cheaper than a stream, and most are. */
const smallBodyBytes = 64 * 1024;

/**
 * The start of a large body, all of a small one: also of one in chunks, which some mail servers do not read (SOGo), so that
 * they get it with its length however the network has cut it.
 */
const bytesToSee = ({ framing }: ReadHeaders): number => {
  if ('kind' in framing && framing.kind === 'chunked') return smallBodyBytes;
  return 'kind' in framing && framing.kind === 'length' && framing.sizeBytes <= smallBodyBytes
    ? framing.sizeBytes
    : peekBytes;
};

const lookAtEas = ({ exchange, headers, target }: Ruled, { head, isWhole, isSound }: Peeked): Looked => {
  const kind = readEasBody(head, bodyHeaders(headers));
  const asked = 'unreadable' in target.request ? null : target.request.command;
  const problem = asked === null ? null : bodyProblem(asked, kind);
  return {
    command: kind.kind === 'wbxml' ? kind.command : null,
    problem: isSound ? problem : gone(exchange),
    whole: isWhole ? head : null,
  };
};

const lookAtEws = async (parts: GateParts, reading: Ruled): Promise<Looked> => {
  const bytes = await wholeXml(reading);
  if (typeof bytes === 'string') return { command: null, problem: bytes, whole: null };
  const call = readEws(bytes, bodyHeaders(reading.headers), parts.instance.ews.pushHosts);
  return call.operation === null
    ? { command: null, problem: call.problem, whole: bytes }
    : { command: call.operation, problem: null, whole: bytes, contentType: call.contentType };
};

/** The whole of a small body, or what is wrong with it. */
const wholeXml = async ({ exchange, headers }: Reading): Promise<Buffer | string> => {
  const { framing } = headers;
  if ('kind' in framing && framing.kind === 'length' && framing.sizeBytes > maxXmlBytes)
    return 'the document is too large';
  if (!hasBody(headers)) return Buffer.alloc(0);
  sendContinue(exchange);
  const { head, isWhole, isSound } = await peek(exchange, maxXmlBytes + 1);
  if (!isSound) return gone(exchange);
  return isWhole && head.length <= maxXmlBytes ? head : 'the document is too large';
};

/** Answers Autodiscover. Nothing is forwarded and nobody's device is known: the answer is the same for everybody. */
const discover = async (parts: GateParts, reading: Reading): Promise<void> => {
  const found = await discovered(parts, reading);
  if (typeof found === 'string') {
    const decision = { allow: false, rule: 'autodiscover', reason: found };
    refuseIt(parts, reading, decision);
    return logRequest(parts, reading, decision, null);
  }
  const fields = `content-type: ${found.contentType}\r\ncache-control: no-store\r\n`;
  answer(reading.exchange, 200, fields, Buffer.from(found.body));
  const reason = "the instance's own address was told";
  logRequest(parts, reading, { allow: true, rule: 'autodiscover', reason }, null);
};

const discovered = async (parts: GateParts, reading: Reading): Promise<OwnAnswer | string> => {
  const { instance } = parts;
  const { method, headers, target } = reading;
  if (target.space !== 'autodiscover') return 'not Autodiscover';
  const certificate = parts.clientCertificates?.shownBy(reading.exchange.socket, parts.clock());
  const problem = certificate?.problem ?? headers.malformed ?? strayBody(reading) ?? reading.clientProblem;
  if (problem !== null) return problem;
  if (target.form === 'json')
    return method === 'GET' ? answerJson(target.query, instance.publicUrl) : 'only GET is served';
  if (method !== 'POST') return 'only POST is served';
  const bytes = await wholeXml(reading);
  return typeof bytes === 'string' ? bytes : answerXml(bytes, instance.publicUrl);
};

const refuseIt = ({ instance }: GateParts, reading: Reading, decision: Decision): void => {
  const { exchange, target, headers } = reading;
  refuse(
    {
      exchange,
      eas: target.space === 'eas' ? target.request : null,
      protocolVersion: headers.values.get('ms-asprotocolversion'),
      blockAnswer: instance.blockAnswer,
    },
    decision,
  );
};

const logRequest = (
  { observe, instance }: GateParts,
  reading: Reading,
  decision: Decision,
  fault: string | null,
): void => {
  const { target, credential, client, method } = reading;
  const { connection, status, startedAt } = reading.exchange;
  const request = !('request' in target) || 'unreadable' in target.request ? null : target.request;
  const { bytesIn, bytesOut } = takeCarried(connection);
  observe({
    instance: instance.name,
    client,
    method,
    protocol: target.space,
    cmd: request?.command ?? null,
    user: credential.user ?? request?.queryUser?.slice(0, 320) ?? null,
    deviceId: request?.deviceId ?? null,
    decision: decision.allow ? 'allow' : 'deny',
    rule: decision.rule,
    reason: decision.reason,
    status,
    durationMs: Math.round(performance.now() - startedAt),
    bytesIn,
    bytesOut,
    fault,
  });
};
