/**
 * Writes a file that only its owner may read, whole or not at all: a crash leaves the old one. Called by the proxy's
 * certificates and its wizard.
 */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';

/** Puts `text` at `path`; throws what the file system throws. */
export const writePrivateFile = (path: string, text: string): void => {
  const beside = `${path}.new`;
  const handle = openSync(beside, 'w', 0o600);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(beside, path);
};
