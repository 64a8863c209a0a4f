/** Contract: restarting the persistent subscriptions of a server. Alone, because it sends all consumers away. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PersistentSubscriptionDroppedError } from '@eventstore/db-client';
import { acknowledge, group, infoOnce, joinStream, settingsFrom } from './persistent.ts';
import { freshStream, numbered, openContract } from './support.ts';

describe('a restart of the persistent subscriptions', () => {
  it('drops the consumers and keeps groups and progress', async () => {
    const contract = await openContract();
    const client = contract.client();
    const stream = freshStream();
    await client.appendToStream(stream, numbered(3));
    const settings = settingsFrom({ checkPointLowerBound: 1, checkPointUpperBound: 1 });
    await client.createPersistentSubscriptionToStream(stream, group, settings);
    const consumer = await joinStream(client, stream, acknowledge);
    await consumer.until(3);
    await infoOnce(client, stream, ({ stats }) => stats.lastCheckpointedEventRevision === 2n);
    await client.restartPersistentSubscriptionSubsystem();
    assert.ok((await consumer.failed) instanceof PersistentSubscriptionDroppedError);
    await client.appendToStream(stream, numbered(1, 3));
    const again = await joinStream(client, stream, acknowledge);
    await again.until(1);
    assert.deepEqual(again.numbers(), [3]);
    const info = await client.getPersistentSubscriptionToStreamInfo(stream, group);
    assert.deepEqual(info.settings, settings);
    await again.leave();
    await contract.stop();
  });
});
