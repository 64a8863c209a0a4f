/**
 * The server's signing key as this instance knows it: pinned at the first contact, over TLS that was verified, and kept in
 * the state folder (`server.key.pub`). From then on another key is refused, whoever shows it. Called by instance.ts, feed.ts
 * and state-file.ts.
 */
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivateFile } from '../platform/private-file.ts';
import { readPublicHalf } from '../platform/signed-line.ts';
import { ownerAbove } from './state-owner.ts';

/** The pinned key. */
export interface ServerKey {
  /** Null before the first contact. */
  readonly key: () => KeyObject | null;
  /** Takes the key that the server shows (publicHalf); throws when another one is pinned. */
  readonly meet: (shown: string) => void;
}

/** The key pinned in a state folder; throws when the file is there but is no key. */
export const openServerKey = (folder: string): ServerKey => {
  const file = join(folder, 'server.key.pub');
  let pinned: string | null = null;
  try {
    pinned = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  let key = pinned === null ? null : readPublicHalf(pinned);
  return {
    key: () => key,
    meet: (shown) => {
      if (shown === pinned) return;
      if (pinned !== null)
        throw new Error(
          `the server signs with another key than the one pinned at the first contact; if that is right, remove ${file}`,
        );
      key = readPublicHalf(shown);
      writePrivateFile(file, `${shown}\n`, ownerAbove(folder));
      pinned = shown;
    },
  };
};
