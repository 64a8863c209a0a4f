/**
 * Requests whose end can be read in two ways, or in none: how requests are smuggled. All else about them is allowed, so
 * that their framing alone must get them refused. Listed in families.ts.
 * Source: RFC 9112 2.2 (line ends), 5.2 (folding), 6.1-6.3 (lengths), 7.1 (chunks), 11.2 (request smuggling).
 */
import fc from 'fast-check';
import { type Hostile, type Parts, render, requestOf, smuggled } from './request.ts';

type Family = fc.Arbitrary<Hostile>;

const oneOf = <T>(...values: T[]) => fc.constantFrom(...values);
const ends = (family: string, bytes: string): Hostile => ({ family, bytes, outcome: 'ends' });

/** The request with these lines put in among its headers at `place`. */
const spoiled = (lines: readonly string[], body: string, place: number, tag = 'framing'): Parts => {
  const parts = requestOf(tag, { body });
  const at = place % (parts.headers.length + 1);
  return { ...parts, headers: [...parts.headers.slice(0, at), ...lines, ...parts.headers.slice(at)] };
};

const place = fc.nat({ max: 5 });
/** Any spelling of a word. */
const anyCase = (word: string) =>
  fc
    .array(fc.boolean(), { minLength: word.length, maxLength: word.length })
    .map((upper) =>
      [...word].map((char, at) => (upper[at] ? char.toUpperCase() : char.toLowerCase())).join(''),
    );

const chunked = (data: string): string => `${data.length.toString(16)}\r\n${data}\r\n0\r\n\r\n`;

/** Bodies of which one reading ends early and leaves a whole request behind. */
const doubleBody = oneOf(
  `0\r\n\r\n${smuggled}`,
  chunked(smuggled),
  smuggled,
  `1\r\nx\r\n0\r\n\r\n${smuggled}`,
);

const bothLengths: Family = fc
  .tuple(
    anyCase('transfer-encoding'),
    anyCase('chunked'),
    doubleBody,
    fc.nat({ max: 400 }),
    fc.boolean(),
    place,
  )
  .map(([name, value, body, length, isFirst, at]) => {
    const lines = [`Content-Length: ${length}`, `${name}: ${value}`];
    return ends('both lengths', render(spoiled(isFirst ? lines : lines.reverse(), body, at)));
  });

const oddEncoding: Family = fc
  .tuple(
    oneOf(
      'xchunked',
      'chunked, identity',
      'identity, chunked',
      'gzip, chunked',
      'chunked, chunked',
      'chunked;q=1',
      '"chunked"',
      '\x0bchunked',
      'chunked\x0b',
      'chunked,',
      ',chunked',
      'chunke\x00d',
      'chunked\x7f',
      'gzip',
      'identity',
      'cow',
      '',
    ),
    doubleBody,
    place,
  )
  .map(([value, body, at]) =>
    ends('odd transfer-encoding', render(spoiled([`Transfer-Encoding: ${value}`], body, at))),
  );

const twoEncodings: Family = fc
  .tuple(oneOf('chunked', 'identity', 'gzip', 'x'), oneOf('chunked', 'identity', 'cow'), doubleBody, place)
  .map(([first, second, body, at]) =>
    ends(
      'two transfer-encodings',
      render(spoiled([`Transfer-Encoding: ${first}`, `transfer-encoding: ${second}`], body, at)),
    ),
  );

const oddLength: Family = fc
  .tuple(fc.nat({ max: 500 }), fc.nat({ max: 10 }), place)
  .map(([length, kind, at]) => {
    const values = [
      `+${length}`,
      `-${length + 1}`,
      `0x${length.toString(16)}`,
      `${length}a`,
      `${length} ${length}`,
      `${length},${length}`,
      `${length}, ${length + 1}`,
      `${length}.0`,
      '99999999999999999999999999',
      `1e${length}`,
      `"${length}"`,
    ];
    return ends('odd length', render(spoiled([`Content-Length: ${values[kind]}`], smuggled, at)));
  });

const twoLengths: Family = fc
  .tuple(fc.nat({ max: 500 }), fc.nat({ max: 500 }), anyCase('content-length'), place)
  .map(([first, second, name, at]) =>
    ends('two lengths', render(spoiled([`Content-Length: ${first}`, `${name}: ${second}`], smuggled, at))),
  );

/** Numbers of line ends to spoil, at least one. */
const someOf = (count: number) =>
  fc.uniqueArray(fc.nat({ max: count - 1 }), { minLength: 1, maxLength: count });

const requestWithLength = (): string[] =>
  render(spoiled([`Content-Length: ${smuggled.length}`], '', 3)).split('\r\n');

const bareLineFeeds: Family = someOf(requestWithLength().length - 1).map((spoiledEnds) => {
  const lines = requestWithLength();
  const bytes = lines.map((line, at) =>
    at === lines.length - 1 ? line : `${line}${spoiledEnds.includes(at) ? '\n' : '\r\n'}`,
  );
  return ends('bare line feed', `${bytes.join('')}${smuggled}`);
});

