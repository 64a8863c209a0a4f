/** The pure parts of the event store: expected versions, settings, filters, numbers on the wire, memory of ids. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tombstoneRevision } from '../../embedded/event-store/event.ts';
import {
  decideAppend,
  decideRemoval,
  type Expected,
  type KnownIds,
} from '../../embedded/event-store/expected.ts';
import { compileFilter } from '../../embedded/event-store/filter.ts';
import { openIdMemory } from '../../embedded/event-store/id-memory.ts';
import { nextPageSize, pagesOf } from '../../embedded/event-store/pages.ts';
import { openRecent } from '../../embedded/event-store/recent.ts';
import { readSettings, withTruncateBefore } from '../../embedded/event-store/settings.ts';

const facts = (current: bigint, softDeleted = false, hasMetadata = false) => ({
  current,
  softDeleted,
  hasMetadata,
});
const knowing = (places: Record<string, bigint>, stored?: Record<string, string>): KnownIds => ({
  remembered: (id) =>
    places[id] === undefined ? undefined : { revision: places[id], position: places[id] + 100n },
  ...(stored
    ? {
        stored: new Map(
          Object.entries(stored).map(([at, id]) => [BigInt(at), { id, position: BigInt(at) + 100n }]),
        ),
      }
    : {}),
});
const nothingKnown = knowing({});

describe('expected versions', () => {
  const table: [string, Expected, string[], ReturnType<typeof facts>, KnownIds, string][] = [
    ['any on nothing', 'any', ['a'], facts(-1n), nothingKnown, 'write'],
    ['any, all known', 'any', ['a', 'b'], facts(5n), knowing({ a: 1n, b: 2n }), 'repeat'],
    ['any, first unknown', 'any', ['x', 'b'], facts(5n), knowing({ b: 2n }), 'write'],
    ['any, later unknown', 'any', ['a', 'x'], facts(5n), knowing({ a: 1n }), 'wrong-expected-version'],
    ['any, empty', 'any', [], facts(5n), nothingKnown, 'nothing'],
    ['exists on nothing', 'stream-exists', ['a'], facts(-1n), nothingKnown, 'wrong-expected-version'],
    ['exists with metadata alone', 'stream-exists', ['a'], facts(-1n, false, true), nothingKnown, 'write'],
    ['exists on deleted', 'stream-exists', ['a'], facts(3n, true, true), nothingKnown, 'stream-deleted'],
    ['no stream on nothing', -1n, ['a'], facts(-1n), nothingKnown, 'write'],
    ['no stream on deleted', -1n, ['a'], facts(3n, true, true), knowing({}, {}), 'write'],
    ['behind, not looked up yet', 0n, ['a'], facts(3n), nothingKnown, 'look-up'],
    ['behind, stored', 0n, ['a', 'b'], facts(3n), knowing({}, { 1: 'a', 2: 'b' }), 'repeat'],
    ['behind, remembered', 0n, ['a', 'b'], facts(3n), knowing({ a: 1n, b: 2n }), 'repeat'],
    ['behind, first differs', 0n, ['x'], facts(3n), knowing({}, { 1: 'a' }), 'wrong-expected-version'],
    [
      'behind, later differs',
      0n,
      ['a', 'x'],
      facts(3n),
      knowing({ a: 1n }, { 2: 'b' }),
      'wrong-expected-version',
    ],
    ['behind, beyond the end', 2n, ['a', 'b'], facts(3n), knowing({ a: 3n }), 'wrong-expected-version'],
    ['behind, empty', 0n, [], facts(3n), nothingKnown, 'wrong-expected-version'],
    ['ahead', 7n, ['a'], facts(3n), nothingKnown, 'wrong-expected-version'],
    ['exact', 3n, ['a'], facts(3n), nothingKnown, 'write'],
    ['exact, empty', 3n, [], facts(3n), nothingKnown, 'nothing'],
    ['tombstoned', 'any', ['a'], facts(tombstoneRevision), knowing({ a: 1n }), 'stream-deleted'],
  ];
  for (const [name, expected, ids, state, known, outcome] of table) {
    it(name, () => {
      const decision = decideAppend(expected, ids, state, known);
      assert.equal(decision.do === 'refuse' ? decision.because : decision.do, outcome);
    });
  }

  it('a repeat names the place of the last event', () => {
    const decision = decideAppend('any', ['a', 'b'], facts(5n), knowing({ a: 1n, b: 2n }));
    assert.deepEqual(decision, { do: 'repeat', last: { revision: 2n, position: 102n } });
  });

  it('removals know no idempotency', () => {
    assert.equal(decideRemoval('any', facts(3n)).do, 'write');
    assert.equal(decideRemoval(2n, facts(3n)).do, 'refuse');
    assert.equal(decideRemoval('stream-exists', facts(3n, true, true)).do, 'refuse');
    assert.equal(decideRemoval('any', facts(tombstoneRevision)).do, 'refuse');
  });
});

describe('settings', () => {
  const read = (json: string) => readSettings(Buffer.from(json));
  it('reads limits and ignores what is not one', () => {
    assert.deepEqual(read('{"$maxCount":3,"$maxAge":60,"$tb":7,"$acl":{}}'), {
      maxCount: 3n,
      maxAgeSeconds: 60n,
      truncateBefore: 7n,
      acl: {},
    });
    for (const odd of ['', 'null', '[]', '"x"', '{', '{"$maxCount":-1,"$maxAge":"x","$tb":1.5}'])
      assert.deepEqual(read(odd), {});
  });
  it('reads "deleted" although JSON cannot hold the number', () => {
    assert.equal(read('{"$tb":9223372036854775807}').truncateBefore, tombstoneRevision);
  });
  it('moves $tb and keeps the rest', () => {
    assert.deepEqual(
      JSON.parse(String(withTruncateBefore(Buffer.from('{"$tb":9223372036854775807,"a":1}'), 5n))),
      { $tb: 5, a: 1 },
    );
    assert.equal(withTruncateBefore(Buffer.from('x'), 5n), undefined);
  });
});

describe('filters', () => {
  const event = (stream: string, type: string) => ({ stream, type }) as never;
  const regex = (pattern: string) => compileFilter({ on: 'type', prefixes: [], regex: pattern });
  const matches = (pattern: string, type: string) => {
    const filter = regex(pattern);
    return typeof filter === 'function' && filter(event('', type));
  };
  it('prefixes are literal', () => {
    const filter = compileFilter({ on: 'stream', prefixes: ['a.', 'b'], regex: '' });
    assert.ok(
      typeof filter === 'function' &&
        filter(event('a.x', '')) &&
        filter(event('bcd', '')) &&
        !filter(event('aXx', '')),
    );
  });
  it('understands the .NET notation in use', () => {
    assert.ok(matches('^[^$].*', 'Type') && !matches('^[^$].*', '$Type'));
    assert.ok(
      matches('(?i)^type$', 'TYPE') &&
        matches('\\AType\\z', 'Type') &&
        matches('^\\p{Lu}', 'Ärger') &&
        matches('(?<x>a|b)c', 'bc'),
    );
  });
  it('takes patterns that backtrack little and refuses those that may run for ever', () => {
    assert.equal(typeof regex('^(?!Internal)\\w+$'), 'function');
    for (const pattern of [
      '^(?=(a+)+$)a',
      '(?!x)(a*)*b',
      '(a|a+)+\\1',
      '(?i)(.*)*x',
      '(',
      'x'.repeat(2_000),
      '',
    ])
      assert.equal(typeof regex(pattern), 'string', pattern);
  });
  it('a pattern that would backtrack for ever elsewhere is quick here', () =>
    assert.equal(matches('^(a+)+$', `${'a'.repeat(50_000)}b`), false));
});

describe('memories', () => {
  it('ids are bounded, per stream, and can be taken back', () => {
    const ids = openIdMemory(2);
    ids.add('a', 's', 0n, 1n);
    ids.add('b', 's', 1n, 2n);
    ids.add('c', 's', 2n, 3n);
    assert.equal(ids.find('a', 's'), undefined);
    assert.equal(ids.find('b', 'other'), undefined);
    ids.forgetFrom(3n);
    assert.equal(ids.find('c', 's'), undefined);
    assert.equal(ids.find('b', 's')?.revision, 1n);
  });

  const at = (position: bigint) =>
    ({ position, stream: 's', type: 't', data: new Uint8Array(), metadata: new Uint8Array() }) as never;
  it('recent events say when they no longer reach back', async () => {
    const recent = openRecent(3, 1e9);
    recent.reset(10n);
    assert.equal(recent.after(9n, 10), undefined);
    recent.publish([at(11n), at(12n), at(13n), at(14n)]);
    assert.equal(recent.after(10n, 10), undefined);
    assert.equal(recent.after(11n, 2)?.length, 2);
    assert.deepEqual(recent.after(14n, 10), []);
    const waiting = recent.wait(14n, new AbortController().signal);
    recent.publish([at(15n)]);
    await waiting;
    await recent.wait(14n, new AbortController().signal);
    const left = new AbortController();
    const leaving = recent.wait(15n, left.signal, 's');
    left.abort();
    await leaving;
  });

  it('pages follow one another without gap, however large events are', async () => {
    const all = Array.from(
      { length: 3_000 },
      (_, n) =>
        ({ position: BigInt(n), type: '', data: new Uint8Array(), metadata: new Uint8Array() }) as never,
    );
    const fetch = async (last: { position: bigint } | undefined, limit: number) =>
      all.slice(last ? Number(last.position) + 1 : 0).slice(0, limit);
    for (const wanted of [1, 127, 128, 129, 2_999, 3_000, 9_000]) {
      const got: unknown[] = [];
      for await (const page of pagesOf(fetch, wanted)) got.push(...page);
      assert.deepEqual(got, all.slice(0, wanted));
    }
    assert.equal(
      nextPageSize(128, [{ type: '', data: new Uint8Array(5e6), metadata: new Uint8Array() } as never]),
      64,
    );
  });
});
