/**
 * PersistentSubscriptions: create, update, delete, info, list, replay of parked events, restart.
 * Mounted by server.ts; consumers are served by persistent-read.ts.
 */
import type grpc from '@grpc/grpc-js';
import { allStreams } from '../persistent/definition.ts';
import type { Group } from '../persistent/group.ts';
import type { Refusal, Registry } from '../persistent/registry.ts';
import {
  asFailure,
  type Failure,
  groupDoesNotExist,
  groupExists,
  groupFailed,
  invalidArgument,
  unavailable,
} from './failures.ts';
import { infoOf } from './persistent-info.ts';
import { readGroupName, readNewGroup, readSettings, readSource, readStart } from './persistent-requests.ts';
import { persistent, shared } from './protocol.ts';
import { readRevision, required } from './requests.ts';

const failureOf = (stream: string, group: string, refusal: Refusal): Failure => {
  switch (refusal.because) {
    case 'exists':
      return groupExists(stream, group);
    case 'does-not-exist':
      return groupDoesNotExist(stream, group);
    case 'failed':
      return groupFailed(stream, group, refusal.reason);
    case 'unavailable':
      return unavailable(refusal.detail);
  }
};

const throwRefusal = (stream: string, group: string, refusal: Refusal | undefined): void => {
  if (refusal) throw failureOf(stream, group, refusal);
};

/** A unary handler from a function that answers or throws. */
const unary =
  <Request, Response>(
    answer: (request: Request) => Promise<Response>,
  ): grpc.handleUnaryCall<Request, Response> =>
  (call, callback) => {
    // A request that cannot be read throws at once; the promise turns that into an answer too.
    Promise.resolve(call.request)
      .then(answer)
      .then(
        (response) => callback(null, response),
        (error) => callback(asFailure(error)),
      );
  };

const create = (registry: Registry) => async (request: persistent.CreateReq) => {
  const asked = readNewGroup(required(request.getOptions(), 'options'));
  throwRefusal(asked.stream, asked.group, await registry.create(asked));
  return new persistent.CreateResp();
};

const update = (registry: Registry) => async (request: persistent.UpdateReq) => {
  const options = required(request.getOptions(), 'options');
  const identifier = options.getStream()?.getStreamIdentifier() ?? options.getStreamIdentifier();
  const stream = readSource({ hasAll: () => options.hasAll(), getStreamIdentifier: () => identifier });
  const group = readGroupName(stream, options);
  const settings = readSettings(options.getSettings());
  throwRefusal(stream, group, await registry.update(stream, group, settings, readStart(options)));
  return new persistent.UpdateResp();
};

const remove = (registry: Registry) => async (request: persistent.DeleteReq) => {
  const options = required(request.getOptions(), 'options');
  const stream = readSource(options);
  const group = readGroupName(stream, options);
  throwRefusal(stream, group, await registry.remove(stream, group));
  return new persistent.DeleteResp();
};

const findGroup = (
  registry: Registry,
  options: persistent.GetInfoReq.Options | persistent.ReplayParkedReq.Options,
): Group => {
  const stream = readSource(options);
  const name = readGroupName(stream, options);
  const group = registry.find(stream, name);
  if (!group) throw groupDoesNotExist(stream, name);
  return group;
};

const getInfo = (registry: Registry) => async (request: persistent.GetInfoReq) => {
  const group = findGroup(registry, required(request.getOptions(), 'options'));
  return new persistent.GetInfoResp().setSubscriptionInfo(infoOf(await group.state()));
};

const list = (registry: Registry) => async (request: persistent.ListReq) => {
  const options = required(request.getOptions(), 'options');
  const one = options.getListForStream();
  if (!one && !options.hasListAllSubscriptions()) throw invalidArgument('list_option is missing');
  const stream =
    one && readSource({ hasAll: () => one.hasAll(), getStreamIdentifier: () => one.getStream() });
  const groups = registry.list(stream);
  if (stream !== undefined && groups.length === 0) throw groupDoesNotExist(stream, '');
  const states = await Promise.all(groups.map((group) => group.state()));
  return new persistent.ListResp().setSubscriptionsList(states.map(infoOf));
};

const replayParked = (registry: Registry) => async (request: persistent.ReplayParkedReq) => {
  const options = required(request.getOptions(), 'options');
  const stopAt = options.hasStopAt() ? readRevision(options.getStopAt()) : undefined;
  if (stopAt !== undefined && stopAt < 0n) throw invalidArgument('stop_at must not be negative');
  await findGroup(registry, options).replayParked(stopAt);
  return new persistent.ReplayParkedResp();
};

const restartSubsystem = (registry: Registry) => async () => {
  throwRefusal(allStreams, '', await registry.restart());
  return new shared.Empty();
};

/** Handlers by method name, but for `read`. */
export const persistentHandlers = (registry: Registry) => ({
  create: unary(create(registry)),
  update: unary(update(registry)),
  delete: unary(remove(registry)),
  getInfo: unary(getInfo(registry)),
  list: unary(list(registry)),
  replayParked: unary(replayParked(registry)),
  restartSubsystem: unary(restartSubsystem(registry)),
});
