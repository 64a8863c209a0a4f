/**
 * Keeps the verdicts on disk, so that a proxy which restarts while the server is away goes on deciding. Called by instance.ts.
 *
 * The file holds the feed's own signed lines: a snapshot, then the changes after it, appended as they come. A snapshot is
 * written beside the old file, flushed and renamed over it, so that a crash at any moment leaves one whole file; a last
 * line that a crash cut short is dropped. Anything else that is not as the server signed it makes the file count as none:
 * nobody is allowed until the server has been heard.
 */
import {
  closeSync,
  createReadStream,
  fdatasync,
  fsync,
  ftruncateSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { access, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { openNewPrivateFile } from '../platform/private-file.ts';
import { openLine } from '../platform/signed-line.ts';
import { type Batch, fill, longestLineBytes, readBatch } from './batch.ts';
import { readLines } from './lines.ts';
import type { Journal } from './receive.ts';
import type { ServerKey } from './server-key.ts';
import { ownerAbove } from './state-owner.ts';
import { type KnownVerdicts, nothingKnown } from './table.ts';

/** What a file held, and how long its two parts are. */
export interface Loaded {
  readonly known: KnownVerdicts;
  readonly snapshotBytes: number;
  readonly changesBytes: number;
}

const nothing = (): Loaded => ({ known: nothingKnown(), snapshotBytes: 0, changesBytes: 0 });

/** What the file holds, or nothing when there is no usable one; the reason is logged. Never throws. */
export const loadVerdicts = async (
  file: string,
  serverKey: ServerKey,
  log: Logger,
  clock: Clock,
): Promise<Loaded> => {
  try {
    const loaded = await readVerdicts(file, serverKey, clock);
    const { known } = loaded;
    log.info({ devices: known.table.size(), position: known.position }, 'verdicts read from disk');
    return loaded;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') log.info({ file }, 'no verdicts on disk yet');
    else
      log.error(
        { err: error, file },
        'the verdicts on disk are unusable; nobody is allowed until the server is heard',
      );
    return nothing();
  }
};

const checkOrder = (batch: Batch, known: KnownVerdicts, isWhole: boolean): void => {
  const fits = isWhole
    ? batch.snapshot === undefined && batch.from === known.position
    : batch.snapshot !== undefined;
  if (!fits) throw new Error('a line does not follow the one before');
  if (known.tenantId !== null && known.tenantId !== batch.tenantId)
    throw new Error('a line is of another tenant');
};

const readVerdicts = async (file: string, serverKey: ServerKey, clock: Clock): Promise<Loaded> => {
  const known = nothingKnown();
  await access(file);
  const key = serverKey.key();
  if (key === null) throw new Error('the server’s signing key is not known');
  let snapshotBytes = 0;
  let readBytes = 0;
  for await (const line of readLines(createReadStream(file), longestLineBytes)) {
    const text = openLine(key, line);
    if (text === null) throw new Error('a line is not as the server signed it');
    const batch = readBatch(text);
    checkOrder(batch, known, snapshotBytes > 0);
    fill(known.table, batch.verdicts);
    readBytes += Buffer.byteLength(line) + 1;
    known.tenantId = batch.tenantId;
    known.position = batch.position;
    known.staleRule = batch.staleRule;
    known.learns = batch.learns;
    // The time that the server signed, unless a clock was set back since: old verdicts must not look fresh.
    known.contactAt = Math.min(batch.at, clock());
    if (batch.snapshot === 'last') snapshotBytes = readBytes;
  }
  if (snapshotBytes === 0) throw new Error('the snapshot is not complete');
  return { known, snapshotBytes, changesBytes: readBytes - snapshotBytes };
};

/** Writes the feed's lines as they come. */
export interface StateFile extends Journal {
  /** Whether a new snapshot is due: the changes outgrew the last one, or writing failed a while ago. */
  readonly wantsSnapshot: () => boolean;
  /** Writes and flushes what is not yet on disk; nothing is written after it. */
  readonly close: () => Promise<void>;
}

/** The file may understate the last contact by this much: it errs towards refusing. */
const contactLagMs = 5 * 60_000;
/** Changes are flushed to the disk together, this long after the first of them. */
const syncAfterMs = 500;
const leastChangesBytes = 4 * 1024 * 1024;
const retryMs = 60_000;

/** Writes a line whole; answers its length in bytes. */
const writeLine = (fd: number, line: string): number => {
  const bytes = Buffer.from(`${line}\n`, 'utf8');
  if (writeSync(fd, bytes) !== bytes.length) throw new Error('the disk takes only a part of a line');
  return bytes.length;
};

/** Opens the file again after what is whole in it; null when there is none to go on with. */
const reopen = (file: string, { snapshotBytes, changesBytes }: Loaded): number | null => {
  if (snapshotBytes === 0) return null;
  const fd = openSync(file, 'a', 0o600);
  // What a crash cut short. Only the writer may: `muster proxy explain` reads while a line is being written.
  ftruncateSync(fd, snapshotBytes + changesBytes);
  return fd;
};

/** Opens the file that `loaded` came from, to go on with it. */
export const openStateFile = (file: string, loaded: Loaded, log: Logger, clock: Clock): StateFile => {
  let { snapshotBytes, changesBytes } = loaded;
  let main = reopen(file, loaded);
  let beside: { readonly fd: number; readonly path: string; bytes: number } | null = null;
  let turn = 0;
  let failedAt: number | null = null;
  let writtenAt = loaded.known.contactAt ?? 0;
  let unwritten: string | null = null;
  let syncing: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | null = null;

  const fail = (error: unknown): void => {
    failedAt = clock();
    log.error({ err: error, file }, 'the verdicts could not be written to disk');
  };
  const attempt = (act: () => void): void => {
    try {
      act();
    } catch (error) {
      fail(error);
    }
  };
  const sync = (): void => {
    timer = null;
    const fd = main;
    if (fd === null) return;
    syncing = syncing.then(() => promisify(fdatasync)(fd)).catch(fail);
  };
  const closeLater = (fd: number | null): void => {
    if (fd !== null) syncing = syncing.then(() => closeSync(fd)).catch(fail);
  };
  const dropBeside = (): void => {
    closeLater(beside?.fd ?? null);
    beside = null;
  };
  const append = (fd: number, line: string): void => {
    changesBytes += writeLine(fd, line);
    writtenAt = clock();
    unwritten = null;
    timer ??= setTimeout(sync, syncAfterMs).unref();
  };
  const replaceFile = async (fd: number, path: string): Promise<void> => {
    await promisify(fsync)(fd);
    await rename(path, file);
    await syncFolder(dirname(file));
  };

  return {
    begin: () => {
      dropBeside();
      turn = 1 - turn;
      const path = `${file}.${turn}.tmp`;
      attempt(() => {
        rmSync(path, { force: true });
        const fd = openNewPrivateFile(path, ownerAbove(dirname(file)));
        beside = { fd, path, bytes: 0 };
      });
    },
    part: (line) => {
      const to = beside;
      if (to === null) return;
      try {
        to.bytes += writeLine(to.fd, line);
      } catch (error) {
        dropBeside();
        fail(error);
      }
    },
    completed: () => {
      if (beside === null) return;
      const { fd, path, bytes } = beside;
      closeLater(main);
      [main, beside, snapshotBytes, changesBytes, writtenAt] = [fd, null, bytes, 0, clock()];
      [failedAt, unwritten] = [null, null];
      syncing = syncing.then(() => replaceFile(fd, path)).catch(fail);
    },
    follow: (line, isChange) => {
      dropBeside();
      const fd = main;
      // After a failure the file ends in the middle of a line, perhaps: it takes no more until a snapshot replaces it.
      if (fd === null || failedAt !== null) return;
      if (isChange || clock() - writtenAt >= contactLagMs) attempt(() => append(fd, line));
      else unwritten = line;
    },
    wantsSnapshot: () =>
      failedAt === null
        ? changesBytes > Math.max(leastChangesBytes, 2 * snapshotBytes)
        : clock() - failedAt >= retryMs,
    close: async () => {
      if (timer !== null) clearTimeout(timer);
      const [fd, line] = [main, unwritten];
      if (fd !== null && line !== null && failedAt === null) attempt(() => append(fd, line));
      if (timer !== null) clearTimeout(timer);
      sync();
      dropBeside();
      closeLater(main);
      await syncing;
    },
  };
};

/** Makes the rename itself durable; systems that cannot open folders do without. */
const syncFolder = async (folder: string): Promise<void> => {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch (error) {
    if (!/EISDIR|EPERM|EACCES|EINVAL/.test((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
};
