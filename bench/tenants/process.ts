/**
 * Looks at a running server from outside: CPU time of it and the processes it started (Linux's /proc), and what it
 * holds. Called by main.ts of this folder.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { RunningMuster } from '../../cli/running.ts';
import { openSql } from '../../platform/sql.ts';

/** Settings that let a server tell what it holds. */
export const telltaleSettings = {
  NODE_OPTIONS: `--import ${pathToFileURL(fileURLToPath(new URL('./telltale.mjs', import.meta.url))).href}`,
} as const;

/** What an idle server holds. */
export interface Held {
  readonly resources: readonly string[];
  readonly rss: number;
  readonly heapUsed: number;
  readonly connections: number;
  readonly queues: number;
}

/** Of USER_HZ, which Linux fixes at 100 for programs. */
const tickSeconds = 0.01;

/** Parent and CPU seconds of a process; its name, in parentheses, may hold anything. */
const statOf = (pid: string): { parent: number; seconds: number } | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15);
    return { parent: fields[1] ?? 0, seconds: (user + system + childUser + childSystem) * tickSeconds };
  } catch {
    return undefined;
  }
};

/** CPU seconds that a process and everything below it have used so far. */
export const cpuSecondsOf = (root: number): number => {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const stats = new Map(
    all.flatMap((pid) => {
      const stat = statOf(pid);
      return stat ? [[Number(pid), stat] as const] : [];
    }),
  );
  const isBelow = (pid: number): boolean => {
    for (let at = pid; at > 1; at = stats.get(at)?.parent ?? 0) if (at === root) return true;
    return false;
  };
  return [...stats].reduce((sum, [pid, { seconds }]) => (isBelow(pid) ? sum + seconds : sum), 0);
};

/** Waits until a server has nothing more to do: two looks in a row find it all but idle. */
export const untilIdle = async (root: number): Promise<void> => {
  const lookMs = 400;
  const idleShare = 0.15;
  for (let quiet = 0; quiet < 2; ) {
    const before = cpuSecondsOf(root);
    await delay(lookMs);
    quiet = ((cpuSecondsOf(root) - before) * 1000) / lookMs < idleShare ? quiet + 1 : 0;
  }
};

/** Asks an idle server what it holds. */
export const heldBy = async (dataDir: string, running: RunningMuster): Promise<Held> => {
  const file = join(dataDir, 'telltale.json');
  rmSync(file, { force: true });
  process.kill(running.pid, 'SIGUSR2');
  while (!existsSync(file) || readFileSync(file, 'utf8') === '') await delay(20);
  const sql = openSql(running.databaseUrl, { max: 1 });
  try {
    const [counts] = await sql<{ connections: number; queues: number }[]>`
      select (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as connections,
        (select count(distinct queue)::int from bullmq.meta) as queues`;
    return { ...JSON.parse(readFileSync(file, 'utf8')), ...counts };
  } finally {
    await sql.end();
  }
};
