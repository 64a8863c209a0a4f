/** Decisions: each rule accepts, refuses and yields, and the order of rules holds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSameUser } from '../../platform/mail-user.ts';
import type { ShownCertificate } from '../../proxy/client-certificates.ts';
import { readCredential } from '../../proxy/credential.ts';
import { decide } from '../../proxy/decide.ts';
import { type EasRequest, easPath, readTarget } from '../../proxy/eas.ts';
import { offeredChallenges, responseHeaders } from '../../proxy/headers.ts';
import type { Question } from '../../proxy/question.ts';
import { rules } from '../../proxy/rules/index.ts';
import type { Verdict } from '../../proxy/table.ts';
import { rootCommand } from '../../proxy/wbxml.ts';
import { basic } from './stage.ts';

const device: Verdict = {
  deviceId: 'dev_1',
  easDeviceId: 'ABC',
  userEmail: 'alice@example.org',
  access: 'allow',
  reason: 'compliant',
  position: 5,
};

const question = (given: Partial<Question> = {}): Question => ({
  space: 'eas',
  clientProblem: null,
  method: 'POST',
  malformed: null,
  eas: readTarget('POST', `${easPath}?Cmd=Sync&User=u&DeviceId=abc&DeviceType=t`),
  credential: readCredential(basic('alice')),
  certificate: null,
  devices: [device],
  devicesOfUser: [],
  bodyCommand: null,
  bodyProblem: null,
  tableAgeMs: 0,
  maxAgeMs: 3_600_000,
  staleRule: 'deny',
  ...given,
});
const validating = (bodyCommand: string | null, cmd = 'FolderSync', given: Partial<Question> = {}) =>
  question({
    eas: readTarget('POST', `${easPath}?Cmd=${cmd}&User=u&DeviceId=validate&DeviceType=Android`),
    devices: [],
    devicesOfUser: [device],
    bodyCommand,
    ...given,
  });
const wiping = (given: Partial<Question> = {}) =>
  question({
    eas: readTarget('POST', `${easPath}?Cmd=Provision&User=u&DeviceId=abc&DeviceType=t`),
    devices: [{ ...device, access: 'deny', wipePending: true }],
    bodyCommand: 'Provision',
    ...given,
  });
const options = (query: string, given: Partial<Question> = {}) =>
  question({ method: 'OPTIONS', eas: readTarget('OPTIONS', easPath + query), ...given });

const ews = (given: Partial<Question> = {}) =>
  question({
    space: 'ews',
    eas: readTarget('OPTIONS', easPath),
    devices: [],
    devicesOfUser: [device],
    ...given,
  });
const traveler = (deviceId: string | null, given: Partial<Question> = {}) =>
  question({
    space: 'traveler',
    eas: { ...(readTarget('OPTIONS', easPath) as EasRequest), deviceId },
    ...given,
  });
const nobody = readCredential(undefined);
const showing = (names: readonly string[], given: Partial<ShownCertificate> = {}) => ({
  certificate: { problem: null, names: { names, deviceIds: [] }, isBound: true, ...given },
});

const cases: readonly (readonly [string, Question, boolean, string])[] = [
  ['a compliant device of its user', question(), true, 'verdict'],
  ['a certificate of the device', question(showing(['Abc'])), true, 'verdict'],
  ['a certificate of somebody else', question(showing(['bob'])), false, 'certificate'],
  [
    'an unknown device, whoever the certificate is of',
    question({ ...showing(['bob']), devices: [] }),
    false,
    'device',
  ],
  ['any good certificate, unbound', question(showing(['bob'], { isBound: false })), true, 'verdict'],
  ['no certificate', question(showing([], { problem: 'none', isBound: false })), false, 'certificate'],
  [
    'no certificate, and no path either',
    options('/x', showing([], { problem: 'none' })),
    false,
    'certificate',
  ],
  [
    'OPTIONS without a credential, whoever the certificate is of',
    options('', { ...showing(['bob']), credential: readCredential(undefined) }),
    true,
    'options',
  ],
  [
    'set-up with a certificate that says validate',
    validating('FolderSync', 'FolderSync', showing(['validate'])),
    false,
    'certificate',
  ],
  [
    "set-up with the user's certificate",
    validating('FolderSync', 'FolderSync', showing(['alice'])),
    true,
    'validate',
  ],
  [
    'a denied device',
    question({ devices: [{ ...device, access: 'deny', reason: 'rooted' }] }),
    false,
    'verdict',
  ],
  [
    'the newest of two enrolments allows',
    question({ devices: [{ ...device, access: 'deny', position: 4 }, device] }),
    true,
    'verdict',
  ],
  [
    'the newest of two enrolments denies',
    question({ devices: [device, { ...device, access: 'deny', position: 6 }] }),
    false,
    'verdict',
  ],
  [
    'two at one position deny',
    question({ devices: [device, { ...device, access: 'deny' }] }),
    false,
    'verdict',
  ],
  [
    "somebody else's newer enrolment under the id does not matter",
    question({ devices: [device, { ...device, userEmail: 'eve@example.org', access: 'deny', position: 9 }] }),
    true,
    'verdict',
  ],
  ['an unknown device', question({ devices: [] }), false, 'device'],
  ["another user's device", question({ credential: readCredential(basic('eve')) }), false, 'user'],
  ["nobody's device", question({ devices: [{ ...device, userEmail: null }] }), false, 'user'],
  ['no credential', question({ credential: readCredential(undefined) }), false, 'credential'],
  ['NTLM', question({ credential: readCredential('NTLM TlRMTVNTUAAB') }), false, 'credential'],
  ['a table at its age limit', question({ tableAgeMs: 3_600_000 }), true, 'verdict'],
  ['a table beyond its age limit', question({ tableAgeMs: 3_600_001 }), false, 'stale'],
  ['a table that never was', question({ tableAgeMs: null }), false, 'unready'],
  ['GET', question({ method: 'GET' }), false, 'method'],
  ['another path', question({ eas: readTarget('POST', '/owa?Cmd=Sync') }), false, 'path'],
  ['an unreadable query', question({ eas: readTarget('POST', `${easPath}?Cmd=Sync`) }), false, 'request'],
  ['a body that is not its Cmd', question({ bodyProblem: 'x' }), false, 'body'],
  ['a mail app that is not let through', question({ clientProblem: 'x' }), false, 'client'],
  ['EWS of a user with an allowed device', ews(), true, 'account'],
  [
    'EWS of a user with a denied device',
    ews({ devicesOfUser: [{ ...device, access: 'deny' }] }),
    false,
    'account',
  ],
  ['EWS of nobody', ews({ credential: nobody }), false, 'credential'],
  ['EWS that is no subscription', ews({ bodyProblem: 'x' }), false, 'body'],
  ['EWS by GET', ews({ method: 'GET' }), false, 'method'],
  ['EWS with old verdicts', ews({ tableAgeMs: 3_600_001 }), false, 'stale'],
  ['Traveler without a device', traveler(null, { devices: [], credential: nobody }), true, 'traveler'],
  ['Traveler of an allowed device', traveler('ABC'), true, 'traveler'],
  ['Traveler of an allowed device by cookie', traveler('ABC', { credential: nobody }), true, 'traveler'],
  [
    'Traveler of a denied device by cookie',
    traveler('ABC', { credential: nobody, devices: [{ ...device, access: 'deny' }] }),
    false,
    'traveler',
  ],
  ['Traveler of an unknown device', traveler('ABC', { devices: [] }), false, 'traveler'],
  [
    "Traveler of another user's device",
    traveler('ABC', { credential: readCredential(basic('eve')) }),
    false,
    'traveler',
  ],
  ['Traveler by PUT', traveler(null, { method: 'PUT' }), false, 'method'],
  ['malformed framing', question({ malformed: 'content-length is given twice' }), false, 'request'],
  ['malformed framing of an OPTIONS', options('', { malformed: 'x' }), false, 'request'],
  [
    'OPTIONS without a query, from anybody, with no table at all',
    options('', { credential: readCredential(undefined), devices: [], tableAgeMs: null }),
    true,
    'options',
  ],
  [
    'OPTIONS of a device without a credential',
    options('?User=u&DeviceId=abc&DeviceType=t', { credential: readCredential(undefined), devices: [] }),
    true,
    'options',
  ],
  ['OPTIONS of an allowed device', options('?User=u&DeviceId=abc&DeviceType=t'), true, 'verdict'],
  [
    'OPTIONS of a denied device',
    options('?User=u&DeviceId=abc&DeviceType=t', { devices: [{ ...device, access: 'deny' }] }),
    false,
    'verdict',
  ],
  [
    'OPTIONS of an unknown device',
    options('?User=u&DeviceId=abc&DeviceType=t', { devices: [] }),
    false,
    'device',
  ],
  ['Provision of a denied device that is to be wiped', wiping(), true, 'wipe'],
  ['a wipe: a body nobody looked at', wiping({ bodyCommand: null }), false, 'wipe'],
  ['a wipe: a body that is FolderSync', wiping({ bodyCommand: 'FolderSync' }), false, 'wipe'],
  [
    'a wipe: Cmd that is not Provision',
    wiping({ eas: readTarget('POST', `${easPath}?Cmd=Sync&User=u&DeviceId=abc&DeviceType=t`) }),
    false,
    'wipe',
  ],
  ['OPTIONS of a device that is to be wiped', wiping({ method: 'OPTIONS' }), true, 'wipe'],
  ["a wipe of another user's device", wiping({ credential: readCredential(basic('eve')) }), false, 'user'],
  [
    'a wipe of an earlier enrolment of the device',
    wiping({
      devices: [
        { ...device, access: 'deny', wipePending: true, position: 4 },
        { ...device, access: 'deny' },
      ],
    }),
    false,
    'verdict',
  ],
  ['a wipe with old verdicts', wiping({ tableAgeMs: 3_600_001 }), false, 'stale'],
  ['set-up: FolderSync', validating('FolderSync'), true, 'validate'],
  ['set-up: Provision', validating('Provision', 'Provision'), true, 'validate'],
  ['set-up: Sync', validating('Sync', 'Sync'), false, 'validate'],
  ['set-up: Sync calling itself FolderSync', validating('Sync'), false, 'validate'],
  ['set-up: a body that cannot be recognised', validating(null), false, 'validate'],
  [
    'set-up: a user without an allowed device',
    validating('FolderSync', 'FolderSync', { devicesOfUser: [{ ...device, access: 'deny' }] }),
    false,
    'validate',
  ],
  [
    "set-up: somebody else's device",
    validating('FolderSync', 'FolderSync', {
      devicesOfUser: [{ ...device, userEmail: 'alice@other.org' }],
      credential: readCredential(basic('alice@example.org')),
    }),
    false,
    'validate',
  ],
];
for (const [name, asked, allow, rule] of cases) {
  test(`${allow ? 'allow' : 'deny'} by ${rule}: ${name}`, () => {
    const decision = decide(asked);
    assert.deepEqual({ allow: decision.allow, rule: decision.rule }, { allow, rule });
    assert.ok(decision.reason.length > 0);
  });
}

test('every rule of the registry decides at least one of these cases', () => {
  const decided = new Set(cases.map(([, asked]) => decide(asked).rule));
  assert.deepEqual(
    Object.values(rules)
      .flat()
      .map(({ name }) => name)
      .filter((name) => !decided.has(name)),
    [],
  );
});

test('a Basic user is read from UTF-8 and from ISO-8859-1, bare, with a domain and as an address', () => {
  for (const header of [
    basic('Müller'),
    basic('müller', 'latin1'),
    basic('CORP\\MÜLLER', 'latin1'),
    basic('müller@example.org'),
  ]) {
    const { user } = readCredential(header);
    assert.ok(user !== null && isSameUser(user, 'Müller@Example.org'), header);
  }
  assert.equal(isSameUser('müller@other.org', 'müller@example.org'), false);
  assert.equal(isSameUser('corp\\', '@example.org'), false);
});

test('a Bearer user is the one that the token names', () => {
  const bearer = (claims: object) =>
    `Bearer e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
  assert.equal(readCredential(bearer({ upn: 'Alice@Example.org' })).user, 'alice@example.org');
  assert.equal(readCredential(bearer({ preferred_username: 'a@b.c' })).user, 'a@b.c');
  assert.equal(readCredential(bearer({ oid: '1' })).user, null);
  assert.equal(readCredential('Bearer e30.%%%.x').user, null);
  assert.equal(readCredential('Bearer opaque').user, null);
});

test('a credential that two decoders could read in two ways names nobody', () => {
  for (const value of [
    'Basic YWxpY2U6eA-_',
    'Basic YWxp Y2U6eA==',
    'Basic OnNlY3JldA==',
    'Basic YWxpY2U=',
    `Basic ${Buffer.from('a\nb:c').toString('base64')}`,
    'Basic',
    'Digest username="a"',
    'Basic YWxpY2U6eB==',
  ]) {
    assert.equal(readCredential(value).user, null, value);
  }
});

test('the root tag of a body tells its command', () => {
  assert.equal(rootCommand(Buffer.from('03016a00000756', 'hex')), 'FolderSync');
  assert.equal(rootCommand(Buffer.from('03016a0045', 'hex')), 'Sync');
  assert.equal(rootCommand(Buffer.from('03016a00000e45', 'hex')), 'Provision');
  for (const hex of ['', '03', '03016a0000', '03016a000007', '02016a00000756', '1f8b0800', '03016a00ff'])
    assert.equal(rootCommand(Buffer.from(hex, 'hex')), null, hex);
});

test('only Basic and Bearer challenges are offered', () => {
  assert.equal(
    offeredChallenges('Negotiate, NTLM, Basic realm="a, b", Bearer x="y", z="w"'),
    'Basic realm="a, b", Bearer x="y", z="w"',
  );
  assert.equal(offeredChallenges('NTLM'), null);
  assert.equal(offeredChallenges('Basic realm="NTLM, Negotiate"'), 'Basic realm="NTLM, Negotiate"');
});

test("answers lose the connection's headers and point back at the proxy", () => {
  const own = new URL('https://mail.example.org');
  const fields = (...pairs: readonly (readonly [string, string])[]) =>
    pairs.flatMap(([name, value]) => [name.toLowerCase(), value, name]);
  const lines = responseHeaders(
    451,
    fields(
      ['Date', 'Thu, 26 Nov 2026 00:00:00 GMT'],
      ['Connection', 'close, X-Secret'],
      ['X-Secret', '1'],
      ['Keep-Alive', 'x'],
      ['Content-Length', '7'],
      ['Transfer-Encoding', 'chunked'],
      ['X-FEServer', 'INSIDE'],
      ['Alt-Svc', 'h3=":443"'],
      ['X-MS-Location', 'https://other.example.org/Microsoft-Server-ActiveSync'],
      ['Set-Cookie', 'a=1'],
      ['set-cookie', 'b=2'],
      ['WWW-Authenticate', 'NTLM'],
      ['WWW-Authenticate', 'Basic realm="x"'],
    ),
    own,
  );
  assert.deepEqual(lines.split('\r\n'), [
    'Date: Thu, 26 Nov 2026 00:00:00 GMT',
    'X-MS-Location: https://mail.example.org/Microsoft-Server-ActiveSync',
    'Set-Cookie: a=1',
    'set-cookie: b=2',
    'WWW-Authenticate: Basic realm="x"',
    '',
  ]);
  assert.match(
    responseHeaders(302, fields(['location', 'http://10.0.0.1:81/owa?x=1']), own),
    /^date: [^\r]+ GMT\r\nlocation: https:\/\/mail\.example\.org\/owa\?x=1\r\n$/,
  );
});
