/**
 * All persistent subscriptions of a store: made, changed, deleted, found, and brought back after a restart.
 * Called by the gRPC handlers. Definitions are events like any other: the newest event of one stream holds them all.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Logger } from '../../../platform/log.ts';
import type { Filter } from '../filter.ts';
import { rangeOf, readStream } from '../reader.ts';
import type { Sources } from '../subscriptions.ts';
import type { WriteOutcome, Writer } from '../writer.ts';
import { beginAnew, readCheckpoints } from './checkpoint.ts';
import type { Farewell } from './consumer.ts';
import {
  allStreams,
  checkpointStream,
  type Definition,
  definitionSchema,
  faultOf,
  filterOf,
  groupKey,
  parkedStream,
  type Settings,
} from './definition.ts';
import { type Group, openGroup } from './group.ts';

/** Why a request was not carried out. */
export type Refusal =
  | { readonly because: 'exists' | 'does-not-exist' }
  | { readonly because: 'failed'; readonly reason: string }
  | { readonly because: 'unavailable'; readonly detail: string };

/** What a group is made from; `startFrom` is inclusive, -1n the end. */
export type NewGroup = Omit<Definition, 'startFrom' | 'startsAfter'> & { readonly startFrom: bigint };

/** The registry. Changes are durable when they resolve. */
export interface Registry {
  create(group: NewGroup): Promise<Refusal | undefined>;
  /** Changes settings; consumers are dropped and may come back. Progress stays, and counts for more than `startFrom`. */
  update(stream: string, group: string, settings: Settings, startFrom: bigint): Promise<Refusal | undefined>;
  remove(stream: string, group: string): Promise<Refusal | undefined>;
  find(stream: string, group: string): Group | undefined;
  /** Groups of a stream, of $all, or all of them. */
  list(stream?: string): Group[];
  /** Sends all consumers away and starts every group anew, where it was. */
  restart(): Promise<Refusal | undefined>;
  stop(): Promise<void>;
}

const configStream = '$persistentSubscriptionConfig';
const configType = '$PersistentConfig';
const configSchema = z.object({ version: z.literal(1), entries: z.array(definitionSchema) });
/** Configurations before the newest, for whoever looks into what was changed. */
const keptConfigs = 10;
const keptCheckpoints = 1;

const stopped = { because: 'unavailable', detail: 'The event store is shutting down' } as const;
const notWriting: Refusal = { because: 'unavailable', detail: 'The event store is not writing' };

const refusalOf = (outcome: WriteOutcome): Refusal | undefined =>
  outcome.done
    ? undefined
    : { because: 'unavailable', detail: 'detail' in outcome ? outcome.detail : outcome.because };

const parseConfig = (data: Uint8Array): Definition[] | undefined => {
  try {
    return configSchema.parse(JSON.parse(Buffer.from(data).toString('utf8'))).entries;
  } catch {
    return undefined;
  }
};

/** The newest configuration that can be read: a broken one must not keep the whole store from starting. */
const readConfig = async ({ sql, cache }: Sources, log: Logger): Promise<Definition[]> => {
  const read = { stream: configStream, from: 'end', backwards: true, maxCount: keptConfigs } as const;
  const pages = await readStream(sql, cache, read);
  if (typeof pages === 'string') return [];
  for await (const page of pages) {
    for (const event of page) {
      const entries = parseConfig(event.data);
      if (entries) return entries;
      log.error({ stream: configStream, revision: event.revision }, 'a configuration cannot be read');
    }
  }
  return [];
};

