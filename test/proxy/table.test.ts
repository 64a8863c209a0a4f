/** The packed table answers as plain maps would, whatever is done to it in whatever order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { localPart } from '../../platform/mail-user.ts';
import { openTable, type Verdict } from '../../proxy/table.ts';
import { packDeviceId, unpackDeviceId } from '../../proxy/table-ids.ts';

/** The same contract in the plainest way. */
const openModel = () => {
  const known = new Map<string, Verdict>();
  return {
    upsert(verdict: Verdict): void {
      const old = known.get(verdict.deviceId);
      if (old === undefined || verdict.position >= old.position) known.set(verdict.deviceId, verdict);
    },
    remove: (deviceId: string) => known.delete(deviceId),
    find: (easId: string) => [...known.values()].filter((verdict) => verdict.easDeviceId === easId),
    ofUser: (user: string) =>
      [...known.values()].filter(
        ({ userEmail }) => userEmail !== null && localPart(userEmail) === localPart(user),
      ),
    all: () => [...known.values()],
  };
};

const ulidChars = [...'0123456789abcdefghjkmnpqrstvwxyz'];
const ulid = fc
  .tuple(
    fc.constantFrom('0', '3', '7'),
    fc.array(fc.constantFrom(...ulidChars), { minLength: 25, maxLength: 25 }),
  )
  .map(([first, rest]) => `dev${first}${rest.join('')}`);
const few = Array.from({ length: 12 }, (_, n) =>
  `dev0000000000000000000000000${n.toString(16).slice(-1)}`.slice(0, 29),
);
const deviceId = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...few, 'sixteen-bytes-id', 'x') }, ulid);
const easId = fc.oneof(fc.constantFrom('A', 'B', 'C', 'LONG'.repeat(16), 'É'), fc.constant(null));
const email = fc.oneof(
  fc.constantFrom('ann@a.example', 'ann@b.example', 'bob@a.example', 'corp\\eve@c.example', 'ünï@d.example'),
  fc.constantFrom(
    'bob',
    '@a.example',
    'ann@',
    'ann@bob@a.example',
    'ann@corp\\eve',
    'ann@corp\\bob@a.example',
  ),
  fc.constant(null),
);
const named = fc.record(
  {
    deviceId,
    easDeviceId: easId,
    userEmail: email,
    reason: fc.constantFrom('one', 'two', 'three', ''),
    position: fc.oneof(fc.nat(30), fc.constant(2 ** 52)),
  },
  { noNullPrototype: true },
);
const access = fc.constantFrom<Pick<Verdict, 'access' | 'wipePending'>>(
  { access: 'allow' },
  { access: 'deny' },
  { access: 'deny', wipePending: true },
);
const verdict = fc.tuple(named, access).map(([given, one]): Verdict => ({ ...given, ...one }));
const step = fc.oneof(
  { weight: 5, arbitrary: verdict.map((given) => ({ put: given })) },
  { weight: 1, arbitrary: deviceId.map((given) => ({ drop: given })) },
);

const sorted = (verdicts: Iterable<Verdict>) =>
  [...verdicts].sort((a, b) => (a.deviceId < b.deviceId ? -1 : a.deviceId > b.deviceId ? 1 : 0));

test('after any steps every look-up answers what the model answers', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const [table, model] = [openTable(), openModel()];
      for (const one of steps) {
        if ('put' in one) {
          table.upsert(one.put);
          model.upsert(one.put);
        } else {
          table.remove(one.drop);
          model.remove(one.drop);
        }
      }
      assert.deepEqual(sorted(table.verdicts()), sorted(model.all()));
      assert.equal(table.size(), model.all().length);
      for (const id of ['A', 'B', 'C', 'LONG'.repeat(16), 'É', 'NONE'])
        assert.deepEqual(sorted(table.find([id])), sorted(model.find(id)));
      for (const user of ['ann', 'bob@a.example', 'eve', 'ünï', 'nobody'])
        assert.deepEqual(sorted(table.ofUser(user)), sorted(model.ofUser(user)));
    }),
    { numRuns: 300 },
  );
});

const nth = (n: number, given: Partial<Verdict> = {}): Verdict => ({
  deviceId: `dev${n
    .toString(32)
    .replace(/[ilou]/g, 'z')
    .padStart(26, '0')}x${n}`,
  easDeviceId: `EAS${n}`,
  userEmail: `user${n}@acme.example`,
  access: 'allow',
  reason: 'compliant',
  position: n,
  ...given,
});

test('a table that is rewritten many times over keeps its size: dead records give their room back', () => {
  const table = openTable();
  const devices = 10_000;
  for (let n = 0; n < devices; n += 1) table.upsert(nth(n));
  const before = table.sizeBytes();
  for (let round = 1; round <= 6; round += 1)
    for (let n = 0; n < devices; n += 1)
      table.upsert(nth(n, { easDeviceId: `EAS${round}X${n}`, position: round * devices + n }));
  assert.equal(table.size(), devices);
  assert.ok(table.sizeBytes() < before * 2.5, `${before} became ${table.sizeBytes()}`);
  for (const n of [0, 1, 777, devices - 1]) {
    assert.deepEqual(
      table.find([`EAS6X${n}`])[0],
      nth(n, { easDeviceId: `EAS6X${n}`, position: 6 * devices + n }),
    );
    assert.deepEqual(table.find([`EAS5X${n}`, `EAS${n}`]), []);
  }
  for (let n = 0; n < devices; n += 1) assert.deepEqual(table.remove(nth(n).deviceId), [`EAS6X${n}`]);
  assert.deepEqual([table.size(), [...table.verdicts()]], [0, []]);
});

test('a device costs at most 128 bytes', () => {
  const table = openTable();
  const devices = 50_000;
  for (let n = 0; n < devices; n += 1)
    table.upsert(
      nth(n, {
        deviceId: `dev0${n.toString(16).padStart(25, '0')}`,
        easDeviceId: `O868AML7V92IV8TJ32${n.toString(16).padStart(8, '0')}`,
        userEmail: `person.number${n}@acme.example`,
      }),
    );
  assert.ok(table.sizeBytes() / devices <= 128, `${table.sizeBytes() / devices} bytes`);
});

test('more domains than have a number, and addresses that are too long', () => {
  const table = openTable();
  const of = (n: number) => nth(n, { userEmail: `user${n % 2}@domain${n}.example` });
  for (let n = 0; n < 600; n += 1) table.upsert(of(n));
  for (const n of [0, 254, 255, 256, 599]) assert.deepEqual(table.find([`EAS${n}`]), [of(n)]);
  assert.equal(table.ofUser('user1').length, 300);
  for (const userEmail of [`${'x'.repeat(256)}@domain1.example`, `x@${'y'.repeat(254)}.example`]) {
    table.upsert(nth(1, { userEmail, position: 1_000 }));
    const [found] = table.find(['EAS1']);
    // Nobody is that user; but a domain that has a number may be as long as it likes.
    assert.ok(found?.userEmail === null || found?.userEmail === userEmail);
  }
  assert.equal(table.ofUser('user1').length, 299);
});

test('device ids survive packing, whatever they are', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        ulid,
        fc.string({ minLength: 1, maxLength: 60 }).filter((text) => !text.includes('\0')),
      ),
      (id) => {
        fc.pre(Buffer.from(id, 'utf8').toString('utf8') === id);
        assert.equal(unpackDeviceId(packDeviceId(id)), id);
      },
    ),
  );
  assert.equal(packDeviceId('dev7zzzzzzzzzzzzzzzzzzzzzzzzz').length, 16);
});
