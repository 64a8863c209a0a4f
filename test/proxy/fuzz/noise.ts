/**
 * Bytes with little or no sense: noise, requests with a few bytes changed, requests that stop in the middle, and whatever
 * is not TLS at the port for TLS. Listed in families.ts.
 */
import fc from 'fast-check';
import {
  allowedId,
  type Hostile,
  plainTarget,
  render,
  requestOf,
  smuggled,
  unknownId,
  withLength,
} from './request.ts';

type Family = fc.Arbitrary<Hostile>;

const oneOf = <T>(...values: T[]) => fc.constantFrom(...values);
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const noise = (maxLength: number) => fc.uint8Array({ minLength: 1, maxLength }).map(latin1);

const random: Family = noise(400).map((bytes) => ({ family: 'noise', bytes, outcome: 'waits' }));

/** A request that is refused as it is: whatever a few changed bytes make of it must be refused too. */
const refused = render(withLength(requestOf('mutant', { target: plainTarget(unknownId), user: 'eve' })));

const mutant: Family = fc
  .array(
    fc.record({
      at: fc.nat({ max: refused.length - 1 }),
      drop: fc.nat({ max: 4 }),
      put: fc.oneof(
        noise(4),
        oneOf('\r\n', '\n', ' ', ':', '\0', '?', '&', 'chunked', 'Content-Length: 9\r\n'),
      ),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .map((edits) => {
    let bytes = refused;
    for (const { at, drop, put } of edits) bytes = `${bytes.slice(0, at)}${put}${bytes.slice(at + drop)}`;
    return { family: 'mutant', bytes, outcome: 'waits' };
  });

const whole = render(withLength(requestOf('broken')));
const stopped: Family = fc
  .integer({ min: 1, max: whole.length - 1 })
  .map((length) => ({ family: 'stopped', bytes: whole.slice(0, length), outcome: 'waits' }));

/** A body that is announced longer than it is. */
const tooShort: Family = fc.integer({ min: 1, max: 100_000 }).map((more) => {
  const parts = requestOf('broken');
  return {
    family: 'too short body',
    bytes: render({ ...parts, headers: [...parts.headers, `Content-Length: ${parts.body.length + more}`] }),
    outcome: 'waits',
  };
});

/** A body that is announced shorter than it is, of a device that is refused: the rest is no request. */
const tooLong: Family = fc.tuple(fc.nat({ max: 10 }), noise(60)).map(([length, more]) => {
  const parts = requestOf('content', {
    target: plainTarget(unknownId),
    body: `${'x'.repeat(length)}\0${more}`,
  });
  return {
    family: 'too long body',
    bytes: render({ ...parts, headers: [...parts.headers, `Content-Length: ${length}`] }),
    outcome: 'ends',
  };
});

const hello = '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03';

const helloToPlain: Family = noise(200).map((rest) => ({
  family: 'TLS to the plain port',
  bytes: `${hello}${rest}`,
  outcome: 'ends',
}));

const noTls: Family = fc
  .tuple(
    oneOf(
      hello,
      '\x16\x03\x03\x00\x00',
      '\x15\x03\x01\x00\x02\x02\x28',
      '\x80\x2e\x01\x03\x01',
      '\x17\x03\x03\x40\x01',
      '',
    ),
    noise(300),
  )
  .map(([start, rest]) => ({ family: 'no TLS', bytes: `${start}${rest}`, outcome: 'waits', isForTls: true }));

const plainToTls: Family = oneOf(
  smuggled,
  `GET ${plainTarget(allowedId)} HTTP/1.1\r\n\r\n`,
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
).map((bytes) => ({ family: 'HTTP to the TLS port', bytes, outcome: 'ends', isForTls: true }));

/** Every family of this file. */
export const noises: readonly Family[] = [
  random,
  mutant,
  stopped,
  tooShort,
  tooLong,
  helloToPlain,
  noTls,
  plainToTls,
];