const loneReturn: Family = fc
  .tuple(fc.nat({ max: 400 }), oneOf('\r', '\r\r', '\rX: y'))
  .map(([at, spoil]) => {
    const bytes = requestWithLength().join('\r\n');
    const head = bytes.indexOf('\r\n\r\n');
    const where = 5 + (at % (head - 5));
    // Not before a line feed, where it would be half of an honest line end.
    const free = bytes[where] === '\n' || bytes[where] === '\r' ? where + 2 : where;
    return ends('lone carriage return', `${bytes.slice(0, free)}${spoil}${bytes.slice(free)}${smuggled}`);
  });

const folded: Family = fc
  .tuple(
    oneOf('X-Note: a', 'Transfer-Encoding:', 'Content-Length:', 'Cookie: a', 'User-Agent: x', 'Host: y'),
    oneOf(' ', '\t', '  \t'),
    oneOf('chunked', '5', 'b', 'Content-Length: 5'),
    place,
  )
  .map(([first, space, second, at]) =>
    ends('folded header', render(spoiled([first, `${space}${second}`, 'Content-Length: 0'], smuggled, at))),
  );

const oddName: Family = fc
  .tuple(
    oneOf(
      'Transfer-Encoding ',
      ' Transfer-Encoding',
      'Transfer-Encoding\t',
      'Content-Length ',
      'Transfer Encoding',
      'Content-Length\x00',
      '"Content-Length"',
      'X(Y)',
      'X@Y',
      'X\xe9Y',
      '',
    ),
    oneOf('chunked', '5'),
    place,
  )
  .map(([name, value, at]) =>
    ends('odd header name', render(spoiled([`${name}: ${value}`, 'Content-Length: 0'], smuggled, at + 1))),
  );

/** Chunks that break in the middle. What was sound before has been passed on, but the request must never be complete. */
const brokenChunks: Family = fc
  .tuple(
    fc.string({ minLength: 1, maxLength: 40 }).filter((text) => !/[^\x20-\x7e]/.test(text)),
    oneOf<(data: string, size: string) => string>(
      (data, size) => `0x${size}\r\n${data}\r\n0\r\n\r\n`,
      (data, size) => `-${size}\r\n${data}\r\n0\r\n\r\n`,
      (data, size) => `+${size}\r\n${data}\r\n0\r\n\r\n`,
      (data, size) => ` ${size}\r\n${data}\r\n0\r\n\r\n`,
      (data, size) => `${size}_\r\n${data}\r\n0\r\n\r\n`,
      (data, size) => `${size}\n${data}\n0\n\n`,
      (data, size) => `${size}\r\n${data}0\r\n\r\n`,
      (data, size) => `${size}\r\n${data}xx\r\n0\r\n\r\n`,
      (data, size) => `${size}\r\n${data}\r\n`.concat('g\r\n\r\n'),
      (data) => `fffffffffffffffffff\r\n${data}\r\n0\r\n\r\n`,
      (data, size) => `${size};\x00\r\n${data}\r\n0\r\n\r\n`,
      (data, size) => `${size};a=b\n${data}\r\n0\r\n\r\n`,
      (data, size) => `${size}\r\n${data}\r\n0\r\nX: a\n\r\n`,
      (data, size) => `${size}\r\n${data}\r\n0\r\nX y: a\r\n\r\n`,
      (data, size) => `${size}\r\n${data}\r\n0\r\n folded\r\n\r\n`,
      (data) => `\r\n${data}\r\n0\r\n\r\n`,
    ),
    place,
  )
  .map(([data, write, at]) => {
    const body = `${write(data, data.length.toString(16))}${smuggled}`;
    return ends('broken chunks', render(spoiled(['Transfer-Encoding: chunked'], body, at, 'broken')));
  });

const versions: Family = oneOf(
  'HTTP/0.9',
  'HTTP/1.2',
  'HTTP/2.0',
  'HTTP/3',
  'http/1.1',
  'HTTP/1.1 x',
  'HTTP/01.1',
  'HTCPCP/1.0',
  '',
).map((version) => {
  const parts = spoiled(['Content-Length: 0'], smuggled, 5);
  return ends('odd version', render({ ...parts, line: parts.line.replace('HTTP/1.1', version) }));
});

const oldWithChunks: Family = doubleBody.map((body) => {
  const parts = spoiled(['Transfer-Encoding: chunked', 'Connection: keep-alive'], body, 5);
  return ends('chunks in HTTP/1.0', render({ ...parts, line: parts.line.replace('HTTP/1.1', 'HTTP/1.0') }));
});

/** Every family of this file. */
export const framing: readonly Family[] = [
  bothLengths,
  oddEncoding,
  twoEncodings,
  oddLength,
  twoLengths,
  bareLineFeeds,
  loneReturn,
  folded,
  oddName,
  brokenChunks,
  versions,
  oldWithChunks,
];
