/**
 * Rule: the device has checked in within a given time. It is the rule whose outcome changes by time alone: it says
 * when (`dueAt`), and a scheduled job evaluates the device then. Listed in index.ts.
 */
import { z } from 'zod';
import { platforms } from '../../text.ts';
import { defineRule } from '../rule.ts';

const minuteMs = 60_000;

export const maximumSyncGap = defineRule({
  name: 'maximum-sync-gap',
  title: 'Maximum time between syncs',
  severity: 'medium',
  platforms,
  parameters: z.strictObject({ minutes: z.int().min(1).max(525_600) }),
  check: ({ lastCheckInAt }, { minutes }, now) => {
    if (lastCheckInAt === null) return { violated: true, why: 'The device has never synced.' };
    const dueAt = new Date(Date.parse(lastCheckInAt) + minutes * minuteMs).toISOString();
    if (now < dueAt) return { violated: false, dueAt };
    return {
      violated: true,
      why: `The device has not synced for more than ${minutes} minutes.`,
      since: dueAt,
    };
  },
});
