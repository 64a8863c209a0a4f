/**
 * Streams.Read: reads and catch-up subscriptions, of one stream or of $all.
 * Mounted by server.ts.
 */
import { randomUUID } from 'node:crypto';
import type { StoredEvent } from '../event.ts';
import { compileFilter } from '../filter.ts';
import { asTheyAre, type MayRead, type Resolved, resolveLinks } from '../links.ts';
import { readAll, readStream } from '../reader.ts';
import { type FilterPlan, followAll, followStream, type Sources, type Subscriber } from '../subscriptions.ts';
import {
  asFailure,
  type Failure,
  invalidArgument,
  isFailure,
  streamDeleted,
  unavailable,
} from './failures.ts';
import type { Guard } from './guard.ts';
import { streams } from './protocol.ts';
import { readFilterRequest, readIdForm, readRevision, readStreamName, required } from './requests.ts';
import { type Outlet, openOutlet, type ReadCall } from './send.ts';
import {
  encodeCaughtUp,
  encodeCheckpoint,
  encodeConfirmation,
  encodeEvent,
  encodeStreamNotFound,
  type IdForm,
} from './wire.ts';

type Options = streams.ReadReq.Options;

/** Events between two checkpoints when the client names no window. */
const defaultWindow = 32;

const readFilter = (options: Options): FilterPlan | undefined => {
  const filter = options.getFilter();
  if (!filter) {
    if (!options.hasNoFilter()) throw invalidArgument('filter_option is missing');
    return undefined;
  }
  const matches = compileFilter(readFilterRequest(filter));
  if (typeof matches === 'string') throw invalidArgument(`The filter was refused: ${matches}`);
  if (filter.hasMax() && filter.getMax() === 0) throw invalidArgument('The search window must be at least 1');
  const window = filter.hasMax() ? filter.getMax() : defaultWindow;
  return { matches, checkpointInterval: window * Math.max(1, filter.getCheckpointintervalmultiplier()) };
};

/** What every read needs to send events. */
interface Sending {
  readonly sources: Sources;
  readonly outlet: Outlet;
  readonly idForm: IdForm;
  readonly resolve: boolean;
  /** Over TLS: which targets of links this caller may see. */
  readonly mayRead: MayRead | undefined;
}

const sendEvents = async (
  { sources, outlet, idForm, resolve, mayRead }: Sending,
  events: readonly StoredEvent[],
): Promise<void> => {
  const resolved: Resolved[] = resolve
    ? await resolveLinks(sources.sql, sources.cache, events, mayRead)
    : asTheyAre(events);
  for (const one of resolved) {
    if (outlet.signal.aborted) return;
    // Waiting for what is not a promise would still cost a turn of the loop for every event.
    const drained = outlet.send(encodeEvent(one, idForm));
    if (drained) await drained;
  }
};

const subscriberOf = (sending: Sending): Subscriber => ({
  signal: sending.outlet.signal,
  events: (events) => sendEvents(sending, events),
  checkpoint: async (position) => sending.outlet.send(encodeCheckpoint(position)),
  caughtUp: async () => sending.outlet.send(encodeCaughtUp()),
});

const nameOf = (options: Options): string => {
  const name = readStreamName(required(options.getStream(), 'stream_option').getStreamIdentifier(), false);
  if (isFailure(name)) throw name;
  return name;
};

const startOfStream = (options: Options): bigint | 'start' | 'end' => {
  const from = required(options.getStream(), 'stream_option');
  if (from.hasStart()) return 'start';
  if (from.hasEnd()) return 'end';
  if (!from.hasRevision()) throw invalidArgument('revision_option is missing');
  const revision = readRevision(from.getRevision());
  return revision < 0n ? 'end' : revision;
};

const startOfAll = (options: Options): bigint | 'start' | 'end' => {
  const from = required(options.getAll(), 'stream_option');
  if (from.hasStart()) return 'start';
  if (from.hasEnd()) return 'end';
  const position = readRevision(required(from.getPosition(), 'all_option').getCommitPosition());
  return position < 0n ? 'end' : position;
};

const subscribeToAll = async (sending: Sending, options: Options): Promise<void> => {
  const filter = readFilter(options);
  const start = startOfAll(options);
  const { recent } = sending.sources;
  await sending.outlet.send(encodeConfirmation(randomUUID()));
  const after = start === 'start' ? -1n : start === 'end' ? recent.last() : start;
  await followAll(sending.sources, after, filter, subscriberOf(sending));
};

