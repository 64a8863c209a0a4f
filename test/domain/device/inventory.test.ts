/** Deltas of inventory and apps: what changes is recorded, what is known is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Apps,
  app,
  applyApps,
  appsDelta,
  changedApps,
  changedInventory,
  inventory,
} from '../../../domain/device/inventory.ts';
import { same } from '../../../domain/same.ts';

const known: Apps = { 'a.a': { name: 'A', version: '1' }, 'b.b': { name: 'B', version: '1' } };
const a2 = { id: 'a.a', name: 'A', version: '2' };

test('inventory: only values that differ are changes', () => {
  assert.deepEqual(changedInventory({}, {}), {});
  assert.deepEqual(changedInventory({ osVersion: '1' }, { osVersion: '1', rooted: false }), {
    rooted: false,
  });
  assert.deepEqual(changedInventory({ osVersion: '1' }, { osVersion: null, imei: null }), {
    osVersion: null,
  });
  assert.deepEqual(changedInventory({ freeStorageBytes: 0 }, { freeStorageBytes: -0 }), {});
  assert.deepEqual(changedInventory({}, { osVersion: undefined } as never), {});
});

test('apps: a delta adds, changes and removes; removing what is not there is no change', () => {
  assert.deepEqual(changedApps(known, { installed: [a2], removed: ['b.b', 'c.c', 'b.b'] }), {
    installed: [a2],
    removed: ['b.b'],
  });
  assert.deepEqual(changedApps(known, { installed: [{ id: 'a.a', name: 'A', version: '1' }] }), {
    installed: [],
    removed: [],
  });
  assert.deepEqual(changedApps(known, {}), { installed: [], removed: [] });
});

test('apps: installed wins over removed, the last of two entries over the first', () => {
  assert.deepEqual(changedApps(known, { installed: [a2], removed: ['a.a'] }), {
    installed: [a2],
    removed: [],
  });
  const a3 = { ...a2, version: '3' };
  assert.deepEqual(changedApps(known, { installed: [a2, a3] }).installed, [a3]);
});

test('apps: a complete list removes the rest', () => {
  assert.deepEqual(changedApps(known, { complete: true, installed: [a2] }), {
    installed: [a2],
    removed: ['b.b'],
  });
  assert.deepEqual(changedApps(known, { complete: true }), { installed: [], removed: ['a.a', 'b.b'] });
});

test('apps: names such as __proto__ are apps like any other', () => {
  const ids = ['__proto__', 'constructor', 'toString'];
  const installed = ids.map((id) => app.parse({ id, name: id, version: '1' }));
  const folded = applyApps({}, changedApps({}, { installed }) as never);
  assert.deepEqual(Object.keys(folded).sort(), [...ids].sort());
  assert.equal(Object.getPrototypeOf(folded), Object.prototype);
  assert.deepEqual(changedApps(folded, { complete: true }).removed.sort(), [...ids].sort());
  assert.deepEqual(applyApps(folded, { installed: [], removed: ids }), {});
});

test('apps: any deltas fold to the set that they describe, and a delta repeated is no change', () => {
  const id = fc.constantFrom('a', 'b', 'c', '__proto__');
  const entry = fc.record({ id, name: fc.constantFrom('N', 'M'), version: fc.constantFrom('1', '2') });
  const delta = fc.record(
    { complete: fc.boolean(), installed: fc.array(entry), removed: fc.array(id) },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(delta), (deltas) => {
      let folded: Apps = {};
      const model = new Map<string, string>();
      for (const each of deltas) {
        folded = applyApps(folded, changedApps(folded, each));
        const installed = new Map((each.installed ?? []).map((item) => [item.id, item]));
        if (each.complete) model.clear();
        else for (const gone of each.removed ?? []) if (!installed.has(gone)) model.delete(gone);
        for (const item of installed.values()) model.set(item.id, `${item.name}${item.version}`);
        assert.deepEqual(changedApps(folded, each), { installed: [], removed: [] });
      }
      const entries = Object.entries(folded).map(([key, value]) => [key, `${value.name}${value.version}`]);
      assert.deepEqual(entries.sort(), [...model].sort());
    }),
    { numRuns: 300 },
  );
});

test('schemas refuse unknown keys, wrong types, hostile text', () => {
  const faulty: unknown[] = [
    { extra: 1 },
    { osVersion: 14 },
    { osVersion: '' },
    { osVersion: ' ' },
    { osVersion: 'a\nb' },
    { osVersion: '\ud800' },
    { name: 'x'.repeat(121) },
    { rooted: 'no' },
    { batteryPercent: 101 },
    { batteryPercent: 1.5 },
    { freeStorageBytes: -1 },
    { securityPatch: '2026-02-30' },
    { easDeviceId: 'a b' },
    JSON.parse('{"__proto__": {"rooted": false}}'),
  ];
  for (const values of faulty) assert.ok(!inventory.safeParse(values).success, JSON.stringify(values));
  for (const id of ['', 'a b', 'a/b', 'é', 'a\u0000', 'a'.repeat(201)])
    assert.ok(!app.safeParse({ id, name: 'n', version: '1' }).success, id);
  assert.ok(!appsDelta.safeParse({ installed: [], extra: 1 }).success);
  assert.ok(!appsDelta.safeParse({ complete: 'true' }).success);
});

test('same: JSON values are equal whatever the order of keys', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.ok(same(value, JSON.parse(JSON.stringify(value))));
      assert.ok(!same(value, [value]));
      assert.ok(!same({ value }, { value: [value] }));
    }),
  );
  assert.ok(same({ a: 1, b: [{ c: null }] }, { b: [{ c: null }], a: 1 }));
  assert.ok(same({ a: undefined }, {}));
  for (const [left, right] of [
    [{}, []],
    [[], {}],
    [null, {}],
    [0, ''],
    [[1], [1, 1]],
    [{ a: null }, {}],
    ['1', 1],
  ])
    assert.ok(!same(left, right), JSON.stringify([left, right]));
});
