/** Reading the request line: vectors of the specification and of real phones, traps, and laws that hold for any input. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type EasRequest, easPath, readTarget } from '../../proxy/eas.ts';

const read = (query: string, method = 'POST') => readTarget(method, `${easPath}?${query}`);
const readable = (query: string, method = 'POST'): EasRequest => {
  const eas = read(query, method);
  assert.ok(!('unreadable' in eas), `unreadable: ${JSON.stringify(eas)}`);
  return eas;
};
const problem = (query: string, method = 'POST'): string => {
  const eas = read(query, method);
  assert.ok('unreadable' in eas, `readable: ${query}`);
  return eas.problem;
};

/** An encoded query with these fields. */
const encode = (fields: {
  version?: number;
  code?: number;
  id: Buffer;
  key?: Buffer;
  type?: string;
  tail?: Buffer;
}): string => {
  const sized = (value: Buffer) => Buffer.concat([Buffer.from([value.length]), value]);
  return Buffer.concat([
    Buffer.from([fields.version ?? 141, fields.code ?? 0, 9, 4]),
    sized(fields.id),
    sized(fields.key ?? Buffer.alloc(0)),
    sized(Buffer.from(fields.type ?? 'iPhone')),
    fields.tail ?? Buffer.alloc(0),
  ]).toString('base64');
};

test('the vector of the specification: 14.0, Sync, v140Device, no policy key, SmartPhone', () => {
  const eas = readable('jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l');
  assert.equal(eas.command, 'Sync');
  assert.equal(eas.deviceId, 'V140DEVICE');
  assert.deepEqual(eas.aliases, [Buffer.from('v140Device').toString('hex').toUpperCase()]);
  assert.equal(eas.deviceType, 'SmartPhone');
  assert.equal(eas.query, 'jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l');
});

test("sixteen raw bytes are the 32 hexadecimal digits of the same phone's plain form", () => {
  const id = Buffer.from('796ACD8C0102030405060708090A0B0C', 'hex');
  const encoded = readable(encode({ code: 17, id, key: Buffer.alloc(4) }));
  const plain = readable('User=u&DeviceId=796ACD8C0102030405060708090a0b0c&DeviceType=WP8', 'OPTIONS');
  assert.equal(encoded.command, 'Settings');
  assert.equal(encoded.deviceId, plain.deviceId);
});

test('both query forms give the same command and device', () => {
  const plain = readable('User=u&DeviceId=androidc195792594&DeviceType=Android&Cmd=Ping');
  const encoded = readable(encode({ code: 18, id: Buffer.from('androidc195792594'), type: 'Android' }));
  assert.deepEqual([plain.command, plain.deviceId], [encoded.command, encoded.deviceId]);
  assert.deepEqual([plain.command, plain.deviceId], ['Ping', 'ANDROIDC195792594']);
});

test('padding is optional and the canonical spelling is forwarded', () => {
  const padded = encode({ id: Buffer.from('abc'), type: 'abc' });
  assert.ok(padded.endsWith('='));
  assert.equal(readable(padded.replace(/=+$/, '')).query, padded);
});

test('the plain query is rebuilt: canonical names, unknown parameters dropped, values untouched', () => {
  const eas = readable('cmd=sync&USER=a%40b.c&deviceid=abc&DeviceType=X&Evil=1&CollectionId=5%3A1');
  assert.equal(eas.query, 'Cmd=Sync&User=a%40b.c&DeviceId=abc&DeviceType=X&CollectionId=5%3A1');
  assert.equal(eas.queryUser, 'a@b.c');
});

test('OPTIONS needs no query and never forwards a command', () => {
  assert.deepEqual(readTarget('OPTIONS', easPath.toLowerCase()), {
    form: 'none',
    version: null,
    command: null,
    deviceId: null,
    aliases: [],
    deviceType: null,
    queryUser: null,
    query: '',
  });
  const eas = readable('Cmd=Sync&User=u&DeviceId=abc&DeviceType=t', 'OPTIONS');
  assert.equal(eas.command, null);
  assert.equal(eas.query, 'User=u&DeviceId=abc&DeviceType=t');
});

