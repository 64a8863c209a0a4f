/**
 * What a new password must be like, as far as the password alone tells. Lists of known passwords and earlier ones are
 * looked up by api/sign-in/password.ts, which calls this.
 */
import type { PasswordPolicy } from './sign-in.ts';

/** One form for every way of typing the same text (NIST SP 800-63B asks for normalisation before hashing). */
export const normalPassword = (password: string): string => password.normalize('NFKC');

const classesOf = [/\p{Ll}/u, /\p{Lu}/u, /\p{Nd}/u, /[^\p{Ll}\p{Lu}\p{Nd}]/u];

/** Words about a person that must not be most of the password: at least this long. */
const shortestPersonalWord = 4;
/** Characters that must be left once a word about the person is taken out. */
const leastBesides = 8;

/** Why the password is refused, in a sentence that goes on from "newPassword"; undefined when it is fine. */
export const passwordFault = (
  { minimumLength, classes }: Pick<PasswordPolicy, 'minimumLength' | 'classes'>,
  password: string,
  personal: readonly string[] = [],
): string | undefined => {
  const text = normalPassword(password);
  if ([...text].length < minimumLength) return `must have at least ${minimumLength} characters`;
  if (new Set(text).size < 5) return 'repeats too few characters';
  if (classesOf.filter((pattern) => pattern.test(text)).length < classes)
    return `must mix at least ${classes} of lower case, upper case, digits and other characters`;
  const folded = text.toLowerCase();
  const revealing = personal
    .map((word) => word.toLowerCase())
    .filter((word) => word.length >= shortestPersonalWord && folded.includes(word))
    .some((word) => [...folded.replaceAll(word, '')].length < leastBesides);
  return revealing ? 'is little more than the name or e-mail' : undefined;
};

/**
 * The forms under which lists of common passwords are asked: as it is, without digits and signs at its ends, and, of
 * one that repeats itself, once. Lower case.
 */
export const commonForms = (password: string): readonly string[] => {
  const folded = normalPassword(password).toLowerCase();
  const stem = folded.replace(/^[^\p{L}]+|[^\p{L}]+$/gu, '');
  const forms = [folded, ...(stem.length >= 4 ? [stem] : [])];
  const repeated = forms.flatMap((form) => /^(.{3,}?)\1+$/u.exec(form)?.[1] ?? []);
  return [...new Set([...forms, ...repeated])];
};
