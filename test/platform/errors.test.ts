/** The catalogue of faults: no code means two things, every fault says what to do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusals } from '../../domain/refusals.ts';
import { describeCode, type ErrorCode, faults, MusterError } from '../../platform/errors.ts';

test('codes are kebab-case, of one kind only, each with a title and an advice', () => {
  const codes = [...Object.keys(faults), ...Object.keys(refusals)];
  assert.ok(codes.length > 40);
  assert.equal(new Set(codes).size, codes.length);
  for (const code of codes) {
    assert.match(code, /^[a-z]+(-[a-z]+)*$/);
    const { title, advice, retryable } = describeCode(code as ErrorCode);
    assert.ok(title.length > 0 && !title.endsWith('.'), code);
    assert.ok(advice.endsWith('.'), code);
    assert.equal(typeof retryable, 'boolean');
    if (code in refusals) assert.equal(retryable, false);
  }
});

test('an error carries its code, field, cause, and when to try again', () => {
  const cause = new Error('inner');
  const error = new MusterError('too-busy', 'full', { cause, field: 'a.b', retryAfterMs: 5 });
  assert.ok(error instanceof Error);
  assert.deepEqual(
    [error.code, error.message, error.field, error.cause, error.retryable, error.retryAfterMs],
    ['too-busy', 'full', 'a.b', cause, true, 5],
  );
  const plain = new MusterError('not-found', 'x');
  assert.deepEqual([plain.field, plain.cause, plain.retryable], [undefined, undefined, false]);
  assert.ok(!Object.hasOwn(plain, 'cause'));
});
