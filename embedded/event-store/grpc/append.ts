/**
 * Streams.Append: one append a call, its events streamed in. Clients use it when they send credentials.
 * Mounted by server.ts.
 */
import type grpc from '@grpc/grpc-js';
import type { NewEvent } from '../event.ts';
import type { Expected } from '../expected.ts';
import type { WriteOutcome, Writer } from '../writer.ts';
import {
  appendTooLarge,
  asFailure,
  type Failure,
  invalidArgument,
  isFailure,
  maxAppendBytes,
  writeFailure,
} from './failures.ts';
import type { Guard, Identity } from './guard.ts';
import { shared, streams } from './protocol.ts';
import { readProposed, readRevision, readStreamName } from './requests.ts';

type Options = streams.AppendReq.Options;

const readExpected = (options: Options): Expected | Failure => {
  const { ExpectedStreamRevisionCase: cases } = streams.AppendReq.Options;
  switch (options.getExpectedStreamRevisionCase()) {
    case cases.REVISION:
      return readRevision(options.getRevision());
    case cases.NO_STREAM:
      return -1n;
    case cases.ANY:
      return 'any';
    case cases.STREAM_EXISTS:
      return 'stream-exists';
    default:
      return invalidArgument('The expected stream revision is missing');
  }
};

const successOf = (outcome: Extract<WriteOutcome, { done: true }>): streams.AppendResp => {
  const success = new streams.AppendResp.Success();
  if (outcome.revision < 0n) success.setNoStream(new shared.Empty());
  else success.setCurrentRevision(outcome.revision.toString());
  if (outcome.position === undefined) success.setNoPosition(new shared.Empty());
  else {
    const position = new streams.AppendResp.Position();
    success.setPosition(
      position.setCommitPosition(outcome.position.toString()).setPreparePosition(outcome.position.toString()),
    );
  }
  return new streams.AppendResp().setSuccess(success);
};

/** A version conflict is an answer here, not an error (oneof fields of AppendResp.WrongExpectedVersion). */
const conflictOf = (expected: Expected, current: bigint): streams.AppendResp => {
  const conflict = new streams.AppendResp.WrongExpectedVersion();
  if (current < 0n) conflict.setCurrentNoStream(new shared.Empty());
  else conflict.setCurrentRevision(current.toString());
  if (expected === 'any') conflict.setExpectedAny(new shared.Empty());
  else if (expected === 'stream-exists') conflict.setExpectedStreamExists(new shared.Empty());
  else if (expected === -1n) conflict.setExpectedNoStream(new shared.Empty());
  else conflict.setExpectedRevision(expected.toString());
  return new streams.AppendResp().setWrongExpectedVersion(conflict);
};

/** Collects the messages of one call; the first refusal is kept and the rest dropped. */
const openCollector = () => {
  let options: Options | undefined;
  let refusal: Failure | undefined;
  let bytes = 0;
  const events: NewEvent[] = [];
  const addEvent = (message: streams.AppendReq.ProposedMessage): void => {
    const event = readProposed(message);
    if (isFailure(event)) {
      refusal = event;
      return;
    }
    bytes += event.data.length;
    if (bytes > maxAppendBytes) refusal = appendTooLarge();
    else events.push(event);
  };
  return {
    add: (request: streams.AppendReq): void => {
      if (refusal) return;
      const message = request.getProposedMessage();
      if (request.hasOptions()) options ??= request.getOptions();
      else if (!message) refusal = invalidArgument('A message holds neither options nor an event');
      else addEvent(message);
    },
    finish: (): { stream: string; expected: Expected; events: readonly NewEvent[] } => {
      if (refusal) throw refusal;
      if (!options) throw invalidArgument('The options are missing');
      const stream = readStreamName(options.getStreamIdentifier(), true);
      if (typeof stream !== 'string') throw stream;
      const expected = readExpected(options);
      if (isFailure(expected)) throw expected;
      return { stream, expected, events };
    },
  };
};

const answer = async (
  writer: Writer,
  collector: ReturnType<typeof openCollector>,
  guard: Guard | undefined,
  identity: Identity | undefined,
): Promise<streams.AppendResp> => {
  const caller = await identity?.current();
  const request = collector.finish();
  const { stream, expected } = request;
  const may = guard?.writing(caller, 'write', stream);
  await writer.room();
  const outcome = await writer.submit({ kind: 'append', ...request, may });
  if (outcome.done) return successOf(outcome);
  if (outcome.because === 'wrong-expected-version') return conflictOf(expected, outcome.current);
  throw writeFailure(stream, expected, outcome);
};

/** The handler; with a `guard`, callers are checked. */
export const appendHandler =
  (writer: Writer, guard?: Guard): grpc.handleClientStreamingCall<streams.AppendReq, streams.AppendResp> =>
  (call, callback) => {
    const collector = openCollector();
    const identity = guard?.identify(call);
    let isGone = false;
    call.on('data', collector.add);
    call.on('error', () => {
      isGone = true;
    });
    call.on('cancelled', () => {
      isGone = true;
    });
    call.on('end', async () => {
      try {
        // A caller that gave up before the write began must not find it done.
        if (isGone) return;
        callback(null, await answer(writer, collector, guard, identity));
      } catch (error) {
        callback(asFailure(error));
      }
    });
  };
