/** A few cycles of `npm run soak`, so that the soak itself and what it proves stay true. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './soak.ts';

const cycles = 6;

test('kill -9 at random moments loses, doubles and reorders nothing', async () => {
  const outcome = await soak(cycles, () => {});
  assert.deepEqual(outcome.faults, []);
  assert.ok(outcome.acknowledged > cycles * 40, `${outcome.acknowledged} events acknowledged`);
});
