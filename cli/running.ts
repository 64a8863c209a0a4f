/**
 * What runs in a data folder and where it can be reached: small files that `muster serve` and `muster eventstore` write
 * and the other commands read, so that they need no address on the command line.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const serverSchema = z.object({
  pid: z.int(),
  url: z.url(),
  databaseUrl: z.string(),
  eventStoreUrl: z.string(),
});
const eventStoreSchema = z.object({ pid: z.int(), databaseUrl: z.string() });

/** Process id and addresses of a running server. */
export type Running = z.infer<typeof serverSchema>;

/** Process id and database of an event store that runs alone. */
export type RunningEventStore = z.infer<typeof eventStoreSchema>;

const serverFile = (dataDir: string) => join(dataDir, 'running.json');
const eventStoreFile = (dataDir: string) => join(dataDir, 'running-eventstore.json');

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** The file is readable by its owner alone. */
const write = (dataDir: string, file: string, running: RunningEventStore): void => {
  mkdirSync(dataDir, { recursive: true });
  writeFileSync(file, JSON.stringify(running), { mode: 0o600 });
};

const read = <T extends RunningEventStore>(file: string, schema: z.ZodType<T>): T | undefined => {
  try {
    const running = schema.parse(JSON.parse(readFileSync(file, 'utf8')));
    return isAlive(running.pid) ? running : undefined;
  } catch {
    return undefined;
  }
};

/** Announces a running server. */
export const announce = (dataDir: string, running: Running): void =>
  write(dataDir, serverFile(dataDir), running);

/** Withdraws the announcement. */
export const withdraw = (dataDir: string): void => rmSync(serverFile(dataDir), { force: true });

/** The running server of a data folder, if there is one. */
export const findRunning = (dataDir: string): Running | undefined => read(serverFile(dataDir), serverSchema);

/** Announces an event store that runs alone; the returned function withdraws it. */
export const announceEventStore = (dataDir: string, running: RunningEventStore): (() => void) => {
  write(dataDir, eventStoreFile(dataDir), running);
  return () => rmSync(eventStoreFile(dataDir), { force: true });
};

/** A database of the PostgreSQL that runs in a data folder, for whichever command it does. */
export const findRunningDatabase = (dataDir: string): string | undefined =>
  (findRunning(dataDir) ?? read(eventStoreFile(dataDir), eventStoreSchema))?.databaseUrl;
