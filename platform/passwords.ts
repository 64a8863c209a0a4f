/**
 * Hashes of passwords that people choose or are given: argon2id, at most a few at once.
 * Opened by api/vault/passwords.ts and by the users of the embedded event store, which keep the hashes.
 */
import { hash, verify } from '@node-rs/argon2';
import { z } from 'zod';
import { MusterError } from './errors.ts';
import { newSecret } from './new-id.ts';

/** What a person may choose: long enough to need no further rules (NIST SP 800-63B §3.1.1), short enough to hash. */
export const chosenPassword = z
  .string()
  .min(12)
  .max(256)
  .refine((value) => !/\p{Cs}/u.test(value), 'contains a lone surrogate')
  .refine((value) => new Set(value).size >= 5, 'repeats too few characters');

/** Hashes and checks passwords. Both throw `too-busy` when too many wait already. */
export interface PasswordHashing {
  hash(password: string): Promise<string>;
  /** Whether `password` has this hash. Without a hash it takes as long and is false. */
  matches(hashed: string | undefined, password: string): Promise<boolean>;
}

/** OWASP password storage cheat sheet: argon2id (the library's default) with 19 MiB, two passes, one lane. */
const cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
const hashesAtOnce = 2;
const hashesWaiting = 64;

/** Runs at most `hashesAtOnce` at a time. */
const limited = () => {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= hashesAtOnce) {
      if (waiting.length >= hashesWaiting) throw new MusterError('too-busy', 'too many sign-ins at once');
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
};

/** One form for every way of typing the same text (NIST SP 800-63B asks for normalisation before hashing). */
const normal = (password: string): string => password.normalize('NFKC');

/** Opens the hashing. Each has its own limit of hashes at once, so open one per process. */
export const openPasswordHashing = async (): Promise<PasswordHashing> => {
  const atOnce = limited();
  const hashOf = (password: string) => atOnce(() => hash(normal(password), cost));
  const decoy = await hashOf(newSecret());
  return {
    hash: hashOf,
    async matches(hashed, password) {
      const matches = await atOnce(() => verify(hashed ?? decoy, normal(password)));
      return hashed !== undefined && matches;
    },
  };
};
