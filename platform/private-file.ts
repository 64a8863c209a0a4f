/**
 * Writes files that only their owner may read. Called by the proxy's certificates, identities and verdicts, and by its
 * wizard.
 *
 * A file is always a new one: root may write into the folder of somebody less trusted, who could have put a link to a file
 * of root's where ours goes.
 */
import { closeSync, fchownSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';

/** Whom a file is given to; only root can. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/** Opens a file that must not be there yet, not even as a link; throws what the file system throws, such as EEXIST. */
export const openNewPrivateFile = (path: string, owner?: FileOwner): number => {
  const handle = openSync(path, 'wx', 0o600);
  try {
    if (owner !== undefined) fchownSync(handle, owner.uid, owner.gid);
  } catch (error) {
    closeSync(handle);
    throw error;
  }
  return handle;
};

/** Puts `text` at `path`, where nothing may be yet; throws what the file system throws, such as EEXIST. */
export const createPrivateFile = (path: string, text: string, owner?: FileOwner): void => {
  const handle = openNewPrivateFile(path, owner);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
};

/** Puts `text` at `path`, whole or not at all: a crash leaves the old file. Throws what the file system throws. */
export const writePrivateFile = (path: string, text: string, owner?: FileOwner): void => {
  const beside = `${path}.new`;
  // What a crash left.
  rmSync(beside, { force: true });
  createPrivateFile(beside, text, owner);
  renameSync(beside, path);
};
