/**
 * Rule: the server's verdict. A device that was unenrolled and enrolled again is known twice under one EAS id; the newest
 * verdict of the two counts. Called by decide.ts.
 */
import type { Rule } from '../question.ts';
import type { Verdict } from '../table.ts';
import { ownDevices } from './user.ts';

/** Newest first; of two at the same position the one that denies. */
const byAge = (a: Verdict, b: Verdict): number => b.position - a.position || (a.access === 'deny' ? -1 : 1);

/** The verdict that counts of several. */
export const newest = (verdicts: readonly Verdict[]): Verdict | undefined =>
  verdicts.length > 1 ? [...verdicts].sort(byAge)[0] : verdicts[0];

export const verdict: Rule = {
  name: 'verdict',
  judge: (question) => {
    const own = newest(ownDevices(question));
    return own === undefined ? null : { allow: own.access === 'allow', reason: own.reason };
  },
};
