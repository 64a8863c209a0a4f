/**
 * Order of dotted version numbers as operating systems and apps report them. Called by compliance rules.
 */

const parts = (version: string): number[] => (version.match(/\d+/g) ?? []).map(Number);

/** Negative, zero or positive as `a` is older than, equal to or newer than `b`; missing parts count as 0. */
export const compareVersions = (a: string, b: string): number => {
  const [left, right] = [parts(a), parts(b)];
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
};
