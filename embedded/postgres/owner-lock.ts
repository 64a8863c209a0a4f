/**
 * One Muster per data folder: a lock file that names its owner so exactly that a stale one never blocks.
 * Called by embedded/postgres.ts before it touches the cluster.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { MusterError } from '../../platform/errors.ts';
import { incarnation } from './processes.ts';

interface Owner {
  readonly pid: number;
  /** Boot and start time of that process, so that a reused number is not taken for the owner. */
  readonly incarnation: string;
}

const readOwner = (path: string): Owner | undefined => {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Owner;
  } catch {
    return undefined;
  }
};

const isAlive = (owner: Owner | undefined): boolean =>
  owner !== undefined && Number.isInteger(owner.pid) && incarnation(owner.pid) === owner.incarnation;

const tryLink = (draft: string, path: string): boolean => {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
};

/**
 * Takes the lock at `path`; the returned function gives it back.
 * Throws `data-dir-in-use`, naming the owner's process id, while that process lives.
 */
export const takeOwnerLock = (path: string): (() => void) => {
  const mine: Owner = { pid: process.pid, incarnation: incarnation(process.pid) ?? 'unknown' };
  const draft = `${path}.${process.pid}.${Math.trunc(performance.now() * 1000)}`;
  writeFileSync(draft, JSON.stringify(mine), { mode: 0o644 });
  try {
    // link() is atomic: of two starters one wins. A stale lock is moved aside first, by a rename only one can do.
    for (let attempt = 0; attempt < 20; attempt += 1) {
      if (tryLink(draft, path)) return () => release(path, mine);
      const owner = readOwner(path);
      if (isAlive(owner)) {
        throw new MusterError(
          'data-dir-in-use',
          `Process ${owner?.pid} already runs PostgreSQL in ${path.replace(/[^/\\]+$/, '')}`,
        );
      }
      moveAside(path, owner, draft);
    }
    throw new MusterError('data-dir-in-use', `The lock file ${path} is being taken by other processes`);
  } finally {
    rmSync(draft, { force: true });
  }
};

const moveAside = (path: string, stale: Owner | undefined, draft: string): void => {
  const aside = `${draft}.stale`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const moved = readOwner(aside);
  // Another starter may have replaced the stale lock in between: what was moved is then a live one and goes back.
  if (JSON.stringify(moved) !== JSON.stringify(stale) && isAlive(moved)) tryLink(aside, path);
  rmSync(aside, { force: true });
};

const release = (path: string, mine: Owner): void => {
  if (JSON.stringify(readOwner(path)) === JSON.stringify(mine)) rmSync(path, { force: true });
};
