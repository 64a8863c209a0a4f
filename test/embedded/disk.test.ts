/** A data folder that runs out of space: writes are refused with the reason, reads go on, and so do writes once there is room. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { EventStoreDBClient, StreamNotFoundError } from '@eventstore/db-client';
import { type Embedded, startEmbedded } from '../../embedded/main.ts';
import { collect, freshStream, log, numbered, numbersOf, rejection, temporaryFolder } from './support.ts';

const reserveMib = 64;
const mebibyte = 1024 * 1024;

const folder = temporaryFolder();
/** A file system of its own, so that the test can fill it; only root of a Linux machine may mount one. */
const mount = (): string | false => {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=400m', 'tmpfs', folder.path], { stdio: 'pipe' });
    return false;
  } catch (error) {
    return `cannot mount a small file system: ${(error as Error).message.split('\n').at(-1)}`;
  }
};
const skip = mount();

describe('a disk that fills up', { skip }, () => {
  let embedded: Embedded;
  let client: EventStoreDBClient;
  const filler = join(folder.path, 'filler');
  const stream = freshStream();

  before(async () => {
    embedded = await startEmbedded({ dataDir: folder.path, diskReserveMib: reserveMib }, { log });
    client = EventStoreDBClient.connectionString(embedded.eventStoreUrl);
    await client.appendToStream(stream, numbered(3));
  });
  after(async () => {
    await client.dispose();
    await embedded.stop();
    execFileSync('umount', [folder.path]);
    folder.remove();
  });

  const fill = () => {
    const { bavail, bsize } = statfsSync(folder.path);
    writeFileSync(filler, Buffer.alloc(bavail * bsize - (reserveMib - 8) * mebibyte));
  };
  /** Appends until `wanted` says so of the outcome: the store looks at its disk now and then, not at every append. */
  const appendUntil = async (
    wanted: (error: Error | undefined) => boolean,
    options = {},
  ): Promise<number> => {
    for (let appended = 0; ; appended += 1) {
      const error = await client.appendToStream(stream, numbered(1, 3 + appended), options).then(
        () => undefined,
        (refused: Error) => refused,
      );
      if (wanted(error)) return appended;
      if (error) appended -= 1;
    }
  };

  it('refuses writes and says why, keeps reads and PostgreSQL, and writes again when there is room', async () => {
    const postgres = embedded.pids().postgres;
    fill();
    let reason = '';
    const appended = await appendUntil((error) => {
      reason = error?.message ?? '';
      return error !== undefined;
    });
    assert.match(reason, /Only \d+ MiB are free .* at least 64 MiB must stay free/);
    const options = { credentials: { username: 'x', password: 'x' } };
    const refused = await rejection(client.appendToStream(stream, numbered(1), options));
    assert.match(refused.message, /Only \d+ MiB are free/);
    await assert.rejects(client.deleteStream(stream), /Only \d+ MiB are free/);
    assert.equal((await collect(client.readStream(stream))).length, 3 + appended);
    await assert.rejects(collect(client.readStream(freshStream())), StreamNotFoundError);
    rmSync(filler);
    await appendUntil((error) => error === undefined);
    assert.deepEqual(numbersOf(await collect(client.readStream(stream))).slice(0, 3), [0, 1, 2]);
    assert.equal(embedded.pids().postgres, postgres, 'PostgreSQL was never restarted');
  });
});
