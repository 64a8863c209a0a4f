/**
 * A file per day that is written in the background, pruned by age and total size. Called by access-log.ts.
 *
 * The name carries the UTC day (`access.log.2026-11-25`), and a number when a day needs more than one part
 * (`access.log.2026-11-25.1`), so that nothing is ever renamed and a restart goes on where it was.
 */
import { mkdirSync, openSync, statSync } from 'node:fs';
import { readdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pino } from 'pino';
import { type Clock, isoTime } from '../platform/clock.ts';

export interface DatedFileOptions {
  /** The name without the day. */
  readonly file: string;
  /** Older days are deleted; today counts as the first. */
  readonly retentionDays: number;
  /** All files together; the oldest are deleted first. */
  readonly maxTotalBytes: number;
  readonly clock: Clock;
  /** Told of a write or clean-up that failed; lines wait for the next attempt. */
  readonly onFault: (error: Error) => void;
}

export interface DatedFile {
  /** Takes a line with its line feed; never waits and never throws. */
  readonly write: (line: string) => void;
  /** Opens the file again, after somebody moved it away. */
  readonly reopen: () => void;
  /** Lines lost because the disk could not take them. */
  readonly dropped: () => number;
  /** Writes what is waiting and closes. */
  readonly close: () => Promise<void>;
}

const dayMs = 86_400_000;
/** What waits in memory for the disk at most; more is dropped and counted. */
const maxWaitingBytes = 4 * 1024 * 1024;
/** So many parts share the allowed total, so that deleting the oldest never deletes most of the log. */
const partsOfTotal = 10;

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

type Stream = ReturnType<typeof pino.destination>;

/** Opens the file of today. Throws when it cannot. */
export const openDatedFile = (options: DatedFileOptions): DatedFile => {
  const { file, maxTotalBytes, clock, onFault } = options;
  const partBytes = Math.max(1, Math.floor(maxTotalBytes / partsOfTotal));
  mkdirSync(dirname(file), { recursive: true, mode: 0o750 });
  const closing = new Set<Promise<void>>();
  let dropped = 0;
  let part = 0;
  let dayEndsAt = 0;
  let bytes = 0;
  let path = '';
  let stream: Stream | undefined;

  const open = (): Stream => {
    const opened = pino.destination({
      dest: openSync(path, 'a', 0o640),
      sync: false,
      // Text would be joined and measured from the start of the batch for each line.
      contentMode: 'buffer',
      minLength: 16 * 1024,
      maxWrite: 64 * 1024,
      maxLength: maxWaitingBytes,
    });
    opened.on('error', onFault);
    opened.on('drop', () => {
      dropped += 1;
    });
    return opened;
  };

  const close = (old: Stream | undefined): void => {
    if (old === undefined) return;
    const done = ended(old).finally(() => closing.delete(done));
    closing.add(done);
  };

  let pruning = Promise.resolve();
  const prune = (now: number): void => {
    const keep = path;
    pruning = pruning.then(() => pruneFiles(options, keep, partBytes, now)).catch(onFault);
  };

  /** Goes over to the file at `path`; when it cannot be opened, lines go on into the one before it. */
  const change = (): void => {
    const old = stream;
    stream = open();
    close(old);
    bytes = sizeOf(path);
  };

  const roll = (now: number): void => {
    const isNewDay = now >= dayEndsAt;
    const day = Math.floor(now / dayMs);
    dayEndsAt = (day + 1) * dayMs;
    part = isNewDay ? 0 : part + 1;
    const dated = `${file}.${isoTime(day * dayMs).slice(0, 10)}`;
    const named = () => (part === 0 ? dated : `${dated}.${part}`);
    // After a restart the earlier parts of the day are full already.
    while (sizeOf(named()) >= partBytes) part += 1;
    path = named();
    change();
    prune(now);
  };

  const attempt = (step: () => void): void => {
    try {
      step();
    } catch (error) {
      bytes = 0;
      onFault(error as Error);
    }
  };

  roll(clock());
  const flush = setInterval(() => stream?.flush(), 1_000);
  flush.unref();
  return {
    write: (line) => {
      const now = clock();
      if (now >= dayEndsAt || bytes >= partBytes) attempt(() => roll(now));
      const written = Buffer.from(line);
      bytes += written.length;
      // The types of the library know nothing of its mode for bytes.
      stream?.write(written as unknown as string);
    },
    reopen: () => attempt(change),
    dropped: () => dropped,
    close: async () => {
      clearInterval(flush);
      close(stream);
      await Promise.all([...closing, pruning]);
    },
  };
};

/** Ends a stream; one whose disk takes nothing any more is given up instead of holding up the end of the process. */
const ended = (stream: Stream): Promise<void> =>
  new Promise((resolve) => {
    stream.once('close', resolve);
    stream.once('error', () => {
      stream.destroy();
      resolve();
    });
    stream.end();
  });

/** Deletes what is too old or, oldest first, too much. `keep` is being written and may grow by a whole part. */
const pruneFiles = async (
  { file, retentionDays, maxTotalBytes }: DatedFileOptions,
  keep: string,
  partBytes: number,
  now: number,
): Promise<void> => {
  const folder = dirname(file);
  const prefix = `${basename(file)}.`;
  const found = (await readdir(folder))
    .map((name) => ({ name, parsed: readSuffix(name.startsWith(prefix) ? name.slice(prefix.length) : '') }))
    .flatMap(({ name, parsed }) => (parsed === null ? [] : [{ path: join(folder, name), ...parsed }]))
    .filter(({ path }) => path !== keep)
    .sort((a, b) => b.day.localeCompare(a.day) || b.part - a.part);
  const firstDay = isoTime(now - (retentionDays - 1) * dayMs).slice(0, 10);
  let total = partBytes;
  for (const { path, day } of found) {
    total += (await stat(path)).size;
    if (day < firstDay || total > maxTotalBytes) await unlink(path);
  }
};

const readSuffix = (suffix: string): { day: string; part: number } | null => {
  const match = /^(\d{4}-\d{2}-\d{2})(?:\.(\d{1,9}))?$/.exec(suffix);
  return match === null ? null : { day: match[1] as string, part: Number(match[2] ?? 0) };
};
