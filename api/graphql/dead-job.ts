/**
 * Jobs that failed for good, for operators, in GraphQL. Listed in schema.ts.
 */
import { z } from 'zod';
import { MusterError } from '../../platform/errors.ts';
import type { DeadJob } from '../dead-jobs.ts';
import { builder } from './builder.ts';
import { QueueNameEnum } from './enums.ts';
import { mutation } from './mutation.ts';

const DeadJobType = builder.objectRef<DeadJob>('DeadJob').implement({
  description: 'A job that failed for good. Nothing of it was lost: it can be run again.',
  fields: (t) => ({
    queue: t.expose('queue', { type: QueueNameEnum }),
    jobId: t.exposeString('jobId'),
    name: t.exposeString('name'),
    attempts: t.exposeInt('attempts'),
    reason: t.exposeString('reason', { description: 'Why it failed last.' }),
    queuedAt: t.expose('queuedAt', { type: 'DateTime' }),
    failedAt: t.expose('failedAt', { type: 'DateTime', nullable: true }),
  }),
});

builder.queryField('deadJobs', (t) =>
  t.field({
    type: [DeadJobType],
    description: 'Jobs that failed for good, the latest first.',
    authScopes: { permission: 'operator.jobs' },
    args: {
      queue: t.arg({ type: QueueNameEnum, description: 'Without it those of every queue.' }),
      first: t.arg.int({
        required: true,
        defaultValue: 20,
        validate: z.int().min(1).max(100),
        description: 'At most so many of each queue, 1 to 100.',
      }),
    },
    resolve: async (_root, args, context) => [
      ...(await context.deadJobs.list(args.queue ?? null, args.first)),
    ],
  }),
);

builder.queryField('deadJobCount', (t) =>
  t.int({
    description: 'How many jobs failed for good.',
    authScopes: { permission: 'operator.jobs' },
    resolve: (_root, _args, context) => context.deadJobs.count(),
  }),
);

interface JobDone {
  readonly queue: DeadJob['queue'];
  readonly jobId: string;
}

const DonePayload = builder.objectRef<JobDone>('DeadJobPayload').implement({
  fields: (t) => ({
    queue: t.expose('queue', { type: QueueNameEnum }),
    jobId: t.exposeString('jobId'),
  }),
});

const jobId = z.string().min(1).max(300);
const requireFound = (found: boolean): void => {
  if (!found) throw new MusterError('not-found', 'no such dead job', { field: 'jobId' });
};

mutation('retryDeadJob', {
  description: 'Runs a dead job again.',
  permission: 'operator.jobs',
  type: DonePayload,
  input: (t) => ({
    queue: t.field({ type: QueueNameEnum, required: true }),
    jobId: t.string({ required: true }).validate(jobId),
  }),
  run: async ({ queue, jobId }, context) => {
    requireFound(await context.deadJobs.retry(queue, jobId));
    return { queue, jobId };
  },
});

mutation('discardDeadJob', {
  description: 'Forgets a dead job: what it was to do is not done.',
  permission: 'operator.jobs',
  type: DonePayload,
  input: (t) => ({
    queue: t.field({ type: QueueNameEnum, required: true }),
    jobId: t.string({ required: true }).validate(jobId),
  }),
  run: async ({ queue, jobId }, context) => {
    requireFound(await context.deadJobs.discard(queue, jobId));
    return { queue, jobId };
  },
});
