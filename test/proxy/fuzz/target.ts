/**
 * Request targets and methods that lead past the gate, or that two servers read in two ways. All else about them is
 * allowed. Listed in families.ts. Source: RFC 9112 3.2 (request target), MS-ASHTTP 2.2.1.1.1 (query).
 */
import fc from 'fast-check';
import {
  allowedId,
  eas,
  encodedTarget,
  type Hostile,
  plainTarget,
  render,
  requestOf,
  withLength,
} from './request.ts';

type Family = fc.Arbitrary<Hostile>;

const oneOf = <T>(...values: T[]) => fc.constantFrom(...values);

/** A whole request with this line. */
const lineOf = (family: string, line: string, outcome: Hostile['outcome'] = 'goes-on'): Hostile => ({
  family,
  bytes: render({ ...withLength(requestOf('target')), line }),
  outcome,
});
const targetOf = (family: string, target: string): Hostile => lineOf(family, `POST ${target} HTTP/1.1`);

const query = plainTarget().slice(eas.length);
const word = fc.stringMatching(/^[A-Za-z0-9]{1,12}$/);

const elsewhere: Family = fc
  .tuple(
    oneOf(
      '/owa/',
      '/ecp/',
      '/mapi/emsmdb',
      '/rpc/rpcproxy.dll',
      '/powershell',
      '/oab/',
      '/',
      '/EWS/x',
      '/api/v2.0/me',
      '/%00',
    ),
    word,
  )
  .map(([path, more]) => targetOf('another path', `${path}${more}${query}`));

const traversal: Family = fc
  .tuple(
    fc.array(oneOf('..', '%2e%2e', '%2E.', '..;', '..%00', '.', '%252e%252e', '..%c0%af', '', '..\\'), {
      minLength: 1,
      maxLength: 5,
    }),
    oneOf('/', '%2f', '\\', '%5c', '//', '/./'),
    oneOf('owa', 'EWS/Exchange.asmx', 'Microsoft-Server-ActiveSync', 'ecp', ''),
    fc.boolean(),
  )
  .map(([steps, slash, goal, isBehind]) => {
    const way = `${steps.join(slash)}${slash}${goal}`;
    return targetOf('traversal', isBehind ? `${eas}/${way}${query}` : `/${way}${eas}${query}`);
  });

const spelling: Family = fc
  .tuple(fc.integer({ min: 1, max: eas.length - 1 }), oneOf(0, 1, 2, 3, 4, 5))
  .map(([at, kind]) => {
    const char = eas[at] as string;
    const code = char.charCodeAt(0).toString(16);
    const spelt = [`%${code}`, `%u00${code}`, `%25${code}`, `${char}%00`, `${char};a=b`, `${char}/`][kind];
    return targetOf('spelt otherwise', `${eas.slice(0, at)}${spelt}${eas.slice(at + 1)}${query}`);
  });

const absolute: Family = fc
  .tuple(
    oneOf('http', 'https', 'HTTP', 'ftp', 'ws'),
    oneOf('mail.example.org', 'localhost', '127.0.0.1:443', 'a@b', '[::1]'),
  )
  .map(([scheme, host]) => targetOf('absolute URI', `${scheme}://${host}${plainTarget()}`));

const noTarget: Family = oneOf(
  '*',
  'mail.example.org:443',
  'Microsoft-Server-ActiveSync',
  '?Cmd=Sync',
  '#',
  'http:/x',
  '',
).map((target) => lineOf('no path', `POST ${target} HTTP/1.1`, 'ends'));

const method: Family = fc
  .tuple(
    oneOf(
      'GET',
      'PUT',
      'DELETE',
      'PATCH',
      'TRACE',
      'PROPFIND',
      'SEARCH',
      'REPORT',
      'MKCOL',
      'LOCK',
      'COPY',
      'SUBSCRIBE',
    ),
    fc.boolean(),
  )
  .map(([name, isPlain]) =>
    lineOf('method', `${name} ${isPlain ? plainTarget() : encodedTarget()} HTTP/1.1`),
  );

const noMethod: Family = fc
  .tuple(
    oneOf('post', 'POS', 'POSTS', 'P\tOST', 'PRI', 'SM', '\x00POST', 'PO\xf6ST', ' POST', 'CONNECT'),
    word,
  )
  .map(([name, host]) =>
    lineOf('no method', `${name} ${name === 'CONNECT' ? `${host}:443` : plainTarget()} HTTP/1.1`, 'ends'),
  );

const options: Family = oneOf(
  `${eas}?DeviceId=a&DeviceId=b`,
  `${eas}?DeviceId=%41`,
  `${eas}?Cmd=Sync?DeviceId=a`,
  '*',
  `${eas}/x`,
  `${eas}?!`,
).map((target) => {
  const { headers } = requestOf('target');
  return {
    family: 'OPTIONS',
    bytes: render({ line: `OPTIONS ${target} HTTP/1.1`, headers, body: '' }),
    outcome: 'goes-on',
  };
});

