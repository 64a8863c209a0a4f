/**
 * Streams.BatchAppend: many appends over one long call, told apart by correlation ids, answered exactly once each.
 * Mounted by server.ts. Clients use it whenever an append has no credentials of its own; those of the client come with
 * the call, once.
 */
import type grpc from '@grpc/grpc-js';
import type { NewEvent } from '../event.ts';
import type { Expected } from '../expected.ts';
import type { WriteOutcome, Writer } from '../writer.ts';
import { asFailure, type Failure, isFailure, maxAppendBytes } from './failures.ts';
import type { Guard, Identity } from './guard.ts';
import { any, empty, shared, status, streams, wrappers } from './protocol.ts';
import { readProposed, readRevision, readStreamName, readUuid } from './requests.ts';

type Call = grpc.ServerDuplexStream<streams.BatchAppendReq, streams.BatchAppendResp>;
type Options = streams.BatchAppendReq.Options;

/** What goes wrong with one append: the full name of a protobuf type, its message, and a gRPC code. */
interface Fault {
  readonly code: number;
  readonly message: string;
  readonly type: string;
  readonly details: { serializeBinary(): Uint8Array };
}

const codes = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  internal: 13,
  unavailable: 14,
} as const;

const ofClient = (type: string): string => `event_store.client.${type}`;

const badRequest = (message: string): Fault => ({
  code: codes.invalidArgument,
  message,
  type: ofClient('BadRequest'),
  details: new shared.BadRequest().setMessage(message),
});
const timedOut = (): Fault => ({
  code: codes.deadlineExceeded,
  message: 'Timeout',
  type: ofClient('Timeout'),
  details: new shared.Timeout(),
});
const tooLarge = (): Fault => ({
  code: codes.invalidArgument,
  message: 'Maximum Append Size Exceeded',
  type: ofClient('MaximumAppendSizeExceeded'),
  details: new shared.MaximumAppendSizeExceeded().setMaxappendsize(maxAppendBytes),
});

const denied = (): Fault => ({
  code: codes.permissionDenied,
  message: 'Access Denied',
  type: ofClient('AccessDenied'),
  details: new shared.AccessDenied(),
});

const conflict = (expected: Expected, current: bigint): Fault => {
  const details = new shared.WrongExpectedVersion();
  if (current < 0n) details.setCurrentNoStream(new empty.Empty());
  else details.setCurrentStreamRevision(current.toString());
  if (expected === 'any') details.setExpectedAny(new empty.Empty());
  else if (expected === 'stream-exists') details.setExpectedStreamExists(new empty.Empty());
  else if (expected === -1n) details.setExpectedNoStream(new empty.Empty());
  else details.setExpectedStreamPosition(expected.toString());
  return {
    code: codes.failedPrecondition,
    message: 'WrongExpectedVersion',
    type: ofClient('WrongExpectedVersion'),
    details,
  };
};

/** One append on its way in. */
interface Incoming {
  readonly correlationId: shared.UUID;
  readonly options: Options | undefined;
  readonly events: NewEvent[];
  bytes: number;
  fault: Fault | undefined;
}

const readExpected = (options: Options): Expected | undefined => {
  const { ExpectedStreamPositionCase: cases } = streams.BatchAppendReq.Options;
  switch (options.getExpectedStreamPositionCase()) {
    case cases.STREAM_POSITION:
      return readRevision(options.getStreamPosition());
    case cases.NO_STREAM:
      return -1n;
    case cases.ANY:
      return 'any';
    case cases.STREAM_EXISTS:
      return 'stream-exists';
    default:
      return undefined;
  }
};

/** Without a deadline an append never times out. */
const isPast = (options: Options): boolean => {
  const deadline = options.getDeadline();
  return deadline !== undefined && deadline.getSeconds() * 1000 + deadline.getNanos() / 1e6 <= Date.now();
};

const addEvents = (incoming: Incoming, request: streams.BatchAppendReq): void => {
  for (const message of request.getProposedMessagesList()) {
    if (incoming.fault) return;
    const event = readProposed(message);
    if (isFailure(event)) {
      incoming.fault = badRequest((event as Failure).details);
      return;
    }
    incoming.bytes += event.data.length;
    if (incoming.bytes > maxAppendBytes) {
      incoming.fault = tooLarge();
      incoming.events.length = 0;
    } else incoming.events.push(event);
  }
};

const faultReply = (fault: Fault): status.Status => {
  const details = new any.Any();
  details.pack(fault.details.serializeBinary(), fault.type);
  return new status.Status()
    .setCode(fault.code as never)
    .setMessage(fault.message)
    .setDetails(details);
};

const successReply = (outcome: Extract<WriteOutcome, { done: true }>): streams.BatchAppendResp.Success => {
  const success = new streams.BatchAppendResp.Success();
  if (outcome.revision < 0n) success.setNoStream(new empty.Empty());
  else success.setCurrentRevision(outcome.revision.toString());
  if (outcome.position === undefined) return success.setNoPosition(new empty.Empty());
  const position = new shared.AllStreamPosition()
    .setCommitPosition(outcome.position.toString())
    .setPreparePosition(outcome.position.toString());
  return success.setPosition(position);
};

const echoExpected = (reply: streams.BatchAppendResp, options: Options | undefined): void => {
  if (options?.hasStreamPosition()) reply.setStreamPosition(options.getStreamPosition());
  else if (options?.hasNoStream()) reply.setNoStream(new empty.Empty());
  else if (options?.hasAny()) reply.setAny(new empty.Empty());
  else if (options?.hasStreamExists()) reply.setStreamExists(new empty.Empty());
};

