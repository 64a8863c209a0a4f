/** Ids, text and versions against hostile values. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as ids from '../../domain/ids.ts';
import { email, line, name, time } from '../../domain/text.ts';
import { compareVersions } from '../../domain/version.ts';
import { newId } from '../../platform/new-id.ts';

const prefixes = {
  ten: ids.tenantId,
  acc: ids.accountId,
  dev: ids.deviceId,
  enr: ids.enrolmentId,
  grp: ids.groupId,
  pol: ids.policyId,
  cmp: ids.compliancePolicyId,
  bdl: ids.taskBundleId,
  trf: ids.transferId,
  tsk: ids.taskId,
  prx: ids.proxyId,
};

test('ids: each kind accepts its own new ids alone, and sorts by time', () => {
  for (const [prefix, schema] of Object.entries(prefixes)) {
    const id = newId(prefix as keyof typeof prefixes);
    assert.ok(schema.safeParse(id).success, id);
    for (const [other, schemaOfOther] of Object.entries(prefixes))
      assert.equal(schemaOfOther.safeParse(id).success, other === prefix);
  }
  const good = newId('dev');
  for (const bad of [
    '',
    good.toUpperCase(),
    `${good}0`,
    good.slice(0, -1),
    ` ${good}`,
    `${good}\n`,
    good.replace(/.$/, 'l'),
    good.replace(/.$/, '_'),
    good.replace(/.$/, '-'),
    {},
    null,
    1,
  ])
    assert.ok(!ids.deviceId.safeParse(bad).success, JSON.stringify(bad));
});

test('a line of text refuses controls, line separators, lone surrogates, blanks, wrong lengths, other types', () => {
  const schema = line(10);
  const bad: unknown[] = [
    '',
    ' ',
    '\u3000',
    'a\u0000',
    'a\tb',
    'a\nb',
    'a\r',
    'a\u0085',
    'a\u007f',
    'a\u009b',
    'a\u2028',
    'a\u2029',
    '\ud800',
    'a\udc00b',
    '\udc00\ud800',
    'x'.repeat(11),
    1,
    null,
    ['a'],
    {},
  ];
  for (const value of bad) assert.ok(!schema.safeParse(value).success, JSON.stringify(value));
  for (const value of ['a', 'é', '日本', '😀', "'); DROP", '<b>', '{{7*7}}', '__proto__'])
    assert.ok(schema.safeParse(value).success, value);
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (value) => {
      const parsed = name.safeParse(value);
      if (parsed.success) assert.equal(JSON.parse(JSON.stringify(parsed.data)), value);
    }),
  );
});

test('times have one form', () => {
  assert.ok(time.safeParse('2026-03-01T12:00:00.000Z').success);
  for (const bad of [
    '2026-03-01T12:00:00Z',
    '2026-03-01T12:00:00.0000Z',
    '2026-03-01T12:00:00.000+01:00',
    '2026-02-30T12:00:00.000Z',
    '2026-03-01 12:00:00.000Z',
    '',
  ])
    assert.ok(!time.safeParse(bad).success, bad);
});

test('e-mail addresses are lower-cased and bounded', () => {
  assert.equal(email.parse('Ada@Example.ORG'), 'ada@example.org');
  for (const bad of ['', 'a', 'a@b', '@b.c', 'a b@c.de', 'a@b.c\n', `${'a'.repeat(250)}@b.de`])
    assert.ok(!email.safeParse(bad).success, bad);
});

test('versions compare by number, part by part', () => {
  const ascending = ['', '0.9', '1', '1.0.1', '1.2', '1.10', '2', '10.0.19045', '10.0.22631'];
  for (const [index, older] of ascending.entries())
    for (const newer of ascending.slice(index + 1)) {
      assert.ok(compareVersions(older, newer) < 0, `${older} < ${newer}`);
      assert.ok(compareVersions(newer, older) > 0);
    }
  assert.equal(compareVersions('1', '1.0.0'), 0);
  assert.equal(compareVersions('Android 14', '14'), 0);
  const dotted = fc.array(fc.nat(999), { minLength: 1, maxLength: 5 }).map((parts) => parts.join('.'));
  fc.assert(
    fc.property(dotted, dotted, dotted, (a, b, c) => {
      assert.equal(compareVersions(a, a), 0);
      assert.equal(Math.sign(compareVersions(a, b)), -Math.sign(compareVersions(b, a)) + 0);
      if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) assert.ok(compareVersions(a, c) <= 0);
    }),
  );
});
