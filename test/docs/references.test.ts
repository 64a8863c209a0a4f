/**
 * The generated references say what the code says.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outdated, references } from '../../docs/generate.ts';

test('every reference in docs/reference is what the code generates', () => {
  assert.deepEqual(outdated(), [], 'run npm run docs');
  assert.ok(references().size >= 6);
});