const replyTo = (
  incoming: Incoming,
  result: Extract<WriteOutcome, { done: true }> | Fault,
): streams.BatchAppendResp => {
  const reply = new streams.BatchAppendResp().setCorrelationId(incoming.correlationId);
  // The client reads the stream name of every error without looking whether there is one.
  reply.setStreamIdentifier(incoming.options?.getStreamIdentifier() ?? new shared.StreamIdentifier());
  echoExpected(reply, incoming.options);
  return 'done' in result ? reply.setSuccess(successReply(result)) : reply.setError(faultReply(result));
};

/** Who calls, where callers are checked. */
interface Guarded {
  readonly guard: Guard;
  readonly identity: Identity;
}

/** The outcome for the client, or `unavailable`: the whole call has to end, because the append may have happened. */
const execute = async (
  writer: Writer,
  incoming: Incoming,
  guarded: Guarded | undefined,
): Promise<Extract<WriteOutcome, { done: true }> | Fault | 'unavailable'> => {
  const { options, fault } = incoming;
  // Every append of the call waits for the same answer, so that they stay in order.
  const caller = guarded && (await guarded.identity.current());
  if (!options) return badRequest('The first message of an append has no options');
  if (fault) return fault;
  const stream = readStreamName(options.getStreamIdentifier(), true);
  if (typeof stream !== 'string') return badRequest(stream.details);
  const expected = readExpected(options);
  if (expected === undefined) return badRequest('The expected stream position is missing');
  if (isPast(options)) return timedOut();
  const outcome = await writer.submit({
    kind: 'append',
    stream,
    expected,
    events: incoming.events,
    may: guarded?.guard.writing(caller, 'write', stream),
  });
  if (outcome.done) return outcome;
  switch (outcome.because) {
    case 'wrong-expected-version':
      return conflict(expected, outcome.current);
    case 'access-denied':
      return denied();
    case 'stream-deleted': {
      const identifier = new shared.StreamIdentifier().setStreamName(Buffer.from(stream));
      return {
        code: codes.failedPrecondition,
        message: 'StreamDeleted',
        type: ofClient('StreamDeleted'),
        details: new shared.StreamDeleted().setStreamIdentifier(identifier),
      };
    }
    case 'full':
      // The protocol has no type for it. The client passes the message of a type it does not know on to its caller, but
      // nothing of `Unknown`.
      return {
        code: codes.resourceExhausted,
        message: outcome.detail,
        type: 'google.protobuf.StringValue',
        details: new wrappers.StringValue().setValue(outcome.detail),
      };
    case 'failed':
      return {
        code: codes.internal,
        message: outcome.detail,
        type: ofClient('Unknown'),
        details: new shared.Unknown(),
      };
    case 'unavailable':
      return 'unavailable';
  }
};

/** Reads no further requests while the writer has enough to write. */
const slowDown = (call: Call, writer: Writer): void => {
  const room = writer.room();
  if (!room || call.isPaused()) return;
  call.pause();
  void room.then(() => call.resume());
};

/** The handler. `onOpen` gets a way to end the call when the server stops; with a `guard`, callers are checked. */
export const batchAppendHandler =
  (
    writer: Writer,
    onOpen: (end: (failure: Failure) => void) => () => void,
    unavailable: (details: string) => Failure,
    guard?: Guard,
  ): grpc.handleBidiStreamingCall<streams.BatchAppendReq, streams.BatchAppendResp> =>
  (call) => {
    const arriving = new Map<string, Incoming>();
    let waiting = 0;
    let hasEnded = false;
    let isOver = false;

    const close = (failure?: Failure): void => {
      if (isOver) return;
      isOver = true;
      forget();
      if (failure) call.emit('error', failure);
      else call.end();
    };
    const forget = onOpen((failure) => close(failure));
    const leave = (): void => {
      isOver = true;
      arriving.clear();
      forget();
    };

    const guarded = guard && { guard, identity: guard.identify(call) };

    const finish = async (incoming: Incoming): Promise<void> => {
      waiting += 1;
      let result: Awaited<ReturnType<typeof execute>>;
      try {
        result = await execute(writer, incoming, guarded);
      } catch (error) {
        // Whoever calls is no longer, or not, who they say; nothing more is taken from them.
        return close(asFailure(error));
      }
      waiting -= 1;
      if (isOver) return;
      // An answer "unavailable" exists for whole calls only; the client then fails every append it waits for.
      if (result === 'unavailable') return close(unavailable('The event store cannot write at the moment'));
      call.write(replyTo(incoming, result));
      if (hasEnded && waiting === 0) close();
    };

    call.on('data', (request: streams.BatchAppendReq) => {
      const id = readUuid(request.getCorrelationId());
      const correlationId = request.getCorrelationId();
      if (id === undefined || !correlationId)
        return close({ ...unavailable('A correlation id is not a UUID'), code: codes.invalidArgument });
      const incoming = arriving.get(id) ?? {
        correlationId,
        options: request.getOptions(),
        events: [],
        bytes: 0,
        fault: undefined,
      };
      addEvents(incoming, request);
      if (!request.getIsFinal()) {
        arriving.set(id, incoming);
        return;
      }
      arriving.delete(id);
      void finish(incoming);
      slowDown(call, writer);
    });
    call.on('end', () => {
      hasEnded = true;
      if (waiting === 0) close();
    });
    call.on('error', leave);
    call.on('cancelled', leave);
    if (!guarded) return;
    // Nothing is taken in from a caller before it is known who calls.
    call.pause();
    guarded.identity.current().then(
      () => call.resume(),
      (error) => close(asFailure(error)),
    );
  };
