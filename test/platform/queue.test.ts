/** What Muster relies on in BullMQ, on each queue backend. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { UnrecoverableError, WaitingError } from 'bullmq';
import {
  jobDefaults,
  openQueues,
  type Queue,
  type QueueBackend,
  type QueueEvents,
} from '../../platform/queue.ts';
import { type Servers, startServers, testLog } from '../support/servers.ts';
import { backends } from '../workers/backends.ts';

interface Data {
  readonly fate: 'fine' | 'dead' | 'third-time' | 'given-back';
}

for (const backend of backends) {
  describe(`queues on ${backend.name}`, { skip: backend.skip }, () => {
    let servers: Servers;
    let queues: QueueBackend;
    let stopBackend: () => Promise<void>;
    let queue: Queue;
    let events: QueueEvents;
    const runs = new Map<string, number>();
    before(async () => {
      servers = await startServers();
      const started = await backend.start();
      stopBackend = started.stop;
      queues = openQueues({ redisUrl: started.redisUrl, databaseUrl: servers.databaseUrl }, testLog);
      assert.equal(queues.kind, backend.name);
      queue = queues.queue('wake-device', { defaultJobOptions: jobDefaults });
      events = queues.events('wake-device');
      await events.waitUntilReady();
      queues.worker<Data>(
        'wake-device',
        async (job, token) => {
          const run = (runs.get(job.id as string) ?? 0) + 1;
          runs.set(job.id as string, run);
          if (job.data.fate === 'dead') throw new UnrecoverableError('dead: for a reason');
          if (job.data.fate === 'third-time' && run < 3) throw new Error('away');
          if (job.data.fate === 'given-back' && run < 3) {
            await job.moveToWait(token);
            throw new WaitingError();
          }
          return { run };
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

    const add = (jobId: string, fate: Data['fate']) => queue.add('wake-device', { fate }, { jobId });

    test('a job whose id is known is not run again, however it ended', async () => {
      await (await add('same', 'fine')).waitUntilFinished(events);
      await assert.rejects((await add('gone', 'dead')).waitUntilFinished(events), /for a reason/);
      await queue.addBulk(
        ['same', 'gone', 'last-one'].map((jobId) => ({ name: 'x', data: { fate: 'fine' }, opts: { jobId } })),
      );
      await (await queue.getJob('last-one'))?.waitUntilFinished(events);
      assert.deepEqual([runs.get('same'), runs.get('gone'), runs.get('last-one')], [1, 1, 1]);
    });
    test('a job that fails is tried again after the pause of our own; one that is dead stays visible', async () => {
      assert.deepEqual(await (await add('retried', 'third-time')).waitUntilFinished(events), { run: 3 });
      await assert.rejects((await add('dead', 'dead')).waitUntilFinished(events));
      const dead = await queue.getFailed();
      assert.equal(dead.find(({ id }) => id === 'dead')?.failedReason, 'dead: for a reason');
    });
    test('a job given back by a stopping process has not used up an attempt', async () => {
      assert.deepEqual(await (await add('back', 'given-back')).waitUntilFinished(events), { run: 3 });
      assert.equal((await queue.getJob('back'))?.attemptsMade, 1);
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
}
