/** Ids, codes, secrets and their digests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  canonicalCode,
  eventId,
  hashSecret,
  newCode,
  newId,
  newSecret,
  newUuid,
  sameHash,
} from '../../platform/new-id.ts';

test('ids of later milliseconds sort later', async () => {
  const first = newId('dev');
  const start = Date.now();
  while (Date.now() === start) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(first < newId('dev'));
});

test('codes are 80 bits in four groups, and survive being typed by a person', () => {
  const codes = new Set(Array.from({ length: 1000 }, newCode));
  assert.equal(codes.size, 1000);
  for (const code of codes) {
    assert.match(code, /^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$/);
    const canonical = canonicalCode(code);
    assert.equal(canonical.length, 16);
    assert.equal(canonicalCode(code.toLowerCase().replaceAll('-', ' ')), canonical);
    assert.equal(canonicalCode(code.replaceAll('0', 'O').replaceAll('1', 'I')), canonical);
  }
});

test('secrets are 256 bits; digests compare by value, and nothing equals an empty one', () => {
  const secret = newSecret();
  assert.match(secret, /^[\w-]{43}$/);
  assert.notEqual(secret, newSecret());
  assert.equal(hashSecret('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  assert.ok(sameHash(hashSecret(secret), hashSecret(secret)));
  assert.ok(!sameHash(hashSecret(secret), hashSecret(`${secret}x`)));
  assert.ok(!sameHash('', ''));
  assert.ok(!sameHash('zz', 'zz'));
  assert.ok(!sameHash(hashSecret('a'), hashSecret('a').slice(2)));
});

test('the id of an event follows from its stream, command and index', () => {
  assert.equal(eventId('s', 'c', 0), eventId('s', 'c', 0));
  const ids = new Set([
    eventId('s', 'c', 0),
    eventId('s', 'c', 1),
    eventId('s', 'd', 0),
    eventId('t', 'c', 0),
  ]);
  assert.equal(ids.size, 4);
  assert.match(eventId('s', 'c', 0), /^[0-9a-f]{8}-[0-9a-f]{4}-5/);
  assert.match(newUuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
});
