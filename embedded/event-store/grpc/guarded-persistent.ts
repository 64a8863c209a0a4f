/**
 * The checks in front of persistent subscriptions, as thin wrappers around their handlers.
 * Mounted by server.ts when it has a guard. Who may do what follows EventStoreDB's legacy policy: `$admins` and `$ops`
 * manage groups, any user may look at them, and a consumer must be allowed to read the stream.
 */
import type grpc from '@grpc/grpc-js';
import type { Caller } from '../security/acl.ts';
import { accessDenied, asFailure } from './failures.ts';
import type { Guard } from './guard.ts';
import type { persistentHandlers } from './persistent.ts';
import { readSource } from './persistent-requests.ts';
import type { persistent } from './protocol.ts';

type Handlers = ReturnType<typeof persistentHandlers>;
type Consumer = grpc.ServerDuplexStream<persistent.ReadReq, Buffer>;

const requireUser = (caller: Caller | undefined): void => {
  if (!caller) throw accessDenied();
};

const guardedUnary =
  <Request, Response>(
    guard: Guard,
    require: (caller: Caller | undefined) => void,
    handler: grpc.handleUnaryCall<Request, Response>,
  ): grpc.handleUnaryCall<Request, Response> =>
  (call, callback) => {
    guard
      .identify(call)
      .current()
      .then(require)
      .then(
        () => handler(call, callback),
        (error) => callback(asFailure(error)),
      );
  };

/** The unary handlers behind their checks. */
export const guardedPersistentHandlers = (handlers: Handlers, guard: Guard): Handlers => {
  const { requireOperator } = guard;
  return {
    create: guardedUnary(guard, requireOperator, handlers.create),
    update: guardedUnary(guard, requireOperator, handlers.update),
    delete: guardedUnary(guard, requireOperator, handlers.delete),
    getInfo: guardedUnary(guard, requireUser, handlers.getInfo),
    list: guardedUnary(guard, requireUser, handlers.list),
    replayParked: guardedUnary(guard, requireOperator, handlers.replayParked),
    restartSubsystem: guardedUnary(guard, requireOperator, handlers.restartSubsystem),
  };
};

/** The first message of a call; undefined when it ends without one. */
const firstOf = (call: Consumer): Promise<persistent.ReadReq | undefined> =>
  new Promise((resolve) => {
    const look = (): void => {
      const first = call.read() as persistent.ReadReq | null;
      if (first === null && !call.readableEnded && !call.destroyed) return;
      call.removeListener('readable', look);
      call.removeListener('end', look);
      call.removeListener('close', look);
      resolve(first ?? undefined);
    };
    call.on('readable', look);
    call.on('end', look);
    call.on('close', look);
  });

/** The handler of Read behind its check: the first message says which stream, and is put back for the handler. */
export const guardedPersistentRead =
  (
    handler: grpc.handleBidiStreamingCall<persistent.ReadReq, Buffer>,
    guard: Guard,
    admitted: (call: Consumer, caller: Caller) => void,
  ): grpc.handleBidiStreamingCall<persistent.ReadReq, Buffer> =>
  (call) => {
    const ignore = (): void => {};
    call.on('error', ignore);
    const admit = async (): Promise<void> => {
      const caller = await guard.identify(call).current();
      if (!caller) throw accessDenied();
      const first = await firstOf(call);
      const options = first?.getOptions();
      if (options) await guard.require(caller, 'read', readSource(options));
      if (call.cancelled || call.destroyed) return;
      admitted(call, caller);
      handler(call);
      call.removeListener('error', ignore);
      if (first) call.unshift(first);
      else call.end();
    };
    admit().catch((error) => call.emit('error', asFailure(error)));
  };