const unreadable: readonly (readonly [string, string])[] = [
  ['duplicate device id', 'Cmd=Sync&DeviceId=GOOD&DeviceId=EVIL&DeviceType=t'],
  ['duplicate device id in another case', 'Cmd=Sync&DeviceId=GOOD&deviceid=EVIL&DeviceType=t'],
  ['duplicate command', 'Cmd=Sync&Cmd=Ping&DeviceId=a'],
  ["second '?'", 'Cmd=Sync&DeviceId=GOOD?Cmd=FolderSync&DeviceId=EVIL'],
  ["second '?' in a value", 'Cmd=Sync&DeviceId=GOOD&DeviceType=t?x'],
  ['fragment in a value', 'Cmd=Sync&DeviceId=GOOD&DeviceType=t#x'],
  ['encoded name', 'Cmd=Sync&Device%49d=EVIL&DeviceId=GOOD'],
  ['empty parameter', 'Cmd=Sync&&DeviceId=a'],
  ['name in brackets', 'Cmd=Sync&DeviceId[]=a'],
  ['encoded device id', 'Cmd=Sync&DeviceId=%41BC'],
  ['plus in the device id', 'Cmd=Sync&DeviceId=A+B'],
  ['empty device id', 'Cmd=Sync&DeviceId='],
  ['no device id', 'Cmd=Sync&User=u'],
  ['no command', 'User=u&DeviceId=a'],
  ['unknown command', 'Cmd=Evil&DeviceId=a'],
  ['command named like an object member', 'Cmd=constructor&DeviceId=a'],
  ['encoded ampersand', 'Cmd=Sync&DeviceId=a&DeviceType=x%26DeviceId=EVIL'],
  ['encoded line feed', 'Cmd=Sync&DeviceId=a&User=x%0aEvil'],
  ['encoded NUL', 'Cmd=Sync&DeviceId=a&User=x%00'],
  ['half a triplet', 'Cmd=Sync&DeviceId=a&User=x%4'],
  ['semicolon as separator', 'Cmd=Sync;DeviceId=a'],
  ['fragment', 'Cmd=Sync&DeviceId=a#x'],
  ['base64: URL-safe alphabet', encode({ id: Buffer.from([...Array(16)].fill(0xff)) }).replaceAll('/', '_')],
  [
    'base64: percent-encoded padding',
    `${encode({ id: Buffer.from('abc'), type: 'abc' }).replaceAll('=', '%3D')}`,
  ],
  ['base64: stray bits', 'jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25lAB'],
  ['base64: empty id', encode({ id: Buffer.alloc(0) })],
  ['base64: binary id of fifteen bytes', encode({ id: Buffer.alloc(15, 1) })],
  ['base64: policy key of three bytes', encode({ id: Buffer.from('abc'), key: Buffer.alloc(3) })],
  ['base64: unknown version', encode({ version: 99, id: Buffer.from('abc') })],
  ['base64: unknown command', encode({ code: 200, id: Buffer.from('abc') })],
  ['base64: unknown parameter tag', encode({ id: Buffer.from('abc'), tail: Buffer.from([5, 0]) })],
  ['base64: parameter twice', encode({ id: Buffer.from('abc'), tail: Buffer.from([8, 1, 65, 8, 1, 66]) })],
  ['base64: truncated parameter', encode({ id: Buffer.from('abc'), tail: Buffer.from([8, 9, 65]) })],
  [
    'base64: type and key swapped',
    encode({ id: Buffer.from('abc'), key: Buffer.from('iPhone'), type: '\x01\x02\x03\x04' }),
  ],
];
for (const [name, query] of unreadable) test(`unreadable: ${name}`, () => void problem(query));

