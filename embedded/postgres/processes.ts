/**
 * Tells live processes from dead ones whose number was reused, without guessing from the number alone.
 * Called by owner-lock.ts and cluster.ts.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

const hasProc = existsSync('/proc/self/stat');

/** Fields of /proc/<pid>/stat after the command name, which may itself hold spaces and brackets (proc(5)). */
const statFields = (pid: number): string[] | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
};

const ps = (pid: number, field: string): string | undefined => {
  try {
    return (
      execFileSync('ps', ['-o', `${field}=`, '-p', String(pid)], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim() || undefined
    );
  } catch {
    return undefined;
  }
};

const answersSignals = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** Whether any process, even one that has ended but was not yet reaped, has this number. */
export const numberIsTaken = (pid: number): boolean => pid > 0 && answersSignals(pid);

/**
 * What tells this process from every other that ever had its number: the boot and the start time.
 * `undefined` when no such process lives (a zombie does not).
 */
export const incarnation = (pid: number): string | undefined => {
  if (process.platform === 'win32') return answersSignals(pid) ? 'alive' : undefined;
  if (!hasProc) return ps(pid, 'lstart');
  const fields = statFields(pid);
  if (!fields || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${fields[19]}`;
};

/** Numbers of the live processes that work in `folder` (a postmaster and its children do in their data folder). */
export const processesIn = (folder: string, candidate: number | undefined): number[] => {
  if (hasProc) {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && worksIn(Number(name), folder))
      .map(Number);
  }
  const isPostgres =
    candidate !== undefined &&
    answersSignals(candidate) &&
    /postgres/.test(ps(candidate, 'comm') ?? (process.platform === 'win32' ? 'postgres' : ''));
  return isPostgres ? [candidate] : [];
};

const worksIn = (pid: number, folder: string): boolean => {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === folder && statFields(pid)?.[0] !== 'Z';
  } catch {
    return false;
  }
};
