/**
 * What a persistent subscription is: a named group of consumers of one stream or of $all, and its settings.
 * Stored by registry.ts as JSON, asked for through grpc/persistent-requests.ts.
 */
import { z } from 'zod';
import type { StoredEvent } from '../event.ts';
import { compileFilter, type Filter, type FilterRequest } from '../filter.ts';

/** How events are shared among the consumers of a group. */
export const strategies = ['DispatchToSingle', 'RoundRobin', 'Pinned', 'PinnedByCorrelation'] as const;

const int32 = z
  .int()
  .min(-(2 ** 31))
  .max(2 ** 31 - 1);
const count = int32.min(0);

/** Settings as in EventStoreDB's PersistentSubscriptionEntry; times in ms, `maxSubscriberCount` 0 means unlimited. */
export const settingsSchema = z.object({
  resolveLinks: z.boolean(),
  extraStatistics: z.boolean(),
  messageTimeoutMs: count,
  maxRetryCount: count,
  checkpointAfterMs: count,
  minCheckpointCount: count,
  maxCheckpointCount: count,
  maxSubscriberCount: count,
  liveBufferSize: count,
  readBatchSize: count,
  historyBufferSize: count,
  strategy: z.enum(strategies),
});
export type Settings = z.infer<typeof settingsSchema>;

const filterSchema = z.object({
  on: z.enum(['stream', 'type']),
  prefixes: z.array(z.string()).readonly(),
  regex: z.string(),
});
const bigText = z.string().regex(/^-?\d+$/);

/**
 * A group. `stream` is `$all` for the whole log; only then is there a filter. `startFrom` is a revision, or a position
 * of $all, both inclusive; "-1" is the end. `startsAfter` is what that meant when the group was made.
 */
export const definitionSchema = z.object({
  stream: z.string(),
  group: z.string(),
  startFrom: bigText,
  startsAfter: bigText,
  filter: filterSchema.optional(),
  settings: settingsSchema,
});
export type Definition = z.infer<typeof definitionSchema>;

/** The name of the source that stands for the whole log. */
export const allStreams = '$all';

/** Where an event is in the source of a group: its revision, or its position when the source is $all. */
export const placeOf = (one: Pick<Definition, 'stream'>, event: StoredEvent): bigint =>
  one.stream === allStreams ? event.position : event.revision;

/** Key of a group; also the id that its consumers are told. */
export const groupKey = (stream: string, group: string): string => `${stream}::${group}`;

/** Streams that hold a group's progress and its parked events, named as on the real server. */
export const checkpointStream = (one: Pick<Definition, 'stream' | 'group'>): string =>
  `$persistentsubscription-${groupKey(one.stream, one.group)}-checkpoint`;
export const parkedStream = (one: Pick<Definition, 'stream' | 'group'>): string =>
  `$persistentsubscription-${groupKey(one.stream, one.group)}-parked`;

/** Why the settings cannot be used; the rules of EventStoreDB's PersistentSubscriptionService. */
export const faultOf = (settings: Settings): string | undefined => {
  if (settings.readBatchSize < 1 || settings.liveBufferSize < 1 || settings.historyBufferSize < 1)
    return 'The buffer sizes must be at least 1';
  if (settings.readBatchSize >= settings.historyBufferSize)
    return 'The read batch size must be smaller than the history buffer size';
  if (settings.minCheckpointCount > settings.maxCheckpointCount)
    return 'The minimum checkpoint count must not be larger than the maximum';
  return undefined;
};

/** The filter of a definition, or why it cannot be served. */
export const filterOf = (request: FilterRequest | undefined): Filter | undefined | string =>
  request && compileFilter(request);
