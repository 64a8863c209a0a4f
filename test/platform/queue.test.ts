/** What Muster relies on in BullMQ, on each queue backend. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { UnrecoverableError, WaitingError } from 'bullmq';
import { jobDefaults, openQueues, type Queue, type QueueBackend } from '../../platform/queue.ts';
import { untilSettled } from '../support/jobs.ts';
import { type Servers, startServers, testLog } from '../support/servers.ts';
import { onEachBackend } from '../workers/backends.ts';

interface Data {
  readonly fate: 'fine' | 'dead' | 'third-time' | 'given-back';
}

onEachBackend('queues', (backend) => {
  let servers: Servers;
  let queues: QueueBackend;
  let stopBackend: () => Promise<void>;
  let queue: Queue;
  const runs = new Map<string, number>();
  before(async () => {
    servers = await startServers();
    const started = await backend.start();
    stopBackend = started.stop;
    queues = openQueues({ redisUrl: started.redisUrl, databaseUrl: servers.databaseUrl }, testLog);
    assert.equal(queues.kind, backend.name);
    queue = queues.queue('wake-device', { defaultJobOptions: jobDefaults });
    queues.worker<Data>(
      'wake-device',
      async (job, token) => {
        const times = (runs.get(job.id as string) ?? 0) + 1;
        runs.set(job.id as string, times);
        if (job.data.fate === 'dead') throw new UnrecoverableError('dead: for a reason');
        if (job.data.fate === 'third-time' && times < 3) throw new Error('away');
        if (job.data.fate === 'given-back' && times < 3) {
          await job.moveToWait(token);
          throw new WaitingError();
        }
        return { run: times };
      },
      { settings: { backoffStrategy: () => 1 } },
    );
  });
  after(async () => {
    await queues.close();
    await queues.close();
    await stopBackend();
    await servers.stop();
  });

  const run = async (jobId: string, fate: Data['fate']) => {
    await queue.add('wake-device', { fate }, { jobId });
    return untilSettled(queue, jobId);
  };

  test('a job whose id is known is not run again, however it ended', async () => {
    assert.deepEqual((await run('same', 'fine')).returnvalue, { run: 1 });
    assert.equal((await run('gone', 'dead')).failedReason, 'dead: for a reason');
    await queue.addBulk(
      ['same', 'gone', 'last-one'].map((jobId) => ({ name: 'x', data: { fate: 'fine' }, opts: { jobId } })),
    );
    await untilSettled(queue, 'last-one');
    assert.deepEqual([runs.get('same'), runs.get('gone'), runs.get('last-one')], [1, 1, 1]);
  });
  test('a job that fails is tried again after the pause of our own; one that is dead stays visible', async () => {
    assert.deepEqual((await run('retried', 'third-time')).returnvalue, { run: 3 });
    await run('dead', 'dead');
    const dead = await queue.getFailed();
    assert.equal(dead.find(({ id }) => id === 'dead')?.failedReason, 'dead: for a reason');
  });
  test('a job given back by a stopping process has not used up an attempt', async () => {
    const job = await run('back', 'given-back');
    assert.deepEqual([job.returnvalue, job.attemptsMade], [{ run: 3 }, 1]);
  });
  test('a schedule that is set again stays one schedule', async () => {
    const reviews = queues.queue('review-devices');
    for (const every of [60_000, 60_000, 30_000])
      await reviews.upsertJobScheduler('review-devices', { every }, { name: 'review-devices', data: {} });
    const schedulers = await reviews.getJobSchedulers();
    assert.deepEqual(
      schedulers.map(({ key, every }) => [key, Number(every)]),
      [['review-devices', 30_000]],
    );
  });
});
