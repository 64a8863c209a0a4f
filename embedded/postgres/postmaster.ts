/**
 * Runs one postmaster process and tells when it is ready, when it ended, and how to stop it.
 * Called by embedded/postgres.ts, which restarts it when it ends on its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { MusterError } from '../../platform/errors.ts';
import type { Logger } from '../../platform/log.ts';
import type { Binaries } from './binaries.ts';
import { type Cluster, childEnvironment, openFolder, superuser } from './cluster.ts';
import type { RunAs } from './run-as.ts';

/** A running server. `ended` resolves with the reason, never rejects. */
export interface Postmaster {
  readonly pid: number;
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find(
  (path) => process.platform === 'linux' && existsSync(path),
);

/** A free TCP port of the loopback interface; only for systems without unix sockets. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });

/** Connection URL (libpq's URI form) of database `postgres`. */
export const clusterUrl = (cluster: Cluster, port: number): string =>
  cluster.socketDir === undefined
    ? `postgres://${superuser}:${encodeURIComponent(cluster.password ?? '')}@127.0.0.1:${port}/postgres`
    : `postgres://${superuser}@localhost/postgres?host=${encodeURIComponent(cluster.socketDir)}`;

const settings = (cluster: Cluster, port: number): string[] => [
  ...(cluster.socketDir === undefined
    ? ['listen_addresses=127.0.0.1', `port=${port}`]
    : [
        'listen_addresses=',
        'port=5432',
        `unix_socket_directories=${cluster.socketDir}`,
        'unix_socket_permissions=0700',
      ]),
  // A Muster at rest holds about 70 (queues and their workers make most); commands and a second process need room.
  'max_connections=300',
  'shared_buffers=128MB',
  'max_wal_size=1GB',
  'wal_level=replica',
  'jit=off',
  'logging_collector=off',
  'log_destination=stderr',
  'log_line_prefix=',
  // Statements and details hold values of tenants; the client that sent them gets the full error.
  'log_min_error_statement=panic',
  'log_error_verbosity=terse',
];

const logLines = (child: ChildProcess, log: Logger, onLine: (line: string) => void): void => {
  if (!child.stderr) return;
  // An orphan's pipe may break while it is read; the process's own end is what counts.
  child.stderr.on('error', () => {});
  createInterface({ input: child.stderr }).on('line', (line) => {
    const isTrouble = /^(FATAL|PANIC|ERROR|WARNING):/.test(line);
    log[isTrouble ? 'warn' : 'debug']({ postgres: line }, 'postgres');
    onLine(line);
  });
};

/**
 * Starts the server and resolves once it accepts connections.
 * Throws `dependency-unavailable` with PostgreSQL's own last words when it ends before that.
 */
export const startPostmaster = async (
  cluster: Cluster,
  binaries: Binaries,
  runAs: RunAs,
  port: number,
  log: Logger,
): Promise<Postmaster> => {
  const handle = openFolder(cluster.folder, runAs);
  const args = ['-D', handle.path, ...settings(cluster, port).flatMap((setting) => ['-c', setting])];
  // With setpriv the kernel tells PostgreSQL to shut down when this process is killed, so no orphan stays.
  const [program, all] = setpriv
    ? [setpriv, ['--pdeathsig', 'INT', binaries.postgres, ...args]]
    : [binaries.postgres, args];
  const child = spawn(program, all, {
    ...runAs.ids,
    cwd: '/',
    env: childEnvironment,
    stdio: ['ignore', 'ignore', 'pipe', ...handle.stdio],
  });
  handle.close();
  const lastLines: string[] = [];
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, name) => resolve(name ?? `exit code ${code}`));
  });
  const ready = new Promise<true>((resolve) => {
    logLines(child, log, (line) => {
      lastLines.push(line);
      if (lastLines.length > 20) lastLines.shift();
      if (line.includes('database system is ready to accept connections')) resolve(true);
    });
  });
  const outcome = await Promise.race([ready, ended]);
  if (outcome !== true) {
    throw new MusterError(
      'dependency-unavailable',
      `PostgreSQL did not start (${outcome}): ${lastLines.join(' / ')}`,
    );
  }
  return { pid: child.pid as number, ended, stop: () => stopChild(child, ended) };
};

const stopChild = async (child: ChildProcess, ended: Promise<string>): Promise<void> => {
  // Fast shutdown ends open transactions and writes a checkpoint; a hung one is followed by an immediate shutdown.
  child.kill('SIGINT');
  const impatience = setTimeout(() => child.kill('SIGQUIT'), 20_000);
  await ended;
  clearTimeout(impatience);
};
