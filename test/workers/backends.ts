/**
 * The queue backends that the tests of workers run on: PostgreSQL always, Redis where one is configured (REDIS_URL) or
 * a redis-server binary is installed. Called by the tests of workers/ and platform/queue.ts.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { quietPort } from '../support/port.ts';

export interface Backend {
  readonly name: 'postgres' | 'redis';
  /** A reason not to run on it. */
  readonly skip: string | false;
  /** Starts what it needs; `redisUrl` is undefined for PostgreSQL. */
  start(): Promise<{ redisUrl: string | undefined; stop(): Promise<void> }>;
}

const installed = (): boolean => {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

const startRedis = async () => {
  const configured = process.env['REDIS_URL'];
  if (configured) return { redisUrl: configured, stop: async () => {} };
  const port = await quietPort();
  const child = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  for await (const chunk of child.stdout) if (String(chunk).includes('Ready to accept')) break;
  child.stdout.resume();
  return {
    redisUrl: `redis://127.0.0.1:${port}`,
    async stop() {
      child.kill();
      await once(child, 'exit');
    },
  };
};

const redisMissing =
  process.env['REDIS_URL'] || installed() ? false : 'no REDIS_URL and no redis-server binary on this machine';

export const backends: readonly Backend[] = [
  { name: 'postgres', skip: false, start: async () => ({ redisUrl: undefined, stop: async () => {} }) },
  { name: 'redis', skip: redisMissing, start: startRedis },
];

/** Defines a suite on each backend. One that cannot run here is a skipped test, which is counted and gives its reason. */
export const onEachBackend = (title: string, define: (backend: Backend) => void): void => {
  for (const backend of backends) {
    const name = `${title} on ${backend.name}`;
    if (backend.skip) test(name, { skip: backend.skip });
    else describe(name, () => define(backend));
  }
};
