/** The PROXY header, with the examples of its specification: what is sound, incomplete and refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readProxyHeader } from '../../proxy/proxy-protocol.ts';
import { proxyV2 } from './balancer.ts';

const line = (text: string) => readProxyHeader(Buffer.from(text, 'latin1'));
const binary = (hex: string) => readProxyHeader(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const signature = '0d0a0d0a000d0a515549540a';

test('version 1: the lines of the specification', () => {
  const longest4 = 'PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n';
  const wide = Array.from({ length: 8 }, () => 'ffff').join(':');
  const longest6 = `PROXY TCP6 ${wide} ${wide} 65535 65535\r\n`;
  const longestUnknown = `PROXY UNKNOWN ${wide} ${wide} 65535 65535\r\n`;
  assert.deepEqual([longest4.length, longest6.length, longestUnknown.length], [56, 104, 107]);
  assert.deepEqual(line(longest4), { kind: 'read', lengthBytes: 56, source: '255.255.255.255' });
  assert.deepEqual(line(longest6), { kind: 'read', lengthBytes: 104, source: wide });
  assert.deepEqual(line(longestUnknown), { kind: 'read', lengthBytes: 107, source: null });
  assert.deepEqual(line('PROXY UNKNOWN\r\n'), { kind: 'read', lengthBytes: 15, source: null });
  const example = 'PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n';
  assert.deepEqual(line(`${example}GET / HTTP/1.1\r\nHost: 192.168.0.11\r\n\r\n`), {
    kind: 'read',
    lengthBytes: example.length,
    source: '192.168.0.1',
  });
});

test('version 2: TCP over IPv4 and IPv6 with fields behind, LOCAL and UNSPEC', () => {
  const four = `${signature} 21 11 000c c0000207 0a000001 dc04 01bb`;
  assert.deepEqual(binary(four), { kind: 'read', lengthBytes: 28, source: '192.0.2.7' });
  // ALPN "h2" (0x01), then a unique id (0x05).
  const fields = '01 0002 6832 05 0004 01020304';
  const withFields = four.replace('000c', '0018') + fields;
  assert.deepEqual(binary(withFields), { kind: 'read', lengthBytes: 40, source: '192.0.2.7' });
  const six = `${signature} 21 21 0024 20010db8000000000000000000000007 20010db8000000000000000000000001 dc04 01bb`;
  assert.deepEqual(binary(six), { kind: 'read', lengthBytes: 52, source: '2001:db8::7' });
  assert.deepEqual(binary(`${signature} 20 00 0000`), { kind: 'read', lengthBytes: 16, source: null });
  // What a LOCAL header says of addresses is to be skipped.
  assert.deepEqual(binary(four.replace(' 21 11', ' 20 11')), { kind: 'read', lengthBytes: 28, source: null });
  assert.deepEqual(binary(`${signature} 21 00 0003 010000`), { kind: 'read', lengthBytes: 19, source: null });
});

const unsound: readonly (readonly [string, Buffer])[] = [
  ['HTTP without a header', Buffer.from('POST / HTTP/1.1\r\n')],
  ['a TLS hello without a header', Buffer.from('160301', 'hex')],
  ['lower case', Buffer.from('proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n')],
  ['another protocol', Buffer.from('PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n')],
  ['IPv6 as TCP4', Buffer.from('PROXY TCP4 ::1 ::1 1 1\r\n')],
  ['IPv4 as TCP6', Buffer.from('PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n')],
  ['leading zeros of a port', Buffer.from('PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n')],
  ['a port too large', Buffer.from('PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n')],
  ['an address too large', Buffer.from('PROXY TCP4 1.1.1.256 1.1.1.1 1 1\r\n')],
  ['two spaces', Buffer.from('PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n')],
  ['something behind', Buffer.from('PROXY TCP4 1.1.1.1 1.1.1.1 1 1 x\r\n')],
  ['a port missing', Buffer.from('PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n')],
  ['a line feed alone', Buffer.from(`PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n${' '.repeat(80)}`)],
  ['no end within 107 bytes', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(93)}\r\n`)],
  ['version 3', Buffer.from(`${signature}31110000`, 'hex')],
  ['an unknown command', Buffer.from(`${signature}22110000`, 'hex')],
  ['UDP', Buffer.from(`${signature}2112000cc00002070a000001dc0401bb`, 'hex')],
  ['a UNIX socket', Buffer.from(`${signature}213100d8`, 'hex')],
  ['too short for its addresses', Buffer.from(`${signature}2111000400000000`, 'hex')],
  ['longer than anybody needs', Buffer.from(`${signature}2111ffff`, 'hex')],
  ['a field beyond the end', Buffer.from(`${signature}2111000fc00002070a000001dc0401bb010005`, 'hex')],
  ['half a field', Buffer.from(`${signature}2111000ec00002070a000001dc0401bb0100`, 'hex')],
];
for (const [name, bytes] of unsound)
  test(`refused: ${name}`, () => assert.equal(readProxyHeader(bytes).kind, 'unsound'));

test('every beginning of a sound header asks for more, and what follows it is not looked at', () => {
  const sound = [Buffer.from('PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n'), proxyV2('192.0.2.7', Buffer.alloc(9))];
  for (const header of sound) {
    for (let length = 0; length < header.length; length += 1)
      assert.equal(readProxyHeader(header.subarray(0, length)).kind, 'partial', String(length));
    const whole = readProxyHeader(Buffer.concat([header, Buffer.from('PROXY TCP4 1')]));
    assert.equal(whole.kind === 'read' && whole.lengthBytes, header.length);
  }
});

test('law: no bytes make it throw or wait for more than its bounds', () => {
  const start = fc.constantFrom(Buffer.from('PROXY '), Buffer.from(`${signature}21`, 'hex'), Buffer.alloc(0));
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 300 }), (head, rest) => {
      const bytes = Buffer.concat([head, rest]);
      const header = readProxyHeader(bytes);
      if (header.kind === 'partial') assert.ok(bytes.length < 4_096);
      if (header.kind === 'read') assert.ok(header.lengthBytes <= bytes.length);
    }),
  );
});