test('every truncation of an encoded query is unreadable', () => {
  const whole = Buffer.from(
    encode({ id: Buffer.from('v140Device'), key: Buffer.alloc(4), type: 'SmartPhone' }),
    'base64',
  );
  for (let length = 1; length < whole.length; length += 1)
    problem(whole.subarray(0, length).toString('base64'));
});

for (const path of [
  '/',
  '/microsoft-server-activesync/',
  '/x/../Microsoft-Server-ActiveSync',
  '/Microsoft-Server-ActiveSync/..%2fowa',
  '/%4dicrosoft-Server-ActiveSync',
  '//Microsoft-Server-ActiveSync',
  '/Microsoft-Server-ActiveSync;x',
  '/.;/Microsoft-Server-ActiveSync',
  'http://evil/Microsoft-Server-ActiveSync',
  '*',
  '/EWS/Exchange.asmx',
  '/autodiscover/autodiscover.xml',
  '/Microsoft-Server-ActiveSync%3fCmd=Sync',
  '',
]) {
  test(`not the path: ${path || '(empty)'}`, () => {
    const eas = readTarget('POST', `${path}?Cmd=Sync&DeviceId=a&DeviceType=t`);
    assert.ok('unreadable' in eas && eas.unreadable === 'path');
  });
}

test('law: nothing throws, and what is forwarded reads as what was decided on, again and again', () => {
  const word = fc.constantFrom(
    'Cmd',
    'cmd',
    'Sync',
    'Ping',
    'DeviceId',
    'DEVICEID',
    'User',
    'DeviceType',
    '=',
    '&',
    '?',
    '%',
    '%26',
    '%3f',
    '%41',
    '#',
    '+',
    'abc',
    'A',
    '0',
    '/',
    ';',
    '\u00e9',
    '\0',
    '[]',
    'jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l',
  );
  const shuffled = fc
    .shuffledSubarray(
      ['Cmd=Sync', 'DeviceId=abc', 'DeviceId=def', 'User=u%20v', 'DeviceType=t', 'Evil=1', 'cmd=Ping'],
      { minLength: 2 },
    )
    .map((parts) => parts.join('&'));
  const encoded = fc
    .record({
      id: fc.oneof(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.string({ minLength: 1, maxLength: 20 }).map((text) => Buffer.from(text)),
      ),
      code: fc.integer({ min: 0, max: 30 }),
      tail: fc.uint8Array({ maxLength: 12 }),
    })
    .map(({ id, code, tail }) => encode({ id: Buffer.from(id), code, tail: Buffer.from(tail) }));
  const query = fc.oneof(
    fc.array(word, { maxLength: 12 }).map((words) => words.join('')),
    shuffled,
    encoded,
    fc.base64String({ maxLength: 80 }),
    fc.string({ maxLength: 60 }),
  );
  let understood = 0;
  fc.assert(
    fc.property(query, fc.constantFrom('POST', 'OPTIONS'), (text, method) => {
      const eas = read(text, method);
      if ('unreadable' in eas) return;
      understood += 1;
      const again = readTarget(method, eas.query === '' ? easPath : `${easPath}?${eas.query}`);
      assert.ok(!('unreadable' in again));
      assert.deepEqual({ ...again, form: eas.form }, eas);
      if (eas.form !== 'plain') return;
      // Whichever way a server reads a query (first or last of a name, decoded or not), it finds this device.
      const byLastWins = new URLSearchParams(eas.query).get('DeviceId');
      assert.equal(byLastWins?.toUpperCase() ?? null, eas.deviceId);
      assert.ok((eas.query.match(/deviceid/gi) ?? []).length <= 1 || /=(?:[^&]*deviceid)/i.test(eas.query));
    }),
    { numRuns: 20_000, seed: 20261123 },
  );
  assert.ok(understood > 500, `only ${understood} of the inputs were readable`);
});
