/**
 * Whom the files below `stateDir` belong to: its owner, as whom the proxy runs, also when root sets the proxy up or checks
 * it, who would otherwise leave keys there that the proxy cannot read. Called by whatever makes files there, and by
 * `muster proxy init` for its settings.
 */
import { closeSync, constants, fchownSync, lstatSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { FileOwner } from '../platform/private-file.ts';

/** To whom root has to give what it makes; undefined: it stays with whoever makes it. */
export const ownerOf = (stateDir: string): FileOwner | undefined => {
  if (process.getuid?.() !== 0) return undefined;
  const found = statSync(stateDir, { throwIfNoEntry: false });
  return found === undefined || found.uid === 0 ? undefined : { uid: found.uid, gid: found.gid };
};

/** The same, for the folder of an instance, which is right below `stateDir`. */
export const ownerAbove = (folder: string): FileOwner | undefined => ownerOf(dirname(folder));

/** Makes the folder of an instance unless it is there; one that root made at another time is given away too. */
export const makeInstanceFolder = (folder: string): void => {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const owner = ownerAbove(folder);
  const found = lstatSync(folder);
  if (owner === undefined || !found.isDirectory() || found.uid !== 0) return;
  // The owner of stateDir could meanwhile have put a link in its place.
  const handle = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    fchownSync(handle, owner.uid, owner.gid);
  } finally {
    closeSync(handle);
  }
};
