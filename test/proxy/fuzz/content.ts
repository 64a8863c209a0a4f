/**
 * Headers, credentials, encoded queries and bodies that are not what they claim. Listed in families.ts.
 * Source: RFC 9110 5.5 (field values), 7.2 (Host), 10.1.1 (Expect); MS-ASHTTP 2.2.1.1.1.1 (base64 query).
 */
import fc from 'fast-check';
import { basic } from '../stage.ts';
import {
  allowedId,
  eas,
  encodedQuery,
  encodedTarget,
  type Hostile,
  lengthed,
  plainTarget,
  render,
  requestOf,
  withLength,
} from './request.ts';

type Family = fc.Arbitrary<Hostile>;

const oneOf = <T>(...values: T[]) => fc.constantFrom(...values);

const headersOf = (family: string, headers: readonly string[], outcome: Hostile['outcome']): Hostile => ({
  family,
  bytes: render(withLength(requestOf('content', { headers }))),
  outcome,
});

const controlInHeader: Family = fc
  .tuple(
    oneOf('X-Note', 'User-Agent', 'Cookie', 'Authorization', 'X-MS-PolicyKey', 'Host'),
    oneOf('\x00', '\x01', '\x08', '\x0b', '\x0c', '\x1f', '\x7f', '\r', '\n'),
    fc.nat({ max: 3 }),
  )
  .map(([name, byte, at]) =>
    headersOf(
      'control byte in a header',
      [`${name}: ${'abc'.slice(0, at)}${byte}${'abc'.slice(at)}`],
      'ends',
    ),
  );

const doubledHeader: Family = oneOf(
  'Host: other.example.org',
  `Authorization: ${basic('eve')}`,
  `authorization: ${basic('alice')}`,
  'Content-Type: text/xml',
  'USER-AGENT: x',
  'client-request-id: x',
).map((line) => headersOf('doubled header', [line], 'ends'));

const noHost: Family = oneOf<readonly string[]>([], ['X-Host: x'], ['Host : x'], ['Hos: x']).map(
  (instead) => {
    const parts = withLength(requestOf('content'));
    return {
      family: 'no host',
      bytes: render({
        ...parts,
        headers: [...instead, ...parts.headers.filter((line) => !line.startsWith('Host'))],
      }),
      outcome: 'ends',
    };
  },
);

const tooLarge: Family = fc
  .tuple(fc.integer({ min: 33_000, max: 60_000 }), oneOf('X-Note', 'Cookie', 'Authorization'), fc.boolean())
  .map(([length, name, isOne]) =>
    isOne
      ? headersOf('too large headers', [`${name}: ${'a'.repeat(length)}`], 'ends')
      : headersOf(
          'too large headers',
          Array.from({ length: 40 }, (_, at) => `X-${at}: ${'a'.repeat(1_000)}`),
          'ends',
        ),
  );

/** What stands behind the last header that is kept must not be lost: a length there frames the message all the same. */
const tooMany: Family = fc
  .tuple(fc.integer({ min: 100, max: 400 }), oneOf('X: y', `Authorization: ${basic('eve')}`, 'Host: y'))
  .map(([count, last]) =>
    headersOf('too many headers', [...Array.from({ length: count }, (_, at) => `X-${at}: y`), last], 'ends'),
  );

const expectation: Family = oneOf('200-ok', 'x', '100-continued', '').map((value) =>
  headersOf('odd Expect', [`Expect: ${value}`], 'ends'),
);

const encodingHeaders: Family = oneOf(
  'Content-Length: 0x',
  'Content-Length:',
  'Content-Length: \t',
  'Transfer-Encoding: chunked',
).map((line) => headersOf('second framing header', [line], 'ends'));

/** Credentials that name nobody, or somebody else. */
const badCredential: Family = fc
  .tuple(
    oneOf(
      'Basic',
      'Basic !!!!',
      'Basic YWxpY2U',
      `Basic ${Buffer.from('alice:secret').toString('base64')}=`,
      `Basic ${Buffer.from('alice:secret').toString('base64')} x`,
      `Basic ${Buffer.from(':secret').toString('base64')}`,
      `Basic ${Buffer.from('al\0ice:secret').toString('base64')}`,
      `Basic ${Buffer.from('alice\r\nX: y:secret').toString('base64')}`,
      `Basic ${Buffer.from(`${'a'.repeat(400)}:secret`).toString('base64')}`,
      `Bearer ${Buffer.from('{}').toString('base64url')}`,
      'Bearer a.b.c',
      `Bearer a.${Buffer.from('{"upn":{}}').toString('base64url')}.c`,
      `Bearer a.${Buffer.from('{"upn":"eve@example.org"}').toString('base64url')}.c`,
      'NTLM TlRMTVNTUAAB',
      'Negotiate YII=',
      'Digest username="alice"',
      `${basic('alice')},${basic('eve')}`,
      basic('eve'),
      basic('alice@evil.example'),
      basic('aliceé'),
    ),
    fc.boolean(),
  )
  .map(([value, isPlain]) => {
    const parts = withLength(requestOf('content', { target: isPlain ? plainTarget() : encodedTarget() }));
    return {
      family: 'bad credential',
      bytes: render({
        ...parts,
        headers: parts.headers.map((line) =>
          line.startsWith('Authorization') ? `Authorization: ${value}` : line,
        ),
      }),
      outcome: 'goes-on',
    };
  });