const subscribeToStream = async (sending: Sending, options: Options): Promise<void> => {
  const stream = nameOf(options);
  const start = startOfStream(options);
  await sending.outlet.send(encodeConfirmation(randomUUID()));
  const end = await followStream(
    sending.sources,
    stream,
    start === 'start' ? -1n : start,
    subscriberOf(sending),
  );
  if (end === 'deleted') throw streamDeleted(stream);
};

const readCount = (options: Options): number =>
  Number(
    BigInt(options.getCount()) > BigInt(Number.MAX_SAFE_INTEGER)
      ? Number.MAX_SAFE_INTEGER
      : options.getCount(),
  );

const readFromStream = async (
  sending: Sending,
  options: Options,
  backwards: boolean,
  maxCount: number,
): Promise<void> => {
  const stream = nameOf(options);
  const { sql, cache } = sending.sources;
  const pages = await readStream(sql, cache, { stream, from: startOfStream(options), backwards, maxCount });
  if (pages === 'deleted') throw streamDeleted(stream);
  if (pages === 'not-found') {
    await sending.outlet.send(encodeStreamNotFound(stream));
    return;
  }
  for await (const page of pages) {
    await sendEvents(sending, page);
    if (sending.outlet.signal.aborted) return;
  }
};

const readFromAll = async (
  sending: Sending,
  options: Options,
  backwards: boolean,
  maxCount: number,
): Promise<void> => {
  const filter = readFilter(options);
  const pages = readAll(sending.sources.sql, {
    from: startOfAll(options),
    backwards,
    maxCount: filter ? Number.MAX_SAFE_INTEGER : maxCount,
  });
  let left = maxCount;
  for await (const page of pages) {
    const matching = filter ? page.filter(filter.matches).slice(0, left) : page;
    await sendEvents(sending, matching);
    left -= matching.length;
    if (left <= 0 || sending.outlet.signal.aborted) return;
  }
};

/** Lets the caller in, or throws; what it may see of links later. Nothing more is asked while a subscription lasts. */
const admit = async (guard: Guard, call: ReadCall): Promise<MayRead> => {
  const caller = await guard.identify(call).current();
  const options = required(call.request.getOptions(), 'options');
  await guard.require(caller, 'read', options.hasAll() ? '$all' : nameOf(options));
  return (stream, pair) => guard.isAllowed(caller, 'read', stream, pair);
};

const serve = async (
  sources: Sources,
  outlet: Outlet,
  call: ReadCall,
  guard: Guard | undefined,
): Promise<void> => {
  const mayRead = guard && (await admit(guard, call));
  const options = required(call.request.getOptions(), 'options');
  const sending: Sending = {
    sources,
    outlet,
    idForm: readIdForm(options.getUuidOption()),
    resolve: options.getResolveLinks(),
    mayRead,
  };
  const backwards = options.getReadDirection() === streams.ReadReq.Options.ReadDirection.BACKWARDS;
  if (options.hasStream() === options.hasAll()) throw invalidArgument('stream_option is missing');
  if (options.hasStream() && options.hasFilter()) throw invalidArgument('Only $all can be filtered');
  if (options.hasSubscription()) {
    if (backwards) throw invalidArgument('A subscription goes forwards');
    return options.hasAll() ? subscribeToAll(sending, options) : subscribeToStream(sending, options);
  }
  if (!options.hasCount()) throw invalidArgument('count_option is missing');
  const count = readCount(options);
  if (count === 0) return;
  return options.hasAll()
    ? readFromAll(sending, options, backwards, count)
    : readFromStream(sending, options, backwards, count);
};

/** The handler. `onOpen` gets a way to end the call when the server stops; with a `guard`, callers are checked. */
export const readHandler =
  (sources: Sources, onOpen: (end: (failure: Failure) => void) => () => void, guard?: Guard) =>
  (call: ReadCall): void => {
    const outlet = openOutlet(call);
    const forget = onOpen((failure) => {
      outlet.leave();
      call.emit('error', failure);
    });
    serve(sources, outlet, call, guard).then(
      () => {
        forget();
        if (!outlet.signal.aborted) call.end();
      },
      (error) => {
        forget();
        if (!outlet.signal.aborted)
          call.emit('error', isFailure(error) ? error : unavailable(asFailure(error).details));
      },
    );
  };
