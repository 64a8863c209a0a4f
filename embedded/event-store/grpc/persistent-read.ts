/**
 * PersistentSubscriptions.Read: one consumer of a group. Events go out, acknowledgements come in.
 * Mounted by server.ts.
 */
import type grpc from '@grpc/grpc-js';
import type { Farewell } from '../persistent/consumer.ts';
import { groupKey } from '../persistent/definition.ts';
import type { Membership } from '../persistent/group.ts';
import type { Nack } from '../persistent/message.ts';
import type { Registry } from '../persistent/registry.ts';
import {
  asFailure,
  type Failure,
  groupDoesNotExist,
  groupDropped,
  groupFull,
  invalidArgument,
  unavailable,
} from './failures.ts';
import { readGroupName, readSource } from './persistent-requests.ts';
import { persistent } from './protocol.ts';
import { readIdForm, readUuid } from './requests.ts';
import { encodeConfirmation, encodeDelivery } from './wire.ts';

type Call = grpc.ServerDuplexStream<persistent.ReadReq, Buffer>;

/** Events in flight when the client names no window. */
const defaultWindow = 10;

const { Action } = persistent.ReadReq.Nack;
/** An unknown action repeats, as on the real server. */
const nacks: { readonly [action: number]: Nack } = {
  [Action.PARK]: 'park',
  [Action.SKIP]: 'skip',
  [Action.STOP]: 'stop',
};

const idsOf = (list: readonly Parameters<typeof readUuid>[0][]): string[] =>
  list.map((uuid) => {
    const id = readUuid(uuid);
    if (id === undefined) throw invalidArgument('An event id is not a UUID');
    return id;
  });

const connectionNameOf = (call: Call): string => String(call.metadata.get('connection-name')[0] ?? '');

const farewellOf = (stream: string, group: string, { because, detail }: Farewell): Failure =>
  because === 'unavailable' ? unavailable(detail) : groupDropped(stream, group, detail);

/** The name of a call's caller. */
type NameOf = (call: Call) => string;

/** Joins the group that the first message asks for and confirms. Throws a failure. */
const join = (
  registry: Registry,
  call: Call,
  options: persistent.ReadReq.Options,
  username: string,
  fail: (failure: Failure) => void,
): Membership => {
  const stream = readSource(options);
  const name = readGroupName(stream, options);
  const idForm = readIdForm(options.getUuidOption());
  const group = registry.find(stream, name);
  if (!group) throw groupDoesNotExist(stream, name);
  const joined = group.join({
    from: call.getPeer(),
    username,
    connectionName: connectionNameOf(call),
    window: options.getBufferSize() > 0 ? options.getBufferSize() : defaultWindow,
    isReady: () => !call.writableNeedDrain,
    send: (message) => call.write(encodeDelivery(message.resolved, idForm, message.retryCount)),
    end: (farewell) => fail(farewellOf(stream, name, farewell)),
  });
  if ('because' in joined)
    throw joined.because === 'full' ? groupFull(stream, name) : farewellOf(stream, name, joined);
  call.write(encodeConfirmation(groupKey(stream, name)));
  call.on('drain', joined.resume);
  return joined;
};

const answer = (membership: Membership, request: persistent.ReadReq): void => {
  const ack = request.getAck();
  const nack = request.getNack();
  if (ack) membership.ack(idsOf(ack.getIdsList()));
  else if (nack)
    membership.nack(idsOf(nack.getIdsList()), nacks[nack.getAction()] ?? 'retry', nack.getReason());
  else throw invalidArgument('A message holds neither an acknowledgement nor its refusal');
};

/** The handler. `nameOf` tells the caller's name, where callers have names. */
export const persistentReadHandler =
  (
    registry: Registry,
    nameOf: NameOf = () => 'anonymous',
  ): grpc.handleBidiStreamingCall<persistent.ReadReq, Buffer> =>
  (call) => {
    let membership: Membership | undefined;
    let isOver = false;
    const leave = (): void => {
      isOver = true;
      membership?.leave();
      membership = undefined;
    };
    const fail = (failure: Failure): void => {
      if (isOver) return;
      leave();
      call.emit('error', failure);
    };
    call.on('data', (request: persistent.ReadReq) => {
      if (isOver) return;
      try {
        const options = request.getOptions();
        if (membership) answer(membership, request);
        else if (options) membership = join(registry, call, options, nameOf(call), fail);
        else throw invalidArgument('The first message of a consumer has no options');
      } catch (error) {
        fail(asFailure(error));
      }
    });
    call.on('end', () => {
      if (!isOver) call.end();
      leave();
    });
    call.on('cancelled', leave);
    call.on('close', leave);
    // A consumer that vanishes surfaces as an error of the call; there is nobody left to tell.
    call.on('error', leave);
  };
