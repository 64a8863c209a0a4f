/**
 * The rules of the house that a machine can check: import boundaries, exact pins, a lockfile without addresses,
 * and that every dependency is explained.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkBoundaries } from './support/boundaries.ts';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

type Manifest = Record<'dependencies' | 'devDependencies' | 'optionalDependencies', Record<string, string>>;
const manifest = JSON.parse(read('package.json')) as Manifest;

test('imports go down only, and the check saw every module', async () => {
  const { expected, unseen, violations } = await checkBoundaries();
  assert.deepEqual(violations, []);
  assert.ok(expected > 60, `only ${expected} modules were found`);
  assert.deepEqual(unseen, []);
});

test('every dependency is pinned exactly', () => {
  for (const versions of [manifest.dependencies, manifest.devDependencies, manifest.optionalDependencies]) {
    for (const [name, version] of Object.entries(versions)) {
      assert.match(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/, name);
    }
  }
});

test('the lockfile holds no download address', () => {
  assert.doesNotMatch(read('package-lock.json'), /"resolved"/);
});

test('every dependency earns its place in docs/dependencies.md', () => {
  const explained = read('docs/dependencies.md');
  const names = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  const missing = names.filter(
    (name) => !name.startsWith('@types/') && !explained.includes(name.replace(/^@pothos\//, '')),
  );
  assert.deepEqual(missing, []);
});