/** Opens the registry and every group that is stored. Rejects when the store cannot be read. */
export const openRegistry = async (parts: {
  sources: Sources;
  writer: Writer;
  log: Logger;
}): Promise<Registry> => {
  const { sources, writer, log } = parts;
  const groups = new Map<string, Group>();
  let isStopped = false;
  /** Changes happen one after another, since each writes the whole configuration. */
  let queue: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = queue.then(work);
    queue = done.catch(() => {});
    return done;
  };
  const change = (work: () => Promise<Refusal | undefined>): Promise<Refusal | undefined> =>
    inTurn(async () => (isStopped ? stopped : work()));

  const open = (definition: Definition, filter: Filter | undefined, checkpoint: bigint | undefined): void => {
    const key = groupKey(definition.stream, definition.group);
    groups.set(key, openGroup(definition, filter, checkpoint, parts));
  };

  const find = (stream: string, group: string): Group | undefined => {
    const found = groups.get(groupKey(stream, group));
    // "a::b" has a group "c" of the same key as group "b::c" of "a".
    return found?.definition.stream === stream ? found : undefined;
  };

  const openAll = async (): Promise<void> => {
    const definitions = await readConfig(sources, log);
    const checkpoints = await readCheckpoints(sources, definitions.map(checkpointStream), log);
    for (const definition of definitions) {
      const filter = filterOf(definition.filter);
      if (typeof filter === 'string') throw new Error(`a stored filter cannot be used: ${filter}`);
      open(definition, filter, checkpoints.get(checkpointStream(definition)));
    }
  };

  const save = async (entries: readonly Definition[]): Promise<Refusal | undefined> => {
    const isFirst = rangeOf(configStream, await sources.cache.committed(configStream)) === 'not-found';
    if (isFirst && !(await beginAnew(writer, configStream, -1n, keptConfigs))) return notWriting;
    const event = {
      id: randomUUID(),
      type: configType,
      json: true,
      data: Buffer.from(JSON.stringify({ version: 1, entries })),
      metadata: new Uint8Array(),
    };
    return refusalOf(
      await writer.submit({ kind: 'append', stream: configStream, expected: 'any', events: [event] }),
    );
  };

  const others = (key: string): Definition[] =>
    [...groups].filter(([one]) => one !== key).map(([, group]) => group.definition);

  const endOf = async (stream: string): Promise<bigint> => {
    if (stream === allStreams) return sources.recent.last();
    const range = rangeOf(stream, await sources.cache.committed(stream));
    return typeof range === 'string' ? -1n : range.to;
  };

  const startsAfter = async (stream: string, startFrom: bigint): Promise<string> =>
    (startFrom < 0n ? await endOf(stream) : startFrom - 1n).toString();

  /** Why a group may not start there, which only a position of $all can be the reason for. */
  const faultOfStart = ({ stream, startFrom }: NewGroup): string | undefined =>
    stream === allStreams && startFrom > sources.recent.last()
      ? 'The position to start from is behind the end of the log'
      : undefined;

  const create = async (asked: NewGroup): Promise<Refusal | undefined> => {
    const key = groupKey(asked.stream, asked.group);
    if (groups.has(key)) return { because: 'exists' };
    const filter = filterOf(asked.filter);
    if (typeof filter === 'string') return { because: 'failed', reason: filter };
    const reason = faultOf(asked.settings) ?? faultOfStart(asked);
    if (reason !== undefined) return { because: 'failed', reason };
    const definition: Definition = {
      ...asked,
      startFrom: asked.startFrom.toString(),
      startsAfter: await startsAfter(asked.stream, asked.startFrom),
    };
    // What a deleted group of the same name left must not be taken for the progress of this one.
    const progressStream = checkpointStream(definition);
    const { revision } = (await sources.cache.committed(progressStream)).stream;
    if (!(await beginAnew(writer, progressStream, revision, keptCheckpoints))) return notWriting;
    const refusal = await save([...others(key), definition]);
    if (!refusal) open(definition, filter, undefined);
    return refusal;
  };

  const update = async (
    stream: string,
    group: string,
    settings: Settings,
    startFrom: bigint,
  ): Promise<Refusal | undefined> => {
    const found = find(stream, group);
    if (!found) return { because: 'does-not-exist' };
    const before = found.definition;
    const asked = { ...before, settings, startFrom };
    const reason = faultOf(settings) ?? faultOfStart(asked);
    if (reason !== undefined) return { because: 'failed', reason };
    const newStart = await startsAfter(stream, startFrom);
    const place = await found.close({ because: 'dropped', detail: 'The subscription was updated' });
    const definition: Definition = {
      ...asked,
      startFrom: startFrom.toString(),
      // Where to start matters only to a group that has not come anywhere yet.
      startsAfter: place === undefined ? newStart : before.startsAfter,
    };
    const refusal = await save([...others(groupKey(stream, group)), definition]);
    open(refusal ? before : definition, found.filter, place);
    return refusal;
  };

  const remove = async (stream: string, group: string): Promise<Refusal | undefined> => {
    const found = find(stream, group);
    if (!found) return { because: 'does-not-exist' };
    const key = groupKey(stream, group);
    const refusal = await save(others(key));
    if (refusal) return refusal;
    groups.delete(key);
    await found.close({ because: 'dropped', detail: 'The subscription was deleted' });
    // A stream that was never written refuses, and is as good as deleted.
    for (const name of [checkpointStream(found.definition), parkedStream(found.definition)])
      await writer.submit({ kind: 'delete', stream: name, expected: 'any', eventId: randomUUID() });
    return undefined;
  };

  /** Nothing is read for it, so that nothing can go wrong half-way. */
  const restart = async (): Promise<undefined> => {
    const farewell: Farewell = { because: 'dropped', detail: 'The subscriptions are starting over' };
    await Promise.all(
      [...groups.values()].map(async (group) => {
        const place = await group.close(farewell);
        open(group.definition, group.filter, place);
      }),
    );
    return undefined;
  };

  await openAll();
  if (groups.size > 0) log.info({ groups: groups.size }, 'persistent subscriptions are ready');
  return {
    create: (group) => change(() => create(group)),
    update: (...asked) => change(() => update(...asked)),
    remove: (...asked) => change(() => remove(...asked)),
    restart: () => change(restart),
    find,
    list: (stream) =>
      [...groups.values()].filter((group) => stream === undefined || group.definition.stream === stream),
    stop: () =>
      inTurn(async () => {
        isStopped = true;
        // They stay, closed, so that whoever asks for one now is told to come back, not that it does not exist.
        const farewell: Farewell = { because: 'unavailable', detail: stopped.detail };
        await Promise.all([...groups.values()].map((group) => group.close(farewell)));
      }),
  };
};
