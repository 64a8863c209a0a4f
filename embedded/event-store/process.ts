/**
 * Runs child.ts and keeps it running on one port.
 * Called by embedded/main.ts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { MusterError } from '../../platform/errors.ts';
import type { Logger } from '../../platform/log.ts';
import { moduleArgs } from '../../platform/module-args.ts';
import type { DiskConfig } from './disk.ts';

/** A supervised event store. */
export interface EventStoreProcess {
  readonly port: number;
  /** Process id of the present child. */
  pid(): number;
  /** Resolves when it could not be kept running; never after `stop`. */
  readonly failed: Promise<Error>;
  stop(): Promise<void>;
}

const maxRestarts = 20;
const maxPauseMs = 2_000;
const steadyMs = 30_000;
/** How long a child may take to stop before it is killed; everything acknowledged is on disk anyway. */
const stopPatienceMs = 10_000;

interface Child {
  readonly process: ChildProcess;
  readonly port: number;
  readonly ended: Promise<string>;
}

/** What a child is started with; `port` 0 takes any free one. */
export interface ChildConfig {
  readonly port: number;
  readonly databaseUrl: string;
  readonly disk?: DiskConfig | undefined;
}

const spawnChild = async ({ port, databaseUrl, disk }: ChildConfig, log: Logger): Promise<Child> => {
  const args = [
    // Appends are short-lived garbage; with V8's default of 16 MiB much of it is copied before it dies.
    '--max-semi-space-size=32',
    ...moduleArgs('./child', import.meta.url),
    '--port',
    String(port),
    '--level',
    log.level,
    ...(disk ? ['--folder', disk.folder, '--reserve', String(disk.reserveBytes)] : []),
  ];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin?.on('error', () => {});
  child.stdin?.write(`${databaseUrl}\n`);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  const ready = new Promise<number>((resolve) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).once('line', (line) => {
      resolve((JSON.parse(line) as { eventstore: { port: number } }).eventstore.port);
    });
  });
  const outcome = await Promise.race([ready, ended]);
  if (typeof outcome === 'string')
    throw new MusterError(
      'dependency-unavailable',
      `The event store did not start (${outcome}); its log says why`,
    );
  return { process: child, port: outcome, ended };
};

const stopChild = async (child: Child): Promise<void> => {
  child.process.stdin?.end();
  const impatience = setTimeout(() => child.process.kill('SIGKILL'), stopPatienceMs);
  await child.ended;
  clearTimeout(impatience);
};

/** Starts the event store on `port` (0: any free one) and restarts it there whenever it ends. */
export const startEventStoreProcess = async (
  config: ChildConfig,
  deps: { log: Logger },
): Promise<EventStoreProcess> => {
  const { log } = deps;
  let current = await spawnChild(config, log);
  const { port } = current;
  const stopping = new AbortController();
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });

  const restart = async (): Promise<Child | undefined> => {
    for (let attempt = 1; !stopping.signal.aborted; attempt += 1) {
      try {
        return await spawnChild({ ...config, port }, log);
      } catch (error) {
        if (attempt >= maxRestarts) throw error;
        await delay(Math.min(maxPauseMs, 50 * 2 ** attempt), undefined, { signal: stopping.signal }).catch(
          () => {},
        );
      }
    }
    return undefined;
  };

  const keepRunning = async (): Promise<void> => {
    let restarts = 0;
    for (;;) {
      const startedAt = performance.now();
      const reason = await current.ended;
      if (stopping.signal.aborted) return;
      restarts = performance.now() - startedAt > steadyMs ? 1 : restarts + 1;
      if (restarts > maxRestarts)
        throw new MusterError('dependency-unavailable', `The event store keeps ending (${reason})`);
      log.warn({ reason, restarts }, 'the event store ended unexpectedly, restarting');
      const next = await restart();
      if (!next) return;
      current = next;
      if (stopping.signal.aborted) return stopChild(current);
    }
  };
  const kept = keepRunning().catch((error: Error) => {
    if (!stopping.signal.aborted) fail(error);
  });

  return {
    port,
    pid: () => current.process.pid as number,
    failed,
    stop: async () => {
      stopping.abort();
      await stopChild(current);
      await kept;
    },
  };
};
