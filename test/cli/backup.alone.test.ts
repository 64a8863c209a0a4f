/**
 * Backup and restore as an operator does them: beside a running server, into another folder through a pipe, and back to
 * a state that read models, workers and snapshots are ahead of.
 */
import assert from 'node:assert/strict';
import { exec } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Admin, createTenant, signIn, signInFirst } from '../../cli/admin.ts';
import { openClient } from '../../cli/client.ts';
import { openSource } from '../../embedded/event-store/backup/file.ts';
import { restoreLog } from '../../embedded/event-store/backup/restore.ts';
import { withDatabases } from '../../embedded/log-database.ts';
import { newSecret } from '../../platform/new-id.ts';
import { type MusterServer, startCommand, startMuster } from '../support/muster.ts';
import { testLog } from '../support/servers.ts';

const folder = mkdtempSync(join(tmpdir(), 'muster-backup-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const dataDir = join(folder, 'data');
const file = join(folder, 'log.backup');
const password = newSecret();

const eventstore = async (...args: string[]) => {
  const command = startCommand(['eventstore', ...args], { MUSTER_DATA_DIR: dataDir });
  const code = await command.ended;
  return { code, output: command.output(), errors: command.errors() };
};

const operatorOf = { tenantSlug: 'operator', email: 'operator@muster.local' };

/** Runs `use` as the operator of a server on the data folder. */
const withServer = async (use: (operator: Admin, server: MusterServer) => Promise<void>): Promise<void> => {
  const server = await startMuster(dataDir);
  const client = openClient(server.url);
  try {
    const operator =
      server.password === undefined
        ? await signIn(client, { ...operatorOf, password })
        : await signInFirst(client, { ...operatorOf, password: server.password }, password);
    await use(operator, server);
  } finally {
    await client.close();
    await server.stop();
  }
};

const addTenant = (operator: Admin, slug: string) =>
  createTenant(operator, {
    name: slug,
    slug,
    email: `admin@${slug}.example`,
    password: newSecret(),
    seats: 0,
  });

const tenantsOf = async ({ client, token }: Admin): Promise<string[]> => {
  type Result = { tenants: { nodes: { slug: string }[] } };
  const { tenants } = await client.graphql<Result>('{ tenants(first: 100) { nodes { slug } } }', {}, token);
  return tenants.nodes.map(({ slug }) => slug).sort();
};

test('beside a running server: backup, inspection, and no restore', async () => {
  await withServer(async (operator) => {
    await addTenant(operator, 'kept');
    const taken = await eventstore('backup', file);
    assert.equal(taken.code, 0, taken.errors);
    assert.match(
      taken.output,
      /events up to position \d+ are backed up\.\nGo on from here with --after \d+:\S+:\S+/,
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder).sort(), ['data', 'log.backup']);
    await addTenant(operator, 'lost');
    const again = await eventstore('backup', file);
    assert.match(again.errors, /invalid-input[\s\S]*exists already/);
    const refused = await eventstore('restore', '--replace', file);
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /data-dir-in-use/);
    assert.deepEqual(await tenantsOf(operator), ['kept', 'lost', 'operator']);
  });
  const inspected = JSON.parse((await eventstore('inspect', file)).output) as {
    header: { parent: null; lastPosition: string };
    trailer: { events: number; lastPosition: string };
    mark: string;
  };
  assert.equal(inspected.header.lastPosition, inspected.trailer.lastPosition);
  const increment = join(folder, 'increment.backup');
  assert.equal((await eventstore('backup', '--after', inspected.mark, increment)).code, 0);
  const chain = { MUSTER_DATA_DIR: join(folder, 'chain') };
  const restored = startCommand(['eventstore', 'restore', file, increment], chain);
  assert.equal(await restored.ended, 0, restored.errors());
});

test('a log older than what was made from it is refused, at restore and at start, until that is forgotten', async () => {
  const refused = await eventstore('restore', '--replace', file);
  assert.equal(refused.code, 1);
  assert.match(
    refused.errors,
    /log-behind-readers[\s\S]*ends at position \d+, but the read models[\s\S]*position \d+/,
  );
  // As somebody does who restores the database of the event store by other means.
  await withDatabases({ dataDir }, { log: testLog }, ({ logUrl }) =>
    restoreLog(logUrl, [() => openSource(file)], {
      replace: true,
      readers: { admit: async () => {}, prepare: async () => {} },
    }),
  );
  const server = startCommand(['serve'], { MUSTER_DATA_DIR: dataDir, MUSTER_PORT: '0' });
  assert.equal(await server.ended, 1);
  assert.match(server.errors(), /log-behind-readers/);
  assert.match(server.errors(), /ends at position \d+, but the read models[\s\S]*position \d+/);
  const restored = await eventstore('restore', '--replace', '--reset-read-models', file);
  assert.equal(restored.code, 0, restored.errors);
  await withServer(async (operator) => {
    assert.deepEqual(await tenantsOf(operator), ['kept', 'operator']);
    await addTenant(operator, 'lost');
    assert.deepEqual(await tenantsOf(operator), ['kept', 'lost', 'operator']);
  });
});

test('through a pipe into a new folder, which verifies', async () => {
  const bin = fileURLToPath(new URL('../../cli/bin.mjs', import.meta.url));
  const muster = `'${process.execPath}' '${bin}' eventstore`;
  const other = join(folder, 'other');
  const { stdout } = await promisify(exec)(
    `${muster} backup --data-dir '${dataDir}' - | ${muster} restore --data-dir '${other}' - && ${muster} verify --data-dir '${other}'`,
    { env: { PATH: process.env['PATH'], HOME: process.env['HOME'], MUSTER_LOG_LEVEL: 'warn' } },
  );
  assert.match(stdout, /are restored and verified\.\nThe event log is whole/);
});
