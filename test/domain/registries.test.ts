/** The registries of events, task types and refusals: complete, strict, and used. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { defineEvents } from '../../domain/decider.ts';
import { catalogues, categories, readEventData, schemaVersionOf } from '../../domain/events.ts';
import { refusals } from '../../domain/refusals.ts';
import { task, taskTypeNames, taskTypeOf, taskTypes } from '../../domain/task-bundle/tasks/index.ts';
import { idOf } from '../support/ids.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const filesUnder = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => join(root, folder, path));

test('events: every category and type is named once, every schema refuses unknown keys', () => {
  assert.equal(new Set(categories).size, catalogues.length);
  assert.ok(catalogues.length >= 10);
  const types = catalogues.flatMap(({ schemas }) => Object.keys(schemas));
  assert.equal(new Set(types).size, types.length);
  for (const { category, schemas } of catalogues)
    for (const [type, schema] of Object.entries(schemas)) {
      assert.match(type, /^[A-Z][A-Za-z]+$/);
      assert.ok(schema instanceof z.ZodObject, `${category}/${type}`);
      assert.ok(schema.def.catchall instanceof z.ZodNever, `${category}/${type} is not strict`);
    }
});

test('events: every catalogue in domain/ is registered', () => {
  const declared = filesUnder('domain').flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/defineEvents\(\s*'([a-z-]+)'/g)].map((match) => match[1]),
  );
  assert.deepEqual([...declared].sort(), [...categories].sort());
});

test('events: unknown types, newer versions and malformed data cannot be read', () => {
  assert.deepEqual(readEventData('group', 'GroupCreated', 1, { name: 'A' }), { name: 'A' });
  for (const [category, type, version, data] of [
    ['nothing', 'GroupCreated', 1, { name: 'A' }],
    ['group', 'GroupExploded', 1, {}],
    ['group', 'toString', 1, {}],
    ['group', 'GroupCreated', 2, { name: 'A' }],
    ['group', 'GroupCreated', 0, { name: 'A' }],
    ['group', 'GroupCreated', 1.5, { name: 'A' }],
    ['group', 'GroupCreated', Number.NaN, { name: 'A' }],
    ['group', 'GroupCreated', 1, { name: '' }],
    ['group', 'GroupCreated', 1, { name: 'A', extra: 1 }],
  ] as const)
    assert.throws(() => readEventData(category, type, version, data), `${category}/${type}@${version}`);
});

test('events: an old shape is lifted version by version', () => {
  const catalogue = defineEvents(
    'thing',
    { ThingMade: z.strictObject({ name: z.string(), size: z.int(), unit: z.string() }) },
    {
      ThingMade: [({ title, ...rest }) => ({ ...rest, name: title }), (data) => ({ ...data, unit: 'cm' })],
    },
  );
  const lift = (from: number, data: Record<string, unknown>) =>
    catalogue.schemas.ThingMade.parse(
      (catalogue.upcasts.ThingMade ?? []).slice(from - 1).reduce((older, upcast) => upcast(older), data),
    );
  const current = { name: 'A', size: 1, unit: 'cm' };
  assert.deepEqual(lift(1, { title: 'A', size: 1 }), current);
  assert.deepEqual(lift(2, { name: 'A', size: 1 }), current);
  assert.deepEqual(lift(3, current), current);
  for (const { category, schemas } of catalogues)
    for (const type of Object.keys(schemas)) assert.ok(schemaVersionOf(category, type) >= 1);
});

const parameters: Record<(typeof taskTypeNames)[number], Record<string, unknown>> = {
  lock: { message: 'Return me' },
  message: { text: 'Hello' },
  refresh: {},
  'reset-passcode': {},
  'install-app': { appId: 'org.example', name: 'Example', url: 'https://example.org/a.apk' },
  'uninstall-app': { appId: 'org.example' },
  'assign-policy': { policyId: idOf('pol', 1) },
  unenrol: {},
  wipe: {},
};

test('tasks: every type is named once, accepts its parameters, and refuses unknown keys', () => {
  assert.equal(new Set(taskTypeNames).size, taskTypes.length);
  for (const type of taskTypeNames) {
    assert.ok(task.safeParse({ type, parameters: parameters[type] }).success, type);
    assert.ok(!task.safeParse({ type, parameters: { ...parameters[type], extra: 1 } }).success, type);
    assert.ok(!task.safeParse({ type, parameters: parameters[type], extra: 1 }).success, type);
    for (const other of taskTypeOf(type).excludes ?? [])
      assert.ok(taskTypeOf(other as typeof type).excludes?.includes(type), `${type} and ${other}`);
  }
  for (const bad of [
    { type: 'install-app', parameters: { appId: 'a', name: 'A', url: 'http://example.org' } },
    { type: 'install-app', parameters: { appId: 'a', name: 'A', url: 'javascript:alert(1)' } },
    { type: 'message', parameters: { text: 'a\u0007' } },
    { type: 'assign-policy', parameters: { policyId: idOf('dev', 1) } },
    { type: 'explode', parameters: {} },
    { type: 'lock' },
  ])
    assert.ok(!task.safeParse(bad).success, JSON.stringify(bad));
});

test('refusals: every code of the catalogue is met somewhere', () => {
  const sources = ['domain', 'platform', 'projections', 'api', 'workers']
    .flatMap(filesUnder)
    .filter((file) => !file.endsWith('domain/refusals.ts') && !file.endsWith('api/problem.ts'))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  const unused = Object.keys(refusals).filter((code) => !sources.includes(`'${code}'`));
  assert.deepEqual(unused, []);
});
