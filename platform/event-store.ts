/**
 * EventStoreDB through its official client, isolated in this one file: append, read, follow.
 * Opened in each main.ts; called by platform/handle.ts (write side), projections/ and workers/ (followers).
 */
import type { Readable } from 'node:stream';
import {
  type AllStreamSubscription,
  ANY,
  type AppendExpectedRevision,
  BACKWARDS,
  END,
  EventStoreDBClient,
  FORWARDS,
  jsonEvent,
  MaxAppendSizeExceededError,
  NO_STREAM,
  type ResolvedEvent,
  START,
  StreamDeletedError,
  type StreamingRead,
  StreamNotFoundError,
  streamNameFilter,
  WrongExpectedVersionError,
} from '@eventstore/db-client';
import { readEventData } from '../domain/events.ts';
import { type TenantId, tenantId as tenantIdSchema } from '../domain/ids.ts';
import { MusterError } from './errors.ts';

/** Who caused an event. */
export interface Actor {
  readonly kind: 'account' | 'api-key' | 'device' | 'proxy' | 'system' | 'user';
  /** The id of the account, API key, device or proxy; the name of the part for `system`. */
  readonly id: string;
  /** An operator within a tenant, by the support access that the tenant grants: `id` is of the operator's own account. */
  readonly support?: true;
}

/** Metadata that every event carries. `at` is the server time of the decision, ISO 8601 UTC. */
export interface EventMetadata {
  readonly tenantId: TenantId;
  readonly actor: Actor;
  readonly $causationId: string;
  readonly $correlationId: string;
  readonly schemaVersion: number;
  readonly at: string;
}

/** An event as appended: its id (UUID), type and data. */
export interface NewEvent {
  readonly id: string;
  readonly type: string;
  readonly data: unknown;
  readonly metadata: EventMetadata;
}

/** An event as read back: `data` in its current schema version, `revision` in its stream, `position` in the log. */
export interface StoredEvent {
  readonly id: string;
  readonly type: string;
  readonly data: unknown;
  readonly at: string;
  readonly stream: string;
  readonly category: string;
  readonly tenantId: TenantId;
  /** The aggregate's id: what follows the tenant in the stream name. */
  readonly entityId: string;
  readonly revision: bigint;
  readonly position: bigint;
  readonly metadata: EventMetadata;
}

/** Part of the log in order. `position` is where to resume after this batch; `caughtUp` once it reached the end. */
export interface Batch {
  readonly events: readonly StoredEvent[];
  /** Streams that were deleted meanwhile. */
  readonly deleted: readonly string[];
  readonly position: bigint;
  readonly caughtUp: boolean;
}

/** Where an append landed: the stream's new revision and the log position of its last event. */
export interface Appended {
  readonly revision: bigint;
  readonly position: bigint;
}

/** The log. Outages throw `dependency-unavailable`; an event nobody can read throws `event-unreadable`. */
export interface EventStore {
  /**
   * Appends atomically at `expected` (-1n: the stream is new); `'conflict'` when the stream has moved on. Throws
   * `body-too-large` when the store takes no append of that size (1 MiB unless configured otherwise), and
   * `stream-deleted` when the stream was deleted.
   */
  append(stream: string, events: readonly NewEvent[], expected: bigint): Promise<Appended | 'conflict'>;
  /**
   * Reads a stream forwards from `fromRevision` (inclusive); a missing stream is empty, one that was deleted throws
   * `stream-deleted`.
   */
  readStream(stream: string, fromRevision: bigint): AsyncGenerator<StoredEvent>;
  /** Reads the log forwards after `afterPosition` to its present end, one tenant's events only when named. */
  readAll(options?: { afterPosition?: bigint; tenantId?: TenantId }): AsyncGenerator<StoredEvent>;
  /**
   * Follows the log after `afterPosition` for ever, in batches of at most `maxBatch`; ends when `signal` aborts. With
   * `checkpoints`, `position` goes on while events of other categories pass, in batches without events.
   */
  follow(options: {
    afterPosition?: bigint | undefined;
    categories: readonly string[];
    maxBatch?: number;
    checkpoints?: boolean;
    signal: AbortSignal;
  }): AsyncGenerator<Batch>;
  /**
   * Deletes a stream for good (a tombstone): nothing can be read from it or appended to it any more. What was in it
   * leaves the disk with the next scavenge. A stream that was deleted before, or never was, is fine.
   */
  deleteStream(stream: string): Promise<void>;
  /** Position of the log's last event, 0n when empty. Proves that the store answers. */
  lastPosition(): Promise<bigint>;
  close(): Promise<void>;
}

