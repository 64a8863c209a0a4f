/**
 * The cluster on disk: creates it, finds a short place for its socket, and clears what a killed one left behind.
 * Called by embedded/postgres.ts, which holds the owner lock while these run.
 */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MusterError } from '../../platform/errors.ts';
import type { Binaries } from './binaries.ts';
import { numberIsTaken, processesIn } from './processes.ts';
import { canReach, type RunAs } from './run-as.ts';

/** sun_path holds 108 bytes on Linux and 104 on macOS, its closing zero included (unix(7)). */
const maxSocketPathBytes = 103;
const socketFile = '.s.PGSQL.5432';

/** Where a cluster lives. `superuser` connects without a password through the socket, with one over TCP. */
export interface Cluster {
  /** Absolute, symlinks resolved: what a postmaster's working folder reads as. */
  readonly folder: string;
  readonly socketDir: string | undefined;
  readonly password: string | undefined;
}

export const superuser = 'muster';

/** What a child needs to reach the data folder although a parent of it may be closed to its user. */
export interface Handle {
  /** The path to give to PostgreSQL. */
  readonly path: string;
  readonly stdio: readonly number[];
  close(): void;
}

/**
 * Root often works in /root, which no other user may pass. A folder opened by root stays reachable through
 * /proc/self/fd in the children that inherit it, so the data can stay where the operator wanted it.
 */
export const openFolder = (folder: string, runAs: RunAs): Handle => {
  if (canReach(folder, runAs)) return { path: folder, stdio: [], close: () => {} };
  if (process.platform !== 'linux') {
    throw new MusterError(
      'config-invalid',
      `${runAs.description} cannot reach ${folder}. Choose a data folder outside closed folders, or set DATABASE_URL.`,
    );
  }
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  return { path: '/proc/self/fd/3', stdio: [fd], close: () => closeSync(fd) };
};

const give = (path: string, runAs: RunAs): void => {
  if (runAs.ids) chownSync(path, runAs.ids.uid, runAs.ids.gid);
};

const runToEnd = async (
  program: string,
  args: readonly string[],
  runAs: RunAs,
  stdio: readonly number[],
): Promise<void> => {
  const child = spawn(program, args, {
    ...runAs.ids,
    cwd: '/',
    env: childEnvironment,
    stdio: ['ignore', 'pipe', 'pipe', ...stdio],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4000);
    });
  }
  const outcome = await new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? code ?? 'unknown'));
  });
  if (outcome !== 0)
    throw new MusterError('dependency-unavailable', `initdb failed (${outcome}): ${output.trim()}`);
};

/** PostgreSQL's programs read PG* variables of their environment; none of the caller's may leak in. */
export const childEnvironment: NodeJS.ProcessEnv = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
};

/** Creates the cluster in `folder` unless it is there. A creation that was killed half-way leaves no half cluster. */
const initialise = async (folder: string, binaries: Binaries, runAs: RunAs): Promise<void> => {
  if (existsSync(join(folder, 'PG_VERSION'))) return;
  const draft = `${folder}.new`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  give(draft, runAs);
  const handle = openFolder(draft, runAs);
  const passwordFile = `${folder}.password`;
  const overTcp = process.platform === 'win32';
  if (overTcp) writeFileSync(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 });
  try {
    await runToEnd(
      binaries.initdb,
      [
        '-D',
        handle.path,
        '-U',
        superuser,
        '-E',
        'UTF8',
        '--locale=C',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        ...(overTcp ? ['-A', 'scram-sha-256', `--pwfile=${passwordFile}`] : ['-A', 'trust']),
      ],
      runAs,
      handle.stdio,
    );
  } finally {
    handle.close();
  }
  rmSync(folder, { recursive: true, force: true });
  renameSync(draft, folder);
};

/** A private folder: a real one, of the given user, closed to everybody else. */
const isPrivate = (path: string, runAs: RunAs): boolean => {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return (
    stat?.isDirectory() === true &&
    stat.uid === (runAs.ids?.uid ?? process.getuid?.()) &&
    (stat.mode & 0o077) === 0
  );
};

