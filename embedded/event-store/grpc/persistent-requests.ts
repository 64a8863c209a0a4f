/**
 * Reads the requests of persistent subscriptions.
 * Called by persistent.ts and persistent-read.ts. The official client writes deprecated fields too, and a create for a
 * stream in these alone.
 */
import { ticksPerMs } from '../event.ts';
import {
  allStreams,
  checkpointStream,
  type Settings,
  settingsSchema,
  strategies,
} from '../persistent/definition.ts';
import type { NewGroup } from '../persistent/registry.ts';
import { invalidArgument, isFailure } from './failures.ts';
import type { persistent, shared } from './protocol.ts';
import { maxNameBytes, readFilterRequest, readRevision, readStreamName, required } from './requests.ts';

interface SettingsMessage {
  getResolveLinks(): boolean;
  getExtraStatistics(): boolean;
  getMaxRetryCount(): number;
  getMinCheckpointCount(): number;
  getMaxCheckpointCount(): number;
  getMaxSubscriberCount(): number;
  getLiveBufferSize(): number;
  getReadBatchSize(): number;
  getHistoryBufferSize(): number;
  getNamedConsumerStrategy(): number;
  getConsumerStrategy?(): string;
  hasMessageTimeoutMs(): boolean;
  getMessageTimeoutMs(): number;
  getMessageTimeoutTicks(): string;
  hasCheckpointAfterMs(): boolean;
  getCheckpointAfterMs(): number;
  getCheckpointAfterTicks(): string;
}

/** A name in the newer field wins; the older one is a number in the order of the protocol. */
const strategyOf = (message: SettingsMessage): string =>
  message.getConsumerStrategy?.() || (strategies[message.getNamedConsumerStrategy()] ?? 'unknown');

const msOf = (hasMs: boolean, ms: number, ticks: string): number =>
  hasMs ? ms : Number(BigInt(ticks) / ticksPerMs);

/** The settings; INVALID_ARGUMENT names the first that cannot be. */
export const readSettings = (message: SettingsMessage | undefined): Settings => {
  const asked = required(message, 'settings');
  const parsed = settingsSchema.safeParse({
    resolveLinks: asked.getResolveLinks(),
    extraStatistics: asked.getExtraStatistics(),
    messageTimeoutMs: msOf(
      asked.hasMessageTimeoutMs(),
      asked.getMessageTimeoutMs(),
      asked.getMessageTimeoutTicks(),
    ),
    maxRetryCount: asked.getMaxRetryCount(),
    checkpointAfterMs: msOf(
      asked.hasCheckpointAfterMs(),
      asked.getCheckpointAfterMs(),
      asked.getCheckpointAfterTicks(),
    ),
    minCheckpointCount: asked.getMinCheckpointCount(),
    maxCheckpointCount: asked.getMaxCheckpointCount(),
    maxSubscriberCount: asked.getMaxSubscriberCount(),
    liveBufferSize: asked.getLiveBufferSize(),
    readBatchSize: asked.getReadBatchSize(),
    historyBufferSize: asked.getHistoryBufferSize(),
    strategy: strategyOf(asked),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalidArgument(`${issue?.path.join('.')}: ${issue?.message}`);
};

const nameOf = (identifier: shared.StreamIdentifier | undefined): string => {
  const name = readStreamName(identifier, false);
  if (isFailure(name)) throw name;
  if (name === allStreams)
    throw invalidArgument('A subscription to $all is asked for as such, not by stream name');
  return name;
};

interface Sourced {
  hasAll(): boolean;
  getStreamIdentifier(): shared.StreamIdentifier | undefined;
}

/** The stream a request is about; `$all` for the whole log. */
export const readSource = (options: Sourced): string =>
  options.hasAll() ? allStreams : nameOf(options.getStreamIdentifier());

/** The name of the group of `stream`. Streams are named after both, so both together may be no longer than a name. */
export const readGroupName = (stream: string, options: { getGroupName(): string }): string => {
  const name = options.getGroupName();
  if (name === '') throw invalidArgument('The group name is empty');
  if (name.includes('\0')) throw invalidArgument('The group name contains NUL');
  if (Buffer.byteLength(checkpointStream({ stream, group: name })) > maxNameBytes)
    throw invalidArgument(`The names of stream and group are too long together`);
  return name;
};

interface StreamStart {
  hasStart(): boolean;
  hasEnd(): boolean;
  getRevision(): string;
}

interface AllStart {
  hasStart(): boolean;
  hasEnd(): boolean;
  getPosition(): { getCommitPosition(): string } | undefined;
}

interface Startable {
  getStream(): StreamStart | undefined;
  getAll(): AllStart | undefined;
  getSettings(): { getRevision(): string } | undefined;
}

/** Where a group starts, inclusive; -1n is the end. */
export const readStart = (options: Startable): bigint => {
  const stream = options.getStream();
  const all = options.getAll();
  const from = stream ?? all;
  if (from?.hasStart()) return 0n;
  if (from?.hasEnd()) return -1n;
  const text = all
    ? required(all.getPosition(), 'all_option').getCommitPosition()
    : (stream ?? required(options.getSettings(), 'settings')).getRevision();
  const start = readRevision(text);
  return start < 0n ? -1n : start;
};

/** A group to be made. */
export const readNewGroup = (options: persistent.CreateReq.Options): NewGroup => {
  const filter = options.getAll()?.getFilter();
  const identifier = options.getStream()?.getStreamIdentifier() ?? options.getStreamIdentifier();
  const stream = options.hasAll() ? allStreams : nameOf(identifier);
  return {
    stream,
    group: readGroupName(stream, options),
    startFrom: readStart(options),
    settings: readSettings(options.getSettings()),
    ...(filter ? { filter: readFilterRequest(filter) } : {}),
  };
};