/** Stream of one aggregate: `<category>-<tenantId>_<id>`. */
export const streamName = (category: string, tenantId: TenantId, id: string): string =>
  `${category}-${tenantId}_${id}`;

const splitStream = (
  stream: string,
): { category: string; tenantId: TenantId; entityId: string } | undefined => {
  const match = /^([a-z][a-z-]*)-(ten[0-9a-z]{26})_(.+)$/.exec(stream);
  if (!match) return undefined;
  const tenant = tenantIdSchema.safeParse(match[2]);
  return tenant.success
    ? { category: match[1] as string, tenantId: tenant.data, entityId: match[3] as string }
    : undefined;
};

const unreadable = (stream: string, revision: bigint, type: string, cause: unknown): MusterError =>
  new MusterError(
    'event-unreadable',
    `${stream}@${revision} (${type}): ${cause instanceof Error ? cause.message : String(cause)}`,
    { cause },
  );

const decode = (resolved: ResolvedEvent): StoredEvent => {
  const recorded = resolved.event;
  if (!recorded) throw new MusterError('event-unreadable', 'a link whose target is gone');
  const name = splitStream(recorded.streamId);
  const metadata = recorded.metadata as EventMetadata | undefined;
  if (!name || metadata?.tenantId !== name.tenantId || typeof metadata.at !== 'string') {
    throw unreadable(recorded.streamId, recorded.revision, recorded.type, 'not an event that Muster wrote');
  }
  try {
    const data = readEventData(
      name.category,
      recorded.type,
      metadata.schemaVersion,
      recorded.data as Record<string, unknown>,
    );
    const position = recorded.position?.commit ?? resolved.commitPosition ?? 0n;
    return {
      id: recorded.id,
      type: recorded.type,
      data,
      at: metadata.at,
      stream: recorded.streamId,
      ...name,
      revision: recorded.revision,
      position,
      metadata,
    };
  } catch (cause) {
    throw unreadable(recorded.streamId, recorded.revision, recorded.type, cause);
  }
};