/** The socket folder is closed to other users, because whoever reaches the socket is trusted. */
const makeSocketDir = (dataDir: string, runAs: RunAs): string => {
  const near = join(dataDir, 'run');
  if (Buffer.byteLength(join(near, socketFile)) <= maxSocketPathBytes && canReach(dataDir, runAs)) {
    mkdirSync(near, { recursive: true, mode: 0o700 });
    chmodSync(near, 0o700);
    give(near, runAs);
    return near;
  }
  const far = join(tmpdir(), `muster-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`);
  if (!existsSync(far)) {
    mkdirSync(far, { mode: 0o700 });
    give(far, runAs);
  }
  if (isPrivate(far, runAs)) return far;
  // Somebody else holds the predictable name: take an unpredictable one.
  const random = mkdtempSync(join(tmpdir(), 'muster-'));
  give(random, runAs);
  return random;
};

/** Makes `<dataDir>/postgres` ready to be started; `dataDir` must exist. */
export const prepareCluster = async (dataDir: string, binaries: Binaries, runAs: RunAs): Promise<Cluster> => {
  const home = realpathSync(dataDir);
  const folder = join(home, 'postgres');
  await initialise(folder, binaries, runAs);
  if (process.platform === 'win32') {
    return { folder, socketDir: undefined, password: readFileSync(`${folder}.password`, 'utf8') };
  }
  return { folder, socketDir: makeSocketDir(home, runAs), password: undefined };
};

interface PidFile {
  readonly pid: number;
  readonly socketDir: string | undefined;
}

/** postmaster.pid: number, data folder, start time, port, socket folder, … one a line (PostgreSQL's pidfile.h). */
const readPidFile = (folder: string): PidFile | undefined => {
  try {
    const lines = readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n');
    return { pid: Math.abs(Number(lines[0])), socketDir: lines[4]?.trim() || undefined };
  } catch {
    return undefined;
  }
};

const answers = (socketPath: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(socketPath);
    socket
      .once('connect', () => resolve(true))
      .once('error', () => resolve(false))
      .once('close', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself.
  }
};

/** Fast, then immediate shutdown, then the end: pg_ctl's modes, each given this long (milliseconds). */
const escalation: readonly [NodeJS.Signals, number][] = [
  ['SIGINT', 15_000],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 5_000],
];

/**
 * Ends a postmaster that outlived its Muster, waits for its children to be gone, and removes a postmaster.pid
 * whose number now belongs to somebody else, which PostgreSQL would take for a running server.
 * The caller holds the owner lock, so whatever runs here is an orphan.
 */
export const clearLeftovers = async (cluster: Cluster): Promise<void> => {
  for (const [name, patienceMs] of escalation) {
    const pid = readPidFile(cluster.folder)?.pid;
    let left = processesIn(cluster.folder, pid);
    if (left.length === 0) break;
    for (const each of name === 'SIGKILL' ? left : left.filter((one) => one === pid)) signal(each, name);
    for (const until = performance.now() + patienceMs; left.length > 0 && performance.now() < until; ) {
      await delay(20);
      left = processesIn(cluster.folder, pid);
    }
  }
  const pidFile = readPidFile(cluster.folder);
  if (!pidFile) return;
  const socketDir = pidFile.socketDir ?? cluster.socketDir;
  if (socketDir && (await answers(join(socketDir, socketFile)))) {
    throw new MusterError(
      'data-dir-in-use',
      `PostgreSQL runs in ${cluster.folder}, outside of this container or out of this user's sight`,
    );
  }
  if (numberIsTaken(pidFile.pid) || pidFile.pid === 0 || Number.isNaN(pidFile.pid))
    rmSync(join(cluster.folder, 'postmaster.pid'));
};

/** Removes the socket folder of a stopped cluster when it lies outside the data folder; harmless while in use. */
export const removeSocketDir = (cluster: Cluster): void => {
  if (cluster.socketDir === undefined || cluster.socketDir.startsWith(dirname(cluster.folder))) return;
  try {
    rmdirSync(cluster.socketDir);
  } catch {
    // Not empty or already gone.
  }
};
