/**
 * The domains of mail addresses, one copy each: the users of a tenant share a few. Called by table-records.ts.
 */

/** A mail address in two parts; 0 is no domain: then the text is all of it. */
export interface Parts {
  readonly text: string;
  readonly domain: number;
}

/** Domains by number, from 1. They are never forgotten; the next snapshot makes a new table. */
export interface Domains {
  readonly split: (email: string) => Parts;
  readonly join: (parts: Parts) => string;
}

/** What fits the byte of a record; addresses of further domains are kept whole. */
const most = 255;

/** No domains yet. */
export const openDomains = (): Domains => {
  const numbers = new Map<string, number>();
  const names = [''];
  const numberOf = (name: string): number => {
    const known = numbers.get(name);
    if (known !== undefined) return known;
    if (names.length > most) return 0;
    numbers.set(name, names.length);
    return names.push(name) - 1;
  };
  return {
    split: (email) => {
      const at = email.indexOf('@');
      // An address with a backslash is kept whole: localPart looks for it behind the sign, too.
      const domain = at <= 0 || email.includes('\\') ? 0 : numberOf(email.slice(at + 1));
      return domain === 0 ? { text: email, domain } : { text: email.slice(0, at), domain };
    },
    join: ({ text, domain }) => (domain === 0 ? text : `${text}@${names[domain]}`),
  };
};
