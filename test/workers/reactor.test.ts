/** The reactor: at least once in, once out; one at a time; loud about what it cannot read. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { MusterError } from '../../platform/errors.ts';
import { streamName } from '../../platform/event-store.ts';
import { newId } from '../../platform/new-id.ts';
import { jobDefaults, type Queue } from '../../platform/queue.ts';
import type { JobQueues, JobRequest } from '../../workers/jobs.ts';
import { openJobQueues } from '../../workers/queues.ts';
import { startReactor } from '../../workers/reactor.ts';
import { type Servers, startServers } from '../support/servers.ts';
import { foundTenant, lock } from './stage.ts';

let servers: Servers;
let queues: JobQueues;
let wakes: Queue;
before(async () => {
  servers = await startServers();
  queues = await openJobQueues(servers.deps.queues);
  wakes = servers.deps.queues.queue('wake-device', { defaultJobOptions: jobDefaults });
});
after(() => servers.stop());

/** Passes jobs on to the real queues and tells when one of an event was added. */
const watched = (onAdd: (requests: readonly JobRequest[]) => void | Promise<void> = () => {}) => {
  const seen = new Map<string, number>();
  const waiting = new Set<() => void>();
  return {
    seen,
    until: (jobId: string, times = 1): Promise<void> =>
      new Promise((resolve) => {
        const check = () => {
          if ((seen.get(jobId) ?? 0) < times) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    add: async (requests: readonly JobRequest[]): Promise<void> => {
      await queues.add(requests);
      for (const { jobId } of requests) seen.set(jobId, (seen.get(jobId) ?? 0) + 1);
      for (const check of waiting) check();
      await onAdd(requests);
    },
  };
};

const queueTask = async (): Promise<string> => {
  const tenant = await foundTenant(servers.deps);
  const device = await tenant.device();
  await tenant.queue(device, lock);
  const [queued] = await tenant.events(device, 'TaskQueued');
  return queued?.id as string;
};
const countOf = async (jobId: string): Promise<number> =>
  (await wakes.getJobs(['waiting'])).filter(({ id }) => id === jobId).length;

test('a crash between the jobs and the checkpoint repeats the event, not the job', async () => {
  let crashes = 0;
  const crashing = watched((requests) => {
    // At the task's job and no earlier: other events of the tenant and the device lead to jobs as well.
    if (requests.some(({ queue }) => queue === 'wake-device') && crashes++ === 0)
      throw new MusterError('dependency-unavailable', 'crashed before the checkpoint');
  });
  const reactor = startReactor(servers.deps, crashing);
  const jobId = await queueTask();
  await crashing.until(jobId, 2);
  await reactor.stop();
  assert.ok(crashes >= 2);
  assert.equal(await countOf(jobId), 1);
});

test('a reactor goes on from its checkpoint; without one it reacts again, and adds no job twice', async () => {
  const first = await queueTask();
  const jobs = watched();
  const reactor = startReactor(servers.deps, jobs);
  await jobs.until(first);
  const second = await queueTask();
  await jobs.until(second);
  await reactor.stop();

  const third = await queueTask();
  const resumed = watched();
  const next = startReactor(servers.deps, resumed);
  await resumed.until(third);
  await next.stop();
  assert.equal(resumed.seen.get(first), undefined);

  await servers.deps.sql`delete from workers.checkpoints`;
  const anew = watched();
  const last = startReactor(servers.deps, anew);
  await anew.until(third);
  await last.stop();
  assert.equal(anew.seen.get(first), 1);
  assert.deepEqual(await Promise.all([first, second, third].map(countOf)), [1, 1, 1]);
});

test('a second reactor stands by and takes over; a lost session is no more than an interruption', async () => {
  const [one, two] = [watched(), watched()];
  const reactor = startReactor(servers.deps, one);
  await one.until(await queueTask());
  const standBy = startReactor(servers.deps, two);
  await one.until(await queueTask());
  assert.equal(two.seen.size, 0);
  await reactor.stop();
  await two.until(await queueTask());
  await servers.deps.sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'muster-reactor' and datname = current_database()`;
  await two.until(await queueTask());
  await standBy.stop();
});

test('an event that it cannot read stops the reactor with that event named', async () => {
  const tenantId = newId('ten');
  const deviceId = newId('dev');
  const client = EventStoreDBClient.connectionString(servers.eventStoreUrl);
  const metadata = {
    tenantId,
    actor: { kind: 'system', id: 'test' },
    $causationId: 'c',
    $correlationId: 'c',
    schemaVersion: 1,
    at: '2026-01-01T00:00:00.000Z',
  };
  const before = await queueTask();
  await client.appendToStream(
    streamName('device', tenantId, deviceId),
    jsonEvent({ type: 'DeviceTeleported', data: {}, metadata }),
  );
  const jobs = watched();
  const reactor = startReactor(servers.deps, jobs);
  const failure = await reactor.failed;
  assert.ok(failure instanceof MusterError);
  assert.equal(failure.code, 'event-unreadable');
  assert.match(failure.message, /DeviceTeleported/);
  await reactor.stop();
  await client.dispose();
  assert.ok(before);
});
