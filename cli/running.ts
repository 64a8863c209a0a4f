/**
 * Where the server of a data folder can be reached while it runs: a small file that `muster serve` and `muster
 * eventstore` write and the other commands read, so that they need no address on the command line.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const schema = z.object({
  pid: z.int(),
  url: z.url(),
  eventStoreUrl: z.string(),
  /** Missing where only an event store runs. */
  databaseUrl: z.string().optional(),
  /** The database of the embedded event log; missing with an event store of another kind. */
  eventStoreDatabaseUrl: z.string().optional(),
});

/** Process id and addresses of a running server. */
export type Running = z.infer<typeof schema>;

/** A running server with Muster's own database, not an event store alone. */
export type RunningMuster = Running & { readonly databaseUrl: string };

const fileOf = (dataDir: string) => join(dataDir, 'running.json');

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** Announces a running server; the file is readable by its owner alone. */
export const announce = (dataDir: string, running: Running): void => {
  mkdirSync(dataDir, { recursive: true });
  writeFileSync(fileOf(dataDir), JSON.stringify(running), { mode: 0o600 });
};

/** Withdraws the announcement of this process; that of another one stays. */
export const withdraw = (dataDir: string): void => {
  const other = findRunning(dataDir);
  if (other && other.pid !== process.pid) return;
  rmSync(fileOf(dataDir), { force: true });
};

/** The running server of a data folder, if there is one. */
export const findRunning = (dataDir: string): Running | undefined => {
  try {
    const running = schema.parse(JSON.parse(readFileSync(fileOf(dataDir), 'utf8')));
    return isAlive(running.pid) ? running : undefined;
  } catch {
    return undefined;
  }
};
