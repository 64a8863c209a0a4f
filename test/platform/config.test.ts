/** Settings: read once, defaults, every fault at once, secrets never shown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeSettings, proxySettings, readConfig, serverSettings } from '../../platform/config.ts';
import { MusterError } from '../../platform/errors.ts';

const faultsOf = (read: () => unknown): string[] => {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof MusterError && error.code === 'config-invalid');
    return error.message.split('\n');
  }
  throw new Error('accepted');
};

test('an empty environment gives the defaults, frozen; what has none is absent', () => {
  const config = readConfig(serverSettings, {}, {});
  assert.deepEqual([config.port, config.host, config.databaseUrl], [8420, '127.0.0.1', undefined]);
  assert.ok(Object.isFrozen(config));
  assert.ok(Object.isFrozen(readConfig(proxySettings, {}, {})));
});

test('overrides win over the environment, an empty variable counts as unset', () => {
  const environment = { MUSTER_PORT: '1000', MUSTER_HOST: '' };
  assert.equal(readConfig(serverSettings, {}, environment).port, 1000);
  assert.equal(readConfig(serverSettings, { port: '2000' }, environment).port, 2000);
  assert.equal(readConfig(serverSettings, {}, environment).host, '127.0.0.1');
});

test('every fault is told at once, by variable, with the value unless it is secret', () => {
  const found = faultsOf(() =>
    readConfig(
      serverSettings,
      {},
      {
        MUSTER_PORT: '70000',
        MUSTER_SYNC_INTERVAL: 'soon',
        MUSTER_LOG_LEVEL: 'loud',
        DATABASE_URL: 'mysql://user:hunter2@host/db',
        EVENTSTORE_URL: 'hunter2',
      },
    ),
  );
  assert.deepEqual(found.map((line) => line.split(':')[0]).sort(), [
    'DATABASE_URL',
    'EVENTSTORE_URL',
    'MUSTER_LOG_LEVEL',
    'MUSTER_PORT',
    'MUSTER_SYNC_INTERVAL',
  ]);
  assert.ok(!found.join().includes('hunter2'));
  assert.ok(found.some((line) => line.includes('"70000"')));
});

test('numbers are whole and within bounds', () => {
  for (const bad of ['1.5', '-1', '1e9', 'NaN', ' ', '0x', 'Infinity'])
    assert.equal(
      faultsOf(() => readConfig(serverSettings, {}, { MUSTER_SYNC_INTERVAL: bad })).length,
      1,
      bad,
    );
});

test('every setting has a description, a variable of its own, and a default that is valid', () => {
  assert.ok(describeSettings(serverSettings).length > 10);
  for (const table of [serverSettings, proxySettings]) {
    const rows = describeSettings(table);
    assert.ok(rows.length > 0);
    assert.equal(new Set(rows.map(({ env }) => env)).size, rows.length);
    for (const { env, description } of rows) {
      assert.match(env, /^[A-Z][A-Z_]+$/);
      assert.ok(description.endsWith('.'), env);
    }
  }
});