const encodedOf = (family: string, query: string): Hostile => ({
  family,
  bytes: render(withLength(requestOf('content', { target: `${eas}?${query}` }))),
  outcome: 'goes-on',
});

const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');

const badFields: Family = fc
  .tuple(
    oneOf(
      `\x8d\x00\x07\x04${lengthed('')}\x00${lengthed('iPhone')}`,
      `\x8d\x00\x07\x04\xff${allowedId}\x00${lengthed('iPhone')}`,
      `\x8d\x00\x07\x04${lengthed(allowedId)}\x03abc${lengthed('iPhone')}`,
      `\x8d\x00\x07\x04${lengthed(allowedId)}\x05abcde${lengthed('iPhone')}`,
      `\x8d\x00\x07\x04${lengthed(allowedId)}\x00\x40iPhone`,
      `\x8d\x00\x07\x04${lengthed(allowedId)}\x00${lengthed('iPh\x00ne')}`,
      `\x8d\x00\x07\x04${lengthed('ABC 12')}\x00${lengthed('iPhone')}`,
      `\x8d\x00\x07\x04${lengthed('a'.repeat(65))}\x00${lengthed('iPhone')}`,
      `\x8d\x00\x07\x04${lengthed(allowedId)}`,
      '\x8d\x00\x07',
      `\x8d\x18\x07\x04${lengthed(allowedId)}\x00${lengthed('iPhone')}`,
      `\x8d\x05\x07\x04${lengthed(allowedId)}\x00${lengthed('iPhone')}`,
      `\x19\x00\x07\x04${lengthed(allowedId)}\x00${lengthed('iPhone')}`,
      `\x00\x00\x07\x04${lengthed(allowedId)}\x00${lengthed('iPhone')}`,
    ),
    oneOf('', '\x08\x03abc\x08\x03abd', '\x09\x01a', '\x02\x01a', '\x08\xffa', '\x07'),
  )
  .map(([fields, parameters]) => encodedOf('bad fields', base64(`${fields}${parameters}`)));

/** A sound query with a parameter that is not: nothing else is wrong with it. */
const badParameters: Family = oneOf(
  '\x08\x03abc\x08\x03abd',
  '\x09\x01a',
  '\x02\x01a',
  '\x08\xffa',
  '\x07',
  '\xff',
).map((parameters) =>
  encodedOf(
    'bad parameters',
    base64(`\x8d\x00\x07\x04${lengthed(allowedId)}\x00${lengthed('iPhone')}${parameters}`),
  ),
);

const badBase64: Family = fc
  .tuple(fc.nat({ max: 30 }), oneOf('!', '-', '_', '%2B', '%3D', '.', ' ', '=', '==', '=A', '&', '?', '%'))
  .filter(([, spoil]) => spoil !== ' ')
  .map(([at, spoil]) => {
    const query = encodedQuery(allowedId, 0).replace(/=+$/, '');
    const where = 1 + (at % (query.length - 2));
    return encodedOf('bad base64', `${query.slice(0, where)}${spoil}${query.slice(where)}`);
  });

/** Bytes behind the version that cannot be one: the rest may be anything. */
const randomFields: Family = fc
  .tuple(fc.integer({ min: 0, max: 120 }), fc.uint8Array({ minLength: 0, maxLength: 80 }))
  .map(([version, rest]) => encodedOf('random fields', Buffer.from([version, ...rest]).toString('base64')));

/** The ids whose requests are judged by the body, which must be what Cmd says; of `validate`, Provision or FolderSync. */
const judgedByBody: readonly string[] = ['validate', allowedId];

const badBody: Family = fc
  .tuple(
    oneOf(
      '',
      '\x03',
      '\x03\x01\x6a\x00',
      '\x03\x01\x6a\x00\x00',
      '\x03\x01\x6a\x00\x00\x07',
      '\x03\x01\x6a\x00\x00\x07\x53',
      '\x03\x01\x6a\x00\x00\x0e\x45',
      '\x02\x01\x6a\x00\x00\x07\x56',
      '\x03\x01\x6a\x01a\x00\x07\x56',
      '\x03\x01\x03\x00\x00\x07\x56',
      '\x03\x01\x6a\x00\x45',
      '\x03\x01\x6a\x00\x00\x00\x00\x00\x00\x00\x00',
      '<FolderSync/>',
      '\x1f\x8b\x08\x00',
      '\xff\xfe\x00',
    ),
    oneOf(0, 1, 100, 70_000),
    oneOf(...judgedByBody),
  )
  // No body at all repeats the last Ping or Sync, which a known device may.
  .filter(([start, , id]) => start !== '' || id === 'validate')
  .map(([start, more, id]) => {
    const target = plainTarget(id).replace('Cmd=Sync', 'Cmd=FolderSync');
    const body = start === '' ? '' : `${start}${'\x01'.repeat(more)}`;
    return {
      family: 'bad body',
      bytes: render(withLength(requestOf('content', { target, body }))),
      outcome: 'goes-on',
    };
  });

/** Every family of this file. */
export const content: readonly Family[] = [
  controlInHeader,
  doubledHeader,
  noHost,
  tooLarge,
  tooMany,
  expectation,
  encodingHeaders,
  badCredential,
  badFields,
  badParameters,
  badBase64,
  randomFields,
  badBody,
];
