/**
 * The event store as a process of its own: `child.ts --port N --level L [--folder F --reserve BYTES]`, database URL on
 * standard input's first line.
 * Started by embedded/main.ts. Prints `{"eventstore":{"port":N}}` when ready; ends when standard input closes, so
 * that it never outlives its parent, and with code 1 when it can no longer write, so that its parent restarts it.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { type Logger, openLog } from '../../platform/log.ts';
import { type EventStoreServer, start } from './main.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    level: { type: 'string', default: 'info' },
    folder: { type: 'string' },
    reserve: { type: 'string', default: '0' },
  },
});
const log: Logger = openLog({ level: values.level, name: 'eventstore' });

const end = async (server: EventStoreServer | undefined, code: number): Promise<never> => {
  await server
    ?.stop()
    .catch((error: unknown) => log.error({ err: error }, 'the event store did not stop cleanly'));
  process.exit(code);
};

/** The URL may hold a password, which has no place among a process's arguments, where every user can read it. */
const serve = async (databaseUrl: string, parentLeft: Promise<void>): Promise<never> => {
  let server: EventStoreServer;
  try {
    const disk =
      values.folder === undefined
        ? undefined
        : { folder: values.folder, reserveBytes: Number(values.reserve) };
    server = await start({ port: Number(values.port), databaseUrl, disk }, { log });
  } catch (error) {
    log.error({ err: error }, 'the event store could not start');
    return end(undefined, 1);
  }
  process.stdout.write(`${JSON.stringify({ eventstore: { port: server.port } })}\n`);
  const outcome = await Promise.race([server.failed, parentLeft]);
  if (outcome instanceof Error) log.error({ err: outcome }, 'the event store gives up');
  return end(server, outcome instanceof Error ? 1 : 0);
};

// The parent decides when to stop: a Ctrl-C in the terminal reaches the whole group, and this process must be the last.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
// Whatever was written to a parent that is gone is lost; the closed standard input ends this process.
process.stdout.on('error', () => {});

const lines = createInterface({ input: process.stdin });
const parentLeft = new Promise<void>((resolve) => {
  lines.once('close', () => resolve());
});
lines.once('line', (line) => void serve(line, parentLeft));
void parentLeft.then(() => setTimeout(() => process.exit(1), 5_000).unref());
