/** `muster eventstore` over TLS as an operator meets it: first start, users beside it and without it, second start. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { temporaryFolder } from '../embedded/support.ts';
import { startCommand } from '../support/muster.ts';

const run = async (...args: string[]) => {
  const command = startCommand(['eventstore', ...args]);
  return { code: await command.ended, output: command.output(), errors: command.errors() };
};
const passwordIn = (output: string): string | undefined => /^ {4}(\S+)$/m.exec(output)?.[1];

/** Whether this user can write through the address that was printed. */
const append = async (printed: string, username: string, password: string | undefined): Promise<void> => {
  const client = EventStoreDBClient.connectionString(printed.replace('admin:…@', `${username}:${password}@`));
  await client.appendToStream('cli-1', jsonEvent({ type: 'Appended', data: {} }));
  await client.dispose();
};

test('the password is shown once, users change beside the store and on a stopped folder', async () => {
  const folder = temporaryFolder();
  const place = ['--data-dir', folder.path];
  const serve = async () => {
    const command = startCommand(['eventstore', '--tls', '--port', '0', ...place]);
    const [, address] = await command.line(
      /^Event store (esdb:\/\/admin:…@127\.0\.0\.1:\d+\?tls=true&tlsCAFile=\S+)$/,
    );
    return { command, address: address as string };
  };
  const first = await serve();
  await append(first.address, 'admin', passwordIn(first.command.output()));
  const added = await run('user', 'add', 'alice', '--group', 'staff', '--group', '$ops', ...place);
  assert.equal(added.code, 0, added.errors);
  const password = passwordIn(added.output);
  await append(first.address, 'alice', password);
  assert.equal(await first.command.stop(), 0);
  const certificate = readFileSync(join(folder.path, 'event-store', 'tls', 'server.crt'), 'utf8');

  const listed = await run('user', 'list', ...place);
  assert.match(listed.output, /^admin .* \$admins$/m);
  assert.match(listed.output, /^alice .* staff \$ops$/m);
  const last = await run('user', 'remove', 'admin', ...place);
  assert.equal(last.code, 1);
  assert.match(last.errors, /invalid-input[\s\S]*last of \$admins/);

  const second = await serve();
  assert.equal(passwordIn(second.command.output()), undefined);
  await append(second.address, 'alice', password);
  const verified = await run('verify', ...place);
  assert.equal(verified.code, 0, verified.errors);
  await second.command.stop();
  assert.equal(readFileSync(join(folder.path, 'event-store', 'tls', 'server.crt'), 'utf8'), certificate);
  for (const text of [listed.output, listed.errors, first.command.errors(), second.command.errors()])
    assert.ok(!text.includes(password as string));
  folder.remove();
});

test('users of a folder without a log are an error, and a host beyond loopback without TLS too', async () => {
  const folder = temporaryFolder();
  const none = await run('user', 'list', '--data-dir', folder.path);
  assert.equal(none.code, 2);
  assert.match(none.errors, /MUSTER_DATA_DIR/);
  const plain = await run('--host', '0.0.0.0', '--port', '0', '--data-dir', folder.path);
  assert.equal(plain.code, 2);
  assert.match(plain.errors, /config-invalid[\s\S]*MUSTER_EVENTSTORE_HOST[\s\S]*--tls/);
  folder.remove();
});
