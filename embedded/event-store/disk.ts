/**
 * Watches the free space under a data folder, so that writes are refused while PostgreSQL still can write: out of space
 * for its write-ahead log it would stop altogether, and reads with it.
 * Asked by writer.ts before each request; absent when PostgreSQL is not ours and its disk cannot be seen.
 */
import { statfs } from 'node:fs/promises';
import type { Logger } from '../../platform/log.ts';

/** The watch. */
export interface Disk {
  /** Why nothing may be written at the moment; `undefined` while there is room. */
  shortage(): string | undefined;
}

/** Where PostgreSQL keeps its files, and how much space must stay free there. */
export interface DiskConfig {
  readonly folder: string;
  readonly reserveBytes: number;
}

/** How old an answer may be. At 100 MB a second, 25 MB are written meanwhile: far less than any sensible reserve. */
const freshForMs = 250;

const mebibyte = 1024 * 1024;

/** Watches the file system of `folder` for less than `reserveBytes` of space that an ordinary user may use. */
export const watchDisk = async ({ folder, reserveBytes }: DiskConfig, log: Logger): Promise<Disk> => {
  let detail: string | undefined;
  let lookedAt = 0;
  let looking = false;

  const look = async (): Promise<void> => {
    looking = true;
    const { bavail, bsize } = await statfs(folder);
    const freeBytes = bavail * bsize;
    const before = detail;
    detail =
      freeBytes < reserveBytes
        ? `Only ${Math.floor(freeBytes / mebibyte)} MiB are free under ${folder}; at least ${Math.ceil(reserveBytes / mebibyte)} MiB must stay free. Reads go on; writes go on once there is room.`
        : undefined;
    lookedAt = performance.now();
    looking = false;
    if (detail !== undefined && before === undefined) log.error({ freeBytes, reserveBytes }, detail);
    if (detail === undefined && before !== undefined) log.info({ freeBytes }, 'there is room to write again');
  };

  await look();
  return {
    shortage: () => {
      // A look that fails leaves the last answer standing: a folder that cannot be asked is PostgreSQL's to complain about.
      if (!looking && performance.now() - lookedAt > freshForMs)
        void look().catch((error: unknown) => {
          looking = false;
          lookedAt = performance.now();
          log.warn({ err: error }, 'the free disk space cannot be read');
        });
      return detail;
    },
  };
};
