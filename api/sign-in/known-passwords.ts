/**
 * Lists of passwords that are known to everybody: common ones, shipped, and breached ones, which the operator may put
 * beside. Opened by door.ts; called by password.ts.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { commonForms, normalPassword } from '../../domain/sign-in/password.ts';
import { MusterError } from '../../platform/errors.ts';

/** A list of known passwords. */
export interface KnownPasswords {
  has(password: string): Promise<boolean>;
}

/** About 49,000 common passwords of the zxcvbn dictionary; read when first asked for. */
export const openCommonPasswords = (): KnownPasswords => {
  let list: Promise<ReadonlySet<string>> | undefined;
  const load = async (): Promise<ReadonlySet<string>> => {
    const { dictionary } = await import('@zxcvbn-ts/language-common');
    return new Set(dictionary['passwords-common'] as readonly string[]);
  };
  return {
    async has(password) {
      list ??= load();
      const common = await list;
      return commonForms(password).some((form) => common.has(form));
    },
  };
};

/**
 * Breached passwords in the files of the Pwned Passwords range API (haveibeenpwned.com/API/v3#PwnedPasswords), one per
 * first five digits of the SHA-1: `ABCDE` or `ABCDE.txt`, lines `SUFFIX:COUNT`. A range without a file has none. Any
 * other provider is a function of the same shape: nothing but those five digits has to leave the server.
 */
export const openBreachedPasswords = (folder: string): KnownPasswords => {
  const readRange = async (range: string): Promise<string> => {
    for (const name of [range, `${range}.txt`]) {
      try {
        return await readFile(join(folder, name), 'utf8');
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'ENOENT')
          throw new MusterError('dependency-unavailable', 'breached passwords cannot be read', { cause });
      }
    }
    return '';
  };
  return {
    async has(password) {
      const digest = createHash('sha1').update(normalPassword(password)).digest('hex').toUpperCase();
      const text = await readRange(digest.slice(0, 5));
      const suffix = digest.slice(5);
      // A count of 0 pads the answers of the API and means nothing.
      return text
        .split(/\r?\n/)
        .some((line) => line.slice(0, 35).toUpperCase() === suffix && !/^:0+$/.test(line.slice(35).trim()));
    },
  };
};
