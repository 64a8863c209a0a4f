/**
 * Decides which operating system user runs PostgreSQL, which refuses to run as root.
 * Called by embedded/postgres.ts and binaries.ts.
 */
import { readFileSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import { MusterError } from '../../platform/errors.ts';

/** The user that PostgreSQL runs as. `ids` is set only when it differs from this process's own user. */
export interface RunAs {
  readonly ids?: { readonly uid: number; readonly gid: number };
  readonly description: string;
}

const passwdEntry = (name: string): { uid: number; gid: number } | undefined => {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((candidate) => candidate.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return uid && gid && Number(uid) !== 0 ? { uid: Number(uid), gid: Number(gid) } : undefined;
};

const lacksName = (): boolean => {
  try {
    userInfo();
    return false;
  } catch {
    return true;
  }
};

/**
 * As root: the user `postgres`, else `nobody`. Otherwise: this process's own user.
 * Throws `dependency-unavailable` where initdb would refuse: a user without a name in /etc/passwd.
 */
export const chooseRunAs = (): RunAs => {
  if (process.platform === 'win32') return { description: 'the current user' };
  if (process.getuid?.() === 0) {
    for (const name of ['postgres', 'nobody']) {
      const ids = passwdEntry(name);
      if (ids) return { ids, description: `user ${name}` };
    }
    throw new MusterError(
      'dependency-unavailable',
      'PostgreSQL refuses to run as root and neither user postgres nor nobody exists. Create one, or set DATABASE_URL.',
    );
  }
  if (lacksName()) {
    throw new MusterError(
      'dependency-unavailable',
      `PostgreSQL refuses to run as user id ${process.getuid?.()}, which has no name in /etc/passwd. Add an entry, or set DATABASE_URL.`,
    );
  }
  return { description: `user ${userInfo().username}` };
};

const allows = (path: string, runAs: { uid: number; gid: number }): boolean => {
  const { mode, uid, gid } = statSync(path);
  const shift = uid === runAs.uid ? 6 : gid === runAs.gid ? 3 : 0;
  const needed = statSync(path).isDirectory() ? 0o1 : 0o5;
  return ((mode >> shift) & needed) === needed;
};

/** Whether `runAs` can pass every folder down to `path` and, when it is a program, read and execute it. */
export const canReach = (path: string, runAs: RunAs): boolean => {
  if (!runAs.ids) return true;
  for (let at = path; ; at = dirname(at)) {
    if (!allows(at, runAs.ids)) return false;
    if (at === dirname(at)) return true;
  }
};
