/** `muster eventstore` and the commands on its log find one another through the data folder alone. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { EventStoreDBClient } from '@eventstore/db-client';
import { findRunning } from '../../cli/running.ts';
import { ensureDatabase, findDatabase } from '../../embedded/postgres.ts';
import { numbered, openPostgres, temporaryFolder } from '../embedded/support.ts';
import { startCommand } from '../support/muster.ts';

const run = async (args: readonly string[], environment: Record<string, string> = {}) => {
  const command = startCommand(['eventstore', ...args], environment);
  const code = await command.ended;
  return { code, output: command.output(), errors: command.errors() };
};

const fill = async (url: string): Promise<void> => {
  const client = EventStoreDBClient.connectionString(url);
  await client.appendToStream('orders-1', numbered(10));
  await client.setStreamMetadata('orders-1', { maxCount: 1 });
  await client.dispose();
};

describe('commands on the log', () => {
  const folder = temporaryFolder();
  after(() => folder.remove());
  const inFolder = ['--data-dir', folder.path];

  it('work beside the server of the folder, and on the folder alone', async () => {
    const server = startCommand(['eventstore', '--port', '0', ...inFolder]);
    const [, url] = await server.line(/^Event store (\S+)$/);
    await fill(url as string);
    const planned = await run(['scavenge', '--dry-run', ...inFolder]);
    assert.match(
      planned.output,
      /^Would remove 9 events of 1 stream, .*\n {2}over count: 9\nOn disk: \d+ bytes\.$/,
    );
    const refused = await run(['scavenge', '--compact', ...inFolder]);
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /data-dir-in-use/);
    const done = await run(['scavenge', ...inFolder]);
    assert.match(done.output, /^Removed 9 events of 1 stream, about \d+ bytes, up to position 12\.$/m);
    const beside = await run(['verify', ...inFolder]);
    assert.match(beside.output, /^The event log is whole: 3 events, \d+ bytes, up to position 12\.$/);
    await server.stop();
    assert.equal(findRunning(folder.path), undefined);

    const compacted = await run(['scavenge', '--compact', ...inFolder]);
    assert.match(compacted.output, /^Removed 0 events .*\nOn disk: \d+ bytes before, \d+ after\.$/);
    assert.equal((await run(['verify', ...inFolder])).code, 0);
  });
});

describe('commands on the log of a configured PostgreSQL', () => {
  let postgres: Awaited<ReturnType<typeof openPostgres>>;
  before(async () => {
    postgres = await openPostgres();
  });
  after(() => postgres.stop());

  it('find it through the folder, and create nothing on that server', async () => {
    const folder = temporaryFolder();
    const name = `log_${randomUUID().replaceAll('-', '')}`;
    const DATABASE_URL = await ensureDatabase(postgres.url, name);
    const inFolder = ['--data-dir', folder.path];
    const server = startCommand(['eventstore', '--port', '0', ...inFolder], { DATABASE_URL });
    const [, url] = await server.line(/^Event store (\S+)$/);
    await fill(url as string);
    assert.equal((await run(['verify', ...inFolder])).code, 0);
    assert.match((await run(['scavenge', ...inFolder])).output, /^Removed 9 events/);
    assert.equal(await findDatabase(postgres.url, 'eventstore'), undefined);
    await server.stop();
    const nothing = await run(['scavenge', ...inFolder]);
    assert.equal(nothing.code, 2);
    assert.match(nothing.errors, /There is no Muster data/);
    const empty = await run(['scavenge'], { DATABASE_URL: await ensureDatabase(postgres.url, `no_${name}`) });
    assert.equal(empty.code, 2);
    assert.match(empty.errors, /holds no event log/);
    folder.remove();
  });
});
