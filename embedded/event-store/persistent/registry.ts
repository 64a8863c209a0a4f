/**
 * All persistent subscriptions of a store: made, changed, deleted, found, and brought back after a restart.
 * Called by the gRPC handlers. Definitions are events like any other: the newest event of one stream holds them all.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Logger } from '../../../platform/log.ts';
import { rangeOf, readStream } from '../reader.ts';
import type { Sources } from '../subscriptions.ts';
import type { WriteOutcome, Writer } from '../writer.ts';
import { beginAnew, readCheckpoint } from './checkpoint.ts';
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
  /** Changes settings; consumers are dropped and may come back. Progress stays. */
  update(stream: string, group: string, settings: Settings, startFrom: bigint): Promise<Refusal | undefined>;
  remove(stream: string, group: string): Promise<Refusal | undefined>;
  find(stream: string, group: string): Group | undefined;
  /** Groups of a stream, of $all, or all of them. */
  list(stream?: string): Group[];
  /** Stops every group and starts it again from what is stored. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const configStream = '$persistentSubscriptionConfig';
const configType = '$PersistentConfig';
const configSchema = z.object({ version: z.literal(1), entries: z.array(definitionSchema) });
/** Configurations before the newest, for whoever looks into what was changed. */
const keptConfigs = 10;
const keptCheckpoints = 1;

const isDone = (outcome: WriteOutcome): Refusal | undefined =>
  outcome.done
    ? undefined
    : { because: 'unavailable', detail: 'detail' in outcome ? outcome.detail : outcome.because };

const readConfig = async ({ sql, cache }: Sources): Promise<Definition[]> => {
  const read = { stream: configStream, from: 'end', backwards: true, maxCount: 1 } as const;
  const pages = await readStream(sql, cache, read);
  if (typeof pages === 'string') return [];
  for await (const [event] of pages) {
    if (event) return configSchema.parse(JSON.parse(Buffer.from(event.data).toString('utf8'))).entries;
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
  /** Changes happen one after another, since each writes the whole configuration. */
  let queue: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = queue.then(work);
    queue = done.catch(() => {});
    return done;
  };

  const open = async (definition: Definition): Promise<void> => {
    const filter = filterOf(definition.filter);
    if (typeof filter === 'string') throw new Error(`a stored filter cannot be used: ${filter}`);
    const checkpoint = await readCheckpoint(sources, checkpointStream(definition));
    const key = groupKey(definition.stream, definition.group);
    groups.set(key, openGroup(definition, filter, checkpoint, parts));
  };

  const openAll = async (): Promise<void> => {
    for (const definition of await readConfig(sources)) await open(definition);
  };

  const save = async (entries: readonly Definition[]): Promise<Refusal | undefined> => {
    const isFirst = rangeOf(configStream, await sources.cache.committed(configStream)) === 'not-found';
    if (isFirst && !(await beginAnew(writer, configStream, -1n, keptConfigs)))
      return { because: 'unavailable', detail: 'the event store is not writing' };
    const event = {
      id: randomUUID(),
      type: configType,
      json: true,
      data: Buffer.from(JSON.stringify({ version: 1, entries })),
      metadata: new Uint8Array(),
    };
    return isDone(
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

  const create = async (asked: NewGroup): Promise<Refusal | undefined> => {
    const key = groupKey(asked.stream, asked.group);
    if (groups.has(key)) return { because: 'exists' };
    const filter = filterOf(asked.filter);
    const reason = typeof filter === 'string' ? filter : faultOf(asked.settings);
    if (reason !== undefined) return { because: 'failed', reason };
    const definition: Definition = {
      ...asked,
      startFrom: asked.startFrom.toString(),
      startsAfter: await startsAfter(asked.stream, asked.startFrom),
    };
    // What a deleted group of the same name left must not be taken for the progress of this one.
    const progressStream = checkpointStream(definition);
    const { revision } = (await sources.cache.committed(progressStream)).stream;
    if (!(await beginAnew(writer, progressStream, revision, keptCheckpoints)))
      return { because: 'unavailable', detail: 'the event store is not writing' };
    const refusal = await save([...others(key), definition]);
    if (!refusal) await open(definition);
    return refusal;
  };

  const update: Registry['update'] = async (stream, group, settings, startFrom) => {
    const key = groupKey(stream, group);
    const found = groups.get(key);
    if (!found) return { because: 'does-not-exist' };
    const reason = faultOf(settings);
    if (reason !== undefined) return { because: 'failed', reason };
    const definition: Definition = { ...found.definition, settings, startFrom: startFrom.toString() };
    const refusal = await save([...others(key), definition]);
    if (refusal) return refusal;
    await found.close('dropped', 'The subscription was updated');
    await open(definition);
    return undefined;
  };

  const remove: Registry['remove'] = async (stream, group) => {
    const key = groupKey(stream, group);
    const found = groups.get(key);
    if (!found) return { because: 'does-not-exist' };
    const refusal = await save(others(key));
    if (refusal) return refusal;
    groups.delete(key);
    await found.close('dropped', 'The subscription was deleted');
    // A stream that was never written refuses, and is as good as deleted.
    for (const name of [checkpointStream(found.definition), parkedStream(found.definition)])
      await writer.submit({ kind: 'delete', stream: name, expected: 'any', eventId: randomUUID() });
    return undefined;
  };

  const closeAll = async (reason: 'dropped' | 'unavailable', detail: string): Promise<void> => {
    await Promise.all([...groups.values()].map((group) => group.close(reason, detail)));
    groups.clear();
  };

  await openAll();
  if (groups.size > 0) log.info({ groups: groups.size }, 'persistent subscriptions are ready');
  return {
    create: (group) => inTurn(() => create(group)),
    update: (...asked) => inTurn(() => update(...asked)),
    remove: (...asked) => inTurn(() => remove(...asked)),
    find: (stream, group) => groups.get(groupKey(stream, group)),
    list: (stream) =>
      [...groups.values()].filter((group) => stream === undefined || group.definition.stream === stream),
    restart: () =>
      inTurn(async () => {
        await closeAll('dropped', 'The subscriptions are starting over');
        await openAll();
      }),
    stop: () => inTurn(() => closeAll('unavailable', 'The event store is shutting down')),
  };
};
