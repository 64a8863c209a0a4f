/**
 * Tells callers apart by name and password. A password is hashed once; afterwards its caller is remembered, and asked
 * for again in the table of users every second, so that a changed password or a removed user is noticed.
 * Called by grpc/guard.ts for every call.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { PasswordHashing } from '../../../platform/passwords.ts';
import type { Caller } from './acl.ts';
import type { Attempts } from './attempts.ts';
import type { StoredUser, Users } from './users.ts';

/** Why somebody is not let in. */
export type Rejection = 'wrong' | 'throttled';

export interface Credentials {
  /**
   * A way to ask, again and again, for the caller of that name, if `password` is theirs. It rejects when the users
   * cannot be read.
   */
  open(name: string, password: string, address: string): () => Promise<Caller | Rejection>;
}

/** How long a caller is remembered before the table is asked again. */
const freshMs = 1_000;
const rememberedCallers = 1_000;

interface Known {
  readonly caller: Caller;
  readonly hash: string;
  readonly checkedAt: number;
}

const callerOf = ({ name, groups }: StoredUser): Caller => ({ name, roles: new Set([name, ...groups]) });

export const openCredentials = (parts: {
  users: Users;
  hashing: PasswordHashing;
  attempts: Attempts;
}): Credentials => {
  const { users, hashing, attempts } = parts;
  /** Keeps passwords out of the memory's keys. */
  const secret = randomBytes(32);
  const known = new LRUCache<string, Known>({ max: rememberedCallers });
  /** Checks under way: a thousand calls at once are one check. */
  const checking = new Map<string, Promise<Caller | Rejection>>();

  const remember = (key: string, user: StoredUser): Caller => {
    const caller = callerOf(user);
    known.set(key, { caller, hash: user.hash, checkedAt: performance.now() });
    return caller;
  };

  const verify = async (key: string, name: string, password: string, address: string) => {
    const user = await users.find(name);
    const before = known.get(key);
    if (before && user?.hash === before.hash) return remember(key, user);
    known.delete(key);
    if (!attempts.begin(name, address)) return 'throttled';
    if (!(await hashing.matches(user?.hash, password)) || !user) return 'wrong';
    attempts.succeed(name, address);
    return remember(key, user);
  };

  return {
    open: (name, password, address) => {
      const key = createHmac('sha256', secret).update(`${name}\0${password}`).digest('base64');
      return () => {
        const found = known.get(key);
        if (found && performance.now() - found.checkedAt < freshMs) return Promise.resolve(found.caller);
        const underWay = checking.get(key);
        if (underWay) return underWay;
        const check = verify(key, name, password, address).finally(() => checking.delete(key));
        checking.set(key, check);
        return check;
      };
    },
  };
};
