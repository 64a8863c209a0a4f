/**
 * A real PostgreSQL in the data folder, started from the binaries that npm installed, kept running, stopped cleanly.
 * Called by embedded/main.ts when no DATABASE_URL is configured.
 */
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { MusterError } from '../platform/errors.ts';
import type { Logger } from '../platform/log.ts';
import { findBinaries } from './postgres/binaries.ts';
import { clientFor } from './postgres/client.ts';
import { clearLeftovers, prepareCluster, removeSocketDir } from './postgres/cluster.ts';
import { takeOwnerLock } from './postgres/owner-lock.ts';
import { clusterUrl, freePort, type Postmaster, startPostmaster } from './postgres/postmaster.ts';
import { chooseRunAs } from './postgres/run-as.ts';

/** A PostgreSQL that is kept running until stopped. */
export interface EmbeddedPostgres {
  /** Superuser URL of database `postgres`; stays valid across restarts. */
  readonly url: string;
  /** Process id of the present postmaster. */
  pid(): number;
  /** Resolves when it could not be restarted; never while it runs or after `stop`. */
  readonly failed: Promise<Error>;
  /** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
  stop(): Promise<void>;
}

/** Restarts in a row, each after a pause that doubles up to this many milliseconds, before giving up. */
const maxRestarts = 10;
const maxPauseMs = 5_000;
/** A server that ran this long had started well; the count of restarts begins anew. */
const steadyMs = 60_000;

const startAfterLeftovers = async (
  start: () => Promise<Postmaster>,
  clear: () => Promise<void>,
): Promise<Postmaster> => {
  // Children of a killed postmaster keep its shared memory for some milliseconds, during which a start is refused.
  for (let attempt = 1; ; attempt += 1) {
    await clear();
    try {
      return await start();
    } catch (error) {
      const mayPass = error instanceof Error && /lock file|shared memory|in use/.test(error.message);
      if (!mayPass || attempt >= 20) throw error;
      await delay(attempt * 50);
    }
  }
};

/**
 * Starts PostgreSQL with its cluster in `<dataDir>/postgres`, creating both when missing. As root it runs as user
 * postgres or nobody. Whatever a killed predecessor left (lock files, a live orphan) is cleared first.
 * Throws `data-dir-in-use` while another Muster runs there, `dependency-unavailable` when it cannot run here.
 */
export const startPostgres = async (
  config: { dataDir: string },
  deps: { log: Logger },
): Promise<EmbeddedPostgres> => {
  const { log } = deps;
  const runAs = chooseRunAs();
  const binaries = findBinaries(runAs);
  makeDataDir(config.dataDir);
  const unlock = takeOwnerLock(join(config.dataDir, 'postgres.lock'));
  try {
    const cluster = await prepareCluster(config.dataDir, binaries, runAs);
    const port = cluster.socketDir === undefined ? await freePort() : 5432;
    const start = () =>
      startAfterLeftovers(
        () => startPostmaster(cluster, binaries, runAs, port, log),
        () => clearLeftovers(cluster),
      );
    const supervised = supervise(await start(), start, log);
    log.debug(
      { dataDir: config.dataDir, runAs: runAs.description, postgresPid: supervised.pid() },
      'postgres started',
    );
    return {
      ...supervised,
      url: clusterUrl(cluster, port),
      stop: () =>
        supervised.stop().finally(() => {
          removeSocketDir(cluster);
          unlock();
        }),
    };
  } catch (error) {
    unlock();
    throw error;
  }
};

const makeDataDir = (dataDir: string): void => {
  try {
    if (mkdirSync(dataDir, { recursive: true, mode: 0o755 })) chmodSync(dataDir, 0o755);
  } catch (cause) {
    throw new MusterError(
      'config-invalid',
      `The data folder ${dataDir} cannot be created: ${(cause as Error).message}`,
      { cause },
    );
  }
};

const supervise = (first: Postmaster, start: () => Promise<Postmaster>, log: Logger) => {
  let current = first;
  let stopping = false;
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const wakeUp = new AbortController();

  const restart = async (): Promise<Postmaster> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await start();
      } catch (error) {
        if (attempt >= maxRestarts) throw error;
        log.error({ err: error, attempt }, 'postgres could not be restarted, trying again');
        await delay(Math.min(maxPauseMs, 100 * 2 ** attempt), undefined, { signal: wakeUp.signal });
      }
    }
  };

  const keepRunning = async (): Promise<void> => {
    let restarts = 0;
    for (;;) {
      const startedAt = performance.now();
      const reason = await current.ended;
      if (stopping) return;
      restarts = performance.now() - startedAt > steadyMs ? 1 : restarts + 1;
      if (restarts > maxRestarts)
        throw new MusterError('dependency-unavailable', `PostgreSQL keeps ending (${reason})`);
      log.warn({ reason, restarts }, 'postgres ended unexpectedly, restarting');
      current = await restart();
      if (stopping) return current.stop();
    }
  };
  const kept = keepRunning().catch((error: Error) => {
    if (!stopping) fail(error);
  });

  const stop = async (): Promise<void> => {
    stopping = true;
    wakeUp.abort();
    await current.stop();
    await kept;
  };
  return { pid: () => current.pid, failed, stop };
};

const urlOf = (url: string, name: string): string => {
  const target = new URL(url);
  target.pathname = `/${encodeURIComponent(name)}`;
  return target.href;
};

const isThere = async (client: pg.Client, name: string): Promise<boolean> => {
  const found = await client.query('select 1 from pg_database where datname = $1', [name]);
  return found.rowCount !== 0;
};

/** URL of database `name` on the server of `url`; `undefined` when there is none. */
export const findDatabase = async (url: string, name: string): Promise<string | undefined> => {
  const client = clientFor(url, 'muster-setup');
  await client.connect();
  try {
    return (await isThere(client, name)) ? urlOf(url, name) : undefined;
  } finally {
    await client.end();
  }
};

/**
 * Creates database `name` on the server of `url` unless it is there, and returns its URL.
 * Throws PostgreSQL's own error when the user of `url` may not create databases.
 */
export const ensureDatabase = async (url: string, name: string): Promise<string> => {
  const client = clientFor(url, 'muster-setup');
  await client.connect();
  try {
    if (!(await isThere(client, name))) await client.query(`create database ${pg.escapeIdentifier(name)}`);
  } catch (error) {
    // Two starters may create it at the same moment.
    if ((error as { code?: string }).code !== '42P04' && (error as { code?: string }).code !== '23505')
      throw error;
  } finally {
    await client.end();
  }
  return urlOf(url, name);
};
