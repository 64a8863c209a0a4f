/**
 * The file of a backup: complete under its name or not there at all, and readable by its owner alone.
 * Called by cli/eventstore/.
 */
import { createReadStream, existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { MusterError } from '../../../platform/errors.ts';

/** Waits until a file, or the names in a folder, are on disk. */
const sync = async (path: string): Promise<void> => {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

const openPartial = async (path: string): Promise<FileHandle> => {
  // One that a killed backup left behind may have been made readable to others meanwhile.
  await rm(path, { force: true });
  return open(path, 'wx', 0o600);
};

/**
 * Runs `write` with a stream to `<path>.partial`, which gets its name once everything is on disk and is removed when
 * `write` rejects. Throws `invalid-input` when there is such a file already, or it cannot be made.
 */
export const writeWhole = async <T>(path: string, write: (output: Writable) => Promise<T>): Promise<T> => {
  if (existsSync(path)) throw new MusterError('invalid-input', `${path} exists already.`, { field: 'file' });
  const partial = `${path}.partial`;
  const handle = await openPartial(partial).catch((cause: Error) => {
    throw new MusterError('invalid-input', `${path} cannot be written: ${cause.message}`, {
      cause,
      field: 'file',
    });
  });
  try {
    const result = await write(handle.createWriteStream({ highWaterMark: 1024 * 1024 }));
    await sync(partial);
    await rename(partial, path);
    await sync(dirname(path));
    return result;
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(partial, { force: true });
    throw error;
  }
};

/** The bytes of a backup: of standard input for `-`. Throws `invalid-input` when there is no such file. */
export const openSource = (path: string): AsyncIterable<Buffer> => {
  if (path === '-') return process.stdin;
  if (!existsSync(path))
    throw new MusterError('invalid-input', `There is no file ${path}.`, { field: 'file' });
  return createReadStream(path, { highWaterMark: 1024 * 1024 });
};
