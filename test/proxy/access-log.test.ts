/**
 * The access log: what a line says, that clients cannot forge one, and how files come and go.
 */
import assert from 'node:assert/strict';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  type AccessEntry,
  accessLogSettings,
  jsonLine,
  openAccessLog,
  textLine,
} from '../../proxy/access-log.ts';
import { openDatedFile } from '../../proxy/dated-file.ts';
import { recordingLog } from './stage.ts';

const folder = (t: TestContext): string => {
  const path = mkdtempSync(join(tmpdir(), 'muster-access-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
};

const entry: AccessEntry = {
  instance: 'mail',
  client: '192.0.2.7',
  method: 'POST',
  protocol: 'eas',
  cmd: 'Sync',
  user: 'alice',
  deviceId: 'ABC123',
  decision: 'deny',
  rule: 'verdict',
  reason: 'the device is rooted',
  status: 403,
  durationMs: 3,
  bytesIn: 120,
  bytesOut: 0,
  fault: null,
};

const noon = Date.parse('2026-11-25T12:00:00Z');
const day = 86_400_000;

test('a line names the request, the decision, its rule and reason', () => {
  assert.deepEqual(JSON.parse(jsonLine(entry, noon)), { time: '2026-11-25T12:00:00.000Z', ...entry });
  assert.equal(
    textLine(entry, noon),
    '2026-11-25T12:00:00.000Z deny verdict instance=mail client=192.0.2.7 method=POST protocol=eas cmd=Sync user=alice ' +
      'deviceId=ABC123 reason="the device is rooted" status=403 durationMs=3 bytesIn=120 bytesOut=0 fault=-\n',
  );
});

test('a client can neither begin a line of its own nor move a terminal', () => {
  const hostile = {
    ...entry,
    user: 'eve\n{"decision":"allow"}\u001b[2J\u009b1m\u2028\u202e',
    deviceId: '"x" y=z',
  };
  for (const line of [jsonLine(hostile, noon), textLine(hostile, noon)]) {
    assert.equal(line.indexOf('\n'), line.length - 1);
    assert.doesNotMatch(line.slice(0, -1), /[\p{Cc}\u2028\u202e]/u);
  }
  assert.equal(JSON.parse(jsonLine(hostile, noon)).user, hostile.user, 'nothing is lost by escaping');
  assert.ok(jsonLine({ ...entry, user: 'x'.repeat(100_000) }, noon).length < 1_500);
});

test('each day has its own file, and days beyond the retention are deleted', async (t) => {
  const dir = folder(t);
  let now = noon;
  const settings = accessLogSettings.parse({ file: join(dir, 'access.log'), retentionDays: 2 });
  const log = openAccessLog(settings, { clock: () => now, log: recordingLog().log });
  writeFileSync(join(dir, 'access.log.notes'), 'not ours');
  for (let index = 0; index < 4; index += 1) {
    log.write({ ...entry, user: `user${index}` });
    now += day;
  }
  await log.close();
  assert.deepEqual(readdirSync(dir).sort(), [
    'access.log.2026-11-27',
    'access.log.2026-11-28',
    'access.log.notes',
  ]);
  assert.equal(JSON.parse(readFileSync(join(dir, 'access.log.2026-11-28'), 'utf8')).user, 'user3');
});

test('the files together stay within their bound, and a restart goes on in the newest part', async (t) => {
  const dir = folder(t);
  const faults: Error[] = [];
  const open = () =>
    openDatedFile({
      file: join(dir, 'a'),
      retentionDays: 3,
      maxTotalBytes: 1_000,
      clock: () => noon,
      onFault: (error) => faults.push(error),
    });
  const line = `${'x'.repeat(49)}\n`;
  const first = open();
  for (let count = 0; count < 60; count += 1) first.write(line);
  await first.close();
  const second = open();
  second.write('the last\n');
  await second.close();
  const files = readdirSync(dir);
  const total = files.reduce((sum, name) => sum + readFileSync(join(dir, name)).length, 0);
  assert.ok(total <= 1_000 && total > 500, `${total} bytes in ${files.join(' ')}`);
  assert.ok(files.some((name) => readFileSync(join(dir, name), 'utf8').endsWith('the last\n')));
  assert.deepEqual(faults, []);
});

test('after the file was moved away, reopening begins a new one and loses nothing', async (t) => {
  const dir = folder(t);
  const settings = accessLogSettings.parse({ file: join(dir, 'access.log') });
  const log = openAccessLog(settings, { clock: () => noon, log: recordingLog().log });
  const path = join(dir, 'access.log.2026-11-25');
  log.write({ ...entry, user: 'before' });
  renameSync(path, join(dir, 'moved'));
  log.reopen();
  log.write({ ...entry, user: 'after' });
  await log.close();
  assert.equal(JSON.parse(readFileSync(join(dir, 'moved'), 'utf8')).user, 'before');
  assert.equal(JSON.parse(readFileSync(path, 'utf8')).user, 'after');
});

test('a full disk is reported once and counted, and stops nothing', async (t) => {
  const dir = folder(t);
  symlinkSync('/dev/full', join(dir, 'access.log.2026-11-25'));
  const settings = accessLogSettings.parse({ file: join(dir, 'access.log') });
  const recorded = recordingLog();
  const log = openAccessLog(settings, { clock: () => noon, log: recorded.log });
  for (let count = 0; count < 100; count += 1) log.write(entry);
  await recorded.until(({ level }) => level === 50);
  for (let count = 0; count < 20_000; count += 1) log.write(entry);
  assert.ok(log.dropped() > 0);
  await log.close();
  assert.equal(recorded.lines.filter(({ level }) => level === 50).length, 1);
});
