/**
 * The default ACLs in force: what the newest event of `$settings` says, followed as it changes.
 * Opened by main.ts when the store serves over TLS; read by grpc/guard.ts for every access.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../../platform/log.ts';
import { originalOf } from '../event.ts';
import { readStream } from '../reader.ts';
import type { Sources } from '../subscriptions.ts';
import { type DefaultAcls, readDefaultAcls } from './acl.ts';

const settingsStream = '$settings';
const retryAfterMs = 1_000;

const readNewest = async ({ sql, cache }: Sources): Promise<DefaultAcls> => {
  const pages = await readStream(sql, cache, {
    stream: settingsStream,
    from: 'end',
    backwards: true,
    maxCount: 1,
  });
  if (typeof pages === 'string') return readDefaultAcls(undefined);
  for await (const [event] of pages) return readDefaultAcls(event?.data);
  return readDefaultAcls(undefined);
};

/** Resolves when `$settings` or its metadata changed after position `seen`. Nothing is missed between look and wait. */
const nextChange = async ({ recent }: Sources, seen: bigint, stopping: AbortSignal): Promise<void> => {
  const missed = recent.after(seen, Number.MAX_SAFE_INTEGER);
  if (!missed || missed.some((event) => originalOf(event.stream) === settingsStream)) return;
  const woken = new AbortController();
  const until = AbortSignal.any([stopping, woken.signal]);
  await Promise.race([
    recent.wait(seen, until, settingsStream),
    recent.wait(seen, until, `$$${settingsStream}`),
  ]);
  woken.abort();
};

/** Reads the ACLs and keeps them current until `stop`. Rejects when they cannot be read at first. */
export const followDefaultAcls = async (
  sources: Sources,
  log: Logger,
): Promise<{ current(): DefaultAcls; stop(): Promise<void> }> => {
  const stopping = new AbortController();
  let seen = sources.recent.last();
  let acls = await readNewest(sources);
  const follow = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await nextChange(sources, seen, stopping.signal);
        seen = sources.recent.last();
        acls = await readNewest(sources);
      } catch (error) {
        // What held before still holds; an outage must not open what was closed.
        log.warn({ err: error }, 'the default ACLs cannot be read at the moment');
        await delay(retryAfterMs, undefined, { signal: stopping.signal }).catch(() => {});
      }
    }
  };
  const followed = follow();
  return {
    current: () => acls,
    stop: async () => {
      stopping.abort();
      await followed;
    },
  };
};
