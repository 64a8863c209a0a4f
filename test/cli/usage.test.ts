/**
 * The `muster` command as a person meets it first: help, wrong usage, wrong configuration.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startCommand } from '../support/muster.ts';

const run = async (args: readonly string[], environment: Record<string, string> = {}) => {
  const command = startCommand(args, environment);
  const code = await command.ended;
  return { code, output: command.output(), errors: command.errors() };
};

test('--help names every subcommand and exits with 0', async () => {
  const { code, output } = await run(['--help']);
  assert.equal(code, 0);
  for (const name of ['serve', 'proxy', 'eventstore', 'simulate', 'replay', 'demo'])
    assert.match(output, new RegExp(`^  ${name}\\b`, 'm'));
});

test('an unknown subcommand and a missing option exit with 2 and say how to get help', async () => {
  const unknown = await run(['sevre']);
  assert.equal(unknown.code, 2);
  assert.match(unknown.errors, /unknown command 'sevre'/);
  const missing = await run(['replay']);
  assert.equal(missing.code, 2);
  assert.match(missing.errors, /--tenant/);
});

test('wrong settings are reported together, by name, and exit with 2', async () => {
  const { code, errors } = await run(['serve'], {
    MUSTER_PORT: 'eighty',
    MUSTER_SYNC_INTERVAL: '-1',
    DATABASE_URL: 'mysql://x:secret@y/z',
  });
  assert.equal(code, 2);
  assert.match(errors, /config-invalid/);
  for (const name of ['MUSTER_PORT', 'MUSTER_SYNC_INTERVAL', 'DATABASE_URL'])
    assert.match(errors, new RegExp(name));
  assert.doesNotMatch(errors, /secret/);
});

test('an address beyond loopback without a certificate is refused', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-test-'));
  try {
    const { code, errors } = await run(['serve', '--host', '0.0.0.0', '--port', '0', '--data-dir', dataDir]);
    assert.equal(code, 2);
    assert.match(errors, /MUSTER_TLS_CERT/);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});