const optionsWithBody: Family = fc.string({ minLength: 1, maxLength: 60 }).map((text) => {
  const body = [...text].map((char) => String.fromCharCode(char.charCodeAt(0) & 0xff)).join('');
  const parts = withLength(requestOf('target', { body }));
  return {
    family: 'OPTIONS with a body',
    bytes: render({ ...parts, line: `OPTIONS ${eas} HTTP/1.1` }),
    outcome: 'goes-on',
  };
});

const doubled: Family = fc
  .tuple(
    oneOf('Cmd', 'User', 'DeviceId', 'DeviceType', 'CollectionId', 'AttachmentName'),
    fc.boolean(),
    word,
    fc.boolean(),
  )
  .map(([name, isUpper, value, isFirst]) => {
    const [one, two] = [
      `${name}=${allowedId}`,
      `${isUpper ? name.toUpperCase() : name.toLowerCase()}=${value}`,
    ];
    const pair = isFirst ? `${two}&${one}` : `${one}&${two}`;
    return targetOf('doubled name', `${plainTarget()}&${pair}`);
  });

const encodedName: Family = fc
  .tuple(
    oneOf('Cmd', 'User', 'DeviceId', 'DeviceType'),
    fc.nat({ max: 2 }),
    word,
    oneOf('', '%20', '%00', '+', '[]', '.'),
  )
  .map(([name, at, value, more]) => {
    const code = name.charCodeAt(at).toString(16);
    return targetOf(
      'encoded name',
      `${plainTarget()}&${name.slice(0, at)}%${code}${name.slice(at + 1)}${more}=${value}`,
    );
  });

const secondMark: Family = fc
  .tuple(oneOf('?', '#', '??', '&?', '%3f?'), word)
  .map(([mark, value]) =>
    targetOf("second '?'", `${plainTarget()}${mark}Cmd=FolderSync&DeviceId=${value}&DeviceType=x`),
  );

const badValue: Family = fc
  .tuple(
    oneOf('%0d%0aX-Evil:1', '%00', '%', '%4', '%zz', '%26Cmd=Sync', '%3fx', '%23', '%0A', '%7f', '%1b[0m'),
    oneOf('User', 'DeviceType', 'Cmd', 'DeviceId'),
  )
  .map(([spoil, name]) =>
    targetOf(
      'bad value',
      plainTarget().replace(new RegExp(`(${name}=[A-Za-z0-9]+)`), (match) => `${match}${spoil}`),
    ),
  );

const badId: Family = fc
  .tuple(
    oneOf(
      '',
      "a'b",
      'a/b',
      '../x',
      'a%20b',
      'a,b',
      'a:b',
      'a|b',
      `${allowedId}%41`,
      `${allowedId}+`,
      '(x)',
      'a;b',
    ),
    fc.nat({ max: 80 }),
  )
  .map(([id, length]) => targetOf('bad id', plainTarget(length > 64 ? 'A'.repeat(length) : id)));

const badCommand: Family = fc
  .tuple(word, oneOf('', '%53ync', 'Sync%20', 'GetHierarchy', 'Sync,Ping', 'Sync;'))
  .map(([name, fixed]) =>
    targetOf('bad command', plainTarget().replace('Cmd=Sync', `Cmd=${fixed === '' ? `X${name}` : fixed}`)),
  );

const missing: Family = oneOf(
  '',
  '?',
  '?&',
  '?=',
  '?Cmd=Sync',
  '?DeviceId=ABC123',
  '?User=alice&Cmd=Sync',
  '?&Cmd=Sync&DeviceId=ABC123',
  '?Cmd',
).map((rest) => targetOf('missing parts', `${eas}${rest}`));

const long: Family = fc
  .integer({ min: 8_200, max: 20_000 })
  .map((length) => targetOf('long query', plainTarget().replace('alice', 'a'.repeat(length))));

const rawBytes: Family = fc
  .tuple(fc.nat({ max: 60 }), oneOf('\x00', '\x01', '\x08', '\x0b', '\x1f', '\x7f', '\t', '\r', '\n'))
  .map(([at, byte]) => {
    const target = plainTarget();
    const where = 1 + (at % (target.length - 1));
    return lineOf(
      'control byte in the target',
      `POST ${target.slice(0, where)}${byte}${target.slice(where)} HTTP/1.1`,
      'ends',
    );
  });

const highBytes: Family = fc
  .tuple(fc.nat({ max: 60 }), fc.integer({ min: 0x80, max: 0xff }))
  .map(([at, byte]) => {
    const target = plainTarget();
    const where = 1 + (at % (target.length - 1));
    return lineOf(
      'high byte in the target',
      `POST ${target.slice(0, where)}${String.fromCharCode(byte)}${target.slice(where)} HTTP/1.1`,
      'ends',
    );
  });

/** The answer to HEAD has a length but no body, so that only the end of the connection says that it is over. */
const head: Family = word.map((more) => lineOf('HEAD', `HEAD ${plainTarget()}&X=${more} HTTP/1.1`, 'waits'));

/** Every family of this file. */
export const target: readonly Family[] = [
  elsewhere,
  traversal,
  spelling,
  absolute,
  noTarget,
  method,
  noMethod,
  head,
  options,
  optionsWithBody,
  doubled,
  encodedName,
  secondMark,
  badValue,
  badId,
  badCommand,
  missing,
  long,
  rawBytes,
  highBytes,
];