/** Any error of the client (typed, or a raw gRPC status) as an outage of the store. */
const outage = (cause: unknown): MusterError =>
  cause instanceof MusterError
    ? cause
    : new MusterError(
        'dependency-unavailable',
        `event store: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );

/** The client gives up after 10 s by itself, except on a connection that broke before it noticed. */
const answerTimeoutMs = 12_000;

/** Settles as `answer` does, or throws when it has not settled in time: some broken appends never do. */
const inTime = async <T>(answer: Promise<T>): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), answerTimeoutMs);
  });
  try {
    return await Promise.race([answer, silence]);
  } finally {
    clearTimeout(timer);
  }
};

/**
 * Everything of a read. One that its reader abandons is cancelled and then run dry rather than destroyed: what the
 * client pipes into a destroyed read never ends, and closing the client would wait for that end for ever.
 */
async function* drain(read: StreamingRead<ResolvedEvent>): AsyncGenerator<ResolvedEvent> {
  let ended = false;
  try {
    for await (const resolved of read.iterator({ destroyOnReturn: false })) yield resolved as ResolvedEvent;
    ended = true;
  } finally {
    if (!ended) {
      read.on('error', () => {}).resume();
      await read.cancel();
    }
  }
}

const streamDeleted = (stream: string, cause: unknown): MusterError =>
  new MusterError('stream-deleted', `${stream} was deleted`, { cause });

/** Whether it is an event of Muster's: a tombstone is one of the store's own, in the stream that it ends. */
const isFact = ({ event }: ResolvedEvent): boolean => event?.type.startsWith('$') !== true;

const utf8 = new TextEncoder();

const append = async (
  client: EventStoreDBClient,
  stream: string,
  events: readonly NewEvent[],
  expected: bigint,
): Promise<Appended | 'conflict'> => {
  const expectedRevision: AppendExpectedRevision = expected < 0n ? NO_STREAM : expected;
  try {
    const stored = events.map((event) =>
      jsonEvent({
        ...event,
        data: event.data as Record<string, unknown>,
        // As bytes: the client turns an object into base64 and back, which costs more than everything else here.
        metadata: utf8.encode(JSON.stringify(event.metadata)),
      }),
    );
    const result = await inTime(client.appendToStream(stream, stored, { expectedRevision }));
    return { revision: result.nextExpectedRevision, position: result.position?.commit ?? 0n };
  } catch (cause) {
    if (cause instanceof WrongExpectedVersionError) return 'conflict';
    if (cause instanceof StreamDeletedError) throw streamDeleted(stream, cause);
    if (cause instanceof MaxAppendSizeExceededError)
      throw new MusterError('body-too-large', 'more than can be stored at once', { cause });
    throw outage(cause);
  }
};

/** Reads again from where it stood when its connection ended, this many times. */
const readTries = 5;

/** Whether the connection ended under a call that nothing else was wrong with. */
const connectionEnded = (cause: unknown): boolean =>
  cause instanceof Error && /Session closed|Connection dropped/.test(cause.message);

async function* readStream(
  client: EventStoreDBClient,
  stream: string,
  fromRevision: bigint,
): AsyncGenerator<StoredEvent> {
  let next = fromRevision;
  for (let tries = 1; ; tries += 1) {
    try {
      const read = client.readStream(stream, { direction: FORWARDS, fromRevision: next });
      for await (const resolved of drain(read)) {
        const event = decode(resolved);
        next = event.revision + 1n;
        yield event;
      }
      return;
    } catch (cause) {
      if (cause instanceof StreamNotFoundError) return;
      if (cause instanceof StreamDeletedError) throw streamDeleted(stream, cause);
      if (!connectionEnded(cause) || tries === readTries) throw outage(cause);
    }
  }
}

async function* readAll(
  client: EventStoreDBClient,
  options: { afterPosition?: bigint; tenantId?: TenantId },
): AsyncGenerator<StoredEvent> {
  const { afterPosition = -1n, tenantId } = options;
  const fromPosition = afterPosition < 0n ? START : { commit: afterPosition, prepare: afterPosition };
  try {
    for await (const resolved of drain(client.readAll({ direction: FORWARDS, fromPosition }))) {
      const name = resolved.event && splitStream(resolved.event.streamId);
      if (!name || !isFact(resolved) || (tenantId && name.tenantId !== tenantId)) continue;
      const event = decode(resolved);
      if (event.position > afterPosition) yield event;
    }
  } catch (cause) {
    throw outage(cause);
  }
}

/** How far a subscription with a filter has looked. */
interface Checkpoint {
  readonly checkpoint: bigint;
}
type Arrival = ResolvedEvent | Checkpoint;

const isCheckpoint = (arrival: Arrival | undefined): arrival is Checkpoint =>
  arrival !== undefined && 'checkpoint' in arrival;

const batchOf = (arrivals: readonly Arrival[], caughtUp: boolean): Batch => {
  const resolved = arrivals.filter((arrival): arrival is ResolvedEvent => !isCheckpoint(arrival));
  const events = resolved.filter(isFact).map(decode);
  const deleted = resolved.flatMap((one) => (one.event && !isFact(one) ? [one.event.streamId] : []));
  const last = arrivals.at(-1);
  const position = isCheckpoint(last) ? last.checkpoint : (events.at(-1)?.position ?? -1n);
  return { events, deleted, position, caughtUp };
};

/** Drains a subscription into batches: whatever has arrived, up to `maxBatch`, never waiting for more. */
async function* batches(
  subscription: AllStreamSubscription,
  maxBatch: number,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  let arrived: Arrival[] = [];
  let failure: unknown;
  let ended = false;
  let caughtUp = false;
  let wake: () => void = () => {};
  const notify = () => wake();
  const finish = () => {
    ended = true;
    notify();
  };
  subscription.on('data', (arrival: Arrival) => {
    if (arrived.push(arrival) >= 4 * maxBatch) subscription.pause();
    notify();
  });
  subscription.on('caughtUp', () => {
    caughtUp = true;
    notify();
  });
  subscription.on('error', (error: unknown) => {
    failure = error;
    finish();
  });
  subscription.on('end', finish).on('close', finish);
  signal.addEventListener('abort', finish, { once: true });
  let announced = false;
  try {
    while (!signal.aborted) {
      if (arrived.length > 0 || (caughtUp && !announced)) {
        const taken = arrived.slice(0, maxBatch);
        arrived = arrived.slice(maxBatch);
        if (subscription.isPaused() && arrived.length < maxBatch) subscription.resume();
        announced ||= caughtUp && arrived.length === 0;
        yield batchOf(taken, caughtUp && arrived.length === 0);
      } else if (failure !== undefined) throw failure;
      else if (ended)
        throw new MusterError('dependency-unavailable', 'the event store ended the subscription');
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    signal.removeEventListener('abort', finish);
    await subscription.unsubscribe().catch(() => {});
  }
}

/**
 * Options that tell how far the subscription has looked, about every 32 events. Among the events, where it belongs:
 * the callback runs ahead of those that were received but not yet read.
 */
const toldCheckpoints = {
  maxSearchWindow: 32,
  checkpointInterval: 1,
  checkpointReached: (subscription: AllStreamSubscription, { commit }: { readonly commit: bigint }) => {
    (subscription as Readable).push({ checkpoint: commit } satisfies Checkpoint);
  },
};

async function* follow(
  client: EventStoreDBClient,
  options: Parameters<EventStore['follow']>[0],
): AsyncGenerator<Batch> {
  const { afterPosition, categories, maxBatch = 500, checkpoints = false, signal } = options;
  const subscription = client.subscribeToAll({
    fromPosition:
      afterPosition === undefined || afterPosition < 0n
        ? START
        : { commit: afterPosition, prepare: afterPosition },
    filter: streamNameFilter({
      prefixes: categories.map((category) => `${category}-`),
      ...(checkpoints ? toldCheckpoints : { checkpointInterval: 100 }),
    }),
  });
  try {
    yield* batches(subscription, maxBatch, signal);
  } catch (cause) {
    if (!signal.aborted) throw outage(cause);
  }
}

/**
 * The same server by a connection of its own: gRPC shares one among all channels of a process whose options are equal,
 * so that this one waits a millisecond longer for the answer to a keepalive ping (10 s by default).
 */
const ownConnection = (connectionString: string): string => {
  const [server = '', query = ''] = connectionString.split('?', 2);
  const settings = query.split('&').filter((setting) => setting !== '');
  const isTimeout = (setting: string): boolean => /^keepAliveTimeout=/i.test(setting);
  const timeoutMs = Number(settings.find(isTimeout)?.split('=')[1] ?? 10_000);
  const longer = timeoutMs < 0 ? 2 ** 31 - 1 : timeoutMs + 1;
  return `${server}?${[...settings.filter((setting) => !isTimeout(setting)), `keepAliveTimeout=${longer}`].join('&')}`;
};

/** Opens the log at an EventStoreDB connection string (`esdb://host:2113?tls=false`). Channels are lazy. */
export const openEventStore = (connectionString: string): EventStore => {
  const client = EventStoreDBClient.connectionString(connectionString);
  // The client cancels its read of a stream that does not exist, and the HTTP/2 library of Node 20 ends a connection on
  // which more calls are cancelled than 1,000 at once and 33 a second from then on (nghttp2's guard against rapid
  // resets; it has no setting). Such reads have a connection of their own, so that no append is under way on it.
  const reader = EventStoreDBClient.connectionString(ownConnection(connectionString));
  return {
    append: (stream, events, expected) => append(client, stream, events, expected),
    readStream: (stream, fromRevision) => readStream(reader, stream, fromRevision),
    readAll: (options = {}) => readAll(client, options),
    follow: (options) => follow(client, options),
    async deleteStream(stream) {
      try {
        await inTime(client.tombstoneStream(stream, { expectedRevision: ANY }));
      } catch (cause) {
        if (!(cause instanceof StreamDeletedError)) throw outage(cause);
      }
    },
    async lastPosition() {
      try {
        let last = 0n;
        const newest = client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 1 });
        for await (const { event, commitPosition } of newest)
          last = event?.position?.commit ?? commitPosition ?? 0n;
        return last;
      } catch (cause) {
        throw outage(cause);
      }
    },
    async close() {
      await Promise.all([client.dispose(), reader.dispose()]);
    },
  };
};
