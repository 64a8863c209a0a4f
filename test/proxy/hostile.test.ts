/** Hostile bytes at the public socket: a correct refusal, nothing at the mail server, and the proxy lives on. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import {
  basic,
  easBody,
  healthy,
  openFeed,
  openMailServer,
  openProxy,
  openStage,
  post,
  raw,
  syncTarget,
} from './stage.ts';

const auth = `Authorization: ${basic('alice')}\r\n`;
const request = (parts: { line?: string; head?: string; body?: string }) =>
  `${parts.line ?? `POST ${syncTarget} HTTP/1.1`}\r\nHost: x\r\n${auth}${parts.head ?? 'Content-Length: 0\r\n'}\r\n${parts.body ?? ''}`;
const target = (from: string, to: string) =>
  request({ line: `POST ${syncTarget.replace(from, to)} HTTP/1.1` });

const cases: readonly (readonly [string, string | Buffer, RegExp])[] = [
  [
    'length and transfer-encoding',
    request({ head: 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', body: '0\r\n\r\n' }),
    /^HTTP\/1.1 400/,
  ],
  [
    'transfer-encoding and length',
    request({ head: 'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', body: '0\r\n\r\n' }),
    /^HTTP\/1.1 400/,
  ],
  [
    'two lengths',
    request({ head: 'Content-Length: 4\r\nContent-Length: 5\r\n', body: 'abcde' }),
    /^HTTP\/1.1 400/,
  ],
  [
    'the same length twice',
    request({ head: 'Content-Length: 4\r\nContent-Length: 4\r\n', body: 'abcd' }),
    /^HTTP\/1.1 400/,
  ],
  ['a list of lengths', request({ head: 'Content-Length: 4, 4\r\n', body: 'abcd' }), /^HTTP\/1.1 400/],
  ['a signed length', request({ head: 'Content-Length: +4\r\n', body: 'abcd' }), /^HTTP\/1.1 400/],
  [
    'an unknown transfer-encoding',
    request({ head: 'Transfer-Encoding: xchunked\r\n', body: '0\r\n\r\n' }),
    /^HTTP\/1.1 4/,
  ],
  [
    'chunked twice',
    request({ head: 'Transfer-Encoding: chunked, chunked\r\n', body: '0\r\n\r\n' }),
    /^HTTP\/1.1 4/,
  ],
  [
    'transfer-encoding with a space before the colon',
    request({ head: 'Transfer-Encoding : chunked\r\n', body: '0\r\n\r\n' }),
    /^HTTP\/1.1 400/,
  ],
  ['bare line feeds', request({}).replaceAll('\r\n', '\n'), /^HTTP\/1.1 400/],
  ['one bare line feed', request({ head: 'X-A: b\nX-C: d\r\nContent-Length: 0\r\n' }), /^HTTP\/1.1 400/],
  ['a lone carriage return', request({ head: 'X-A: b\rX-C: d\r\nContent-Length: 0\r\n' }), /^HTTP\/1.1 400/],
  ['a folded header', request({ head: 'X-A: b\r\n c\r\nContent-Length: 0\r\n' }), /^HTTP\/1.1 400/],
  [
    'a folded transfer-encoding',
    request({ head: 'Transfer-Encoding:\r\n chunked\r\n', body: '0\r\n\r\n' }),
    /^HTTP\/1.1 400/,
  ],
  ['NUL in a header', request({ head: 'X-A: a\0b\r\nContent-Length: 0\r\n' }), /^HTTP\/1.1 400/],
  ['two hosts', request({ head: 'Host: y\r\nContent-Length: 0\r\n' }), /^HTTP\/1.1 400/],
  ['a host that is none', request({}).replace('Host: x', 'Host: x/@y'), /^HTTP\/1.1 400/],
  [
    'two credentials',
    request({ head: `Authorization: ${basic('eve')}\r\nContent-Length: 0\r\n` }),
    /403[\s\S]*x-muster-reason: request/i,
  ],
  ['no host', `POST ${syncTarget} HTTP/1.1\r\n${auth}Content-Length: 0\r\n\r\n`, /^HTTP\/1.1 400/],
  ['HTTP/0.9', `POST ${syncTarget}\r\n\r\n`, /^HTTP\/1.1 4/],
  [
    'HTTP/1.0 with transfer-encoding',
    request({
      line: `POST ${syncTarget} HTTP/1.0`,
      head: 'Transfer-Encoding: chunked\r\n',
      body: '0\r\n\r\n',
    }),
    /^HTTP\/1.1 400/,
  ],
  ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /^HTTP\/1.1 4/],
  [
    'an absolute URI',
    request({ line: `POST http://evil.example.org${syncTarget} HTTP/1.1` }),
    /403[\s\S]*x-muster-reason: path/i,
  ],
  [
    'CONNECT',
    'CONNECT mail.example.org:443 HTTP/1.1\r\nHost: mail.example.org:443\r\n\r\n',
    /403[\s\S]*x-muster-reason: method/i,
  ],
  ['TRACE', request({ line: `TRACE ${syncTarget} HTTP/1.1` }), /403[\s\S]*x-muster-reason: method/i],
  ['OPTIONS *', request({ line: 'OPTIONS * HTTP/1.1' }), /403[\s\S]*x-muster-reason: path/i],
  [
    'OPTIONS with a body',
    request({
      line: 'OPTIONS /Microsoft-Server-ActiveSync HTTP/1.1',
      head: 'Content-Length: 2\r\n',
      body: 'hi',
    }),
    /403[\s\S]*x-muster-reason: request/i,
  ],
  [
    'traversal',
    target('/Microsoft-Server-ActiveSync', '/Microsoft-Server-ActiveSync/../owa'),
    /403[\s\S]*x-muster-reason: path/i,
  ],
  [
    'encoded traversal',
    target('/Microsoft-Server-ActiveSync', '/Microsoft-Server-ActiveSync/%2e%2e%2fowa'),
    /403[\s\S]*x-muster-reason: path/i,
  ],
  ['an encoded path', target('/Microsoft', '/%4dicrosoft'), /403[\s\S]*x-muster-reason: path/i],
  ['a doubled slash', target('/Microsoft', '//Microsoft'), /403[\s\S]*x-muster-reason: path/i],
  ['two device ids', target('DeviceId', 'DeviceId=EVIL&DeviceId'), /403[\s\S]*x-muster-reason: request/i],
  [
    "a second '?'",
    target('&DeviceType', '?Cmd=FolderSync&DeviceId=EVIL&DeviceType'),
    /403[\s\S]*x-muster-reason: request/i,
  ],
  ['a control byte in the path', target('alice', 'al\x01ice'), /^HTTP\/1.1 400/],
  ['an encoded line feed', target('alice', 'al%0d%0aX-Evil:1'), /403[\s\S]*x-muster-reason: request/i],
  [
    'bad base64',
    request({ line: 'POST /Microsoft-Server-ActiveSync?jAAJBAp2MTQw!! HTTP/1.1' }),
    /403[\s\S]*x-muster-reason: request/i,
  ],
  [
    'truncated fields',
    request({ line: 'POST /Microsoft-Server-ActiveSync?jAAJBAp2MTQw HTTP/1.1' }),
    /403[\s\S]*x-muster-reason: request/i,
  ],
  ['a long query', target('alice', 'a'.repeat(9_000)), /403[\s\S]*x-muster-reason: request/i],
  [
    'oversized headers',
    request({ head: `X-A: ${'a'.repeat(40_000)}\r\nContent-Length: 0\r\n` }),
    /^HTTP\/1.1 431/,
  ],
  ['a TLS hello on the plain port', Buffer.from('16030100a5010000a10303', 'hex'), /^HTTP\/1.1 400/],
  ['random bytes', Buffer.concat([Buffer.from([0]), randomBytes(2_000)]), /^HTTP\/1.1 400/],
  ['nothing but line ends and an end', '\r\n\r\n\x00', /^HTTP\/1.1 400/],
];

test('hostile requests are refused, one by one, and never reach the mail server', async (t) => {
  const { mail, proxy } = await openStage(t);
  for (const [name, bytes, expected] of cases) {
    const answer = await raw(proxy.port, bytes);
    assert.match(answer, expected, name);
    assert.ok(!/^HTTP\/1.1 (401|5)/.test(answer), name);
  }
  assert.deepEqual(
    mail.seen.map(({ url }) => url),
    [],
  );
  assert.equal((await post(proxy.port)).status, 200);
});

test('what HTTP itself forbids is refused in its turn, and is in the access log', async (t) => {
  const { mail, proxy } = await openStage(t);
  const noHost = `POST ${syncTarget} HTTP/1.1\r\n${auth}Content-Length: 0\r\n\r\n`;
  assert.match(await raw(proxy.port, noHost), /^HTTP\/1.1 400 [\s\S]*connection: close/i);
  const odd = request({ head: 'Expect: 200-ok\r\nContent-Length: 0\r\n' });
  assert.match(await raw(proxy.port, odd), /^HTTP\/1.1 417 [\s\S]*connection: close/i);
  // Behind an honest request, the refusal comes behind its answer.
  const honest = `POST ${syncTarget} HTTP/1.1\r\nHost: x\r\n${auth}Content-Type: application/vnd.ms-sync.wbxml\r\n`;
  const both = Buffer.concat([
    Buffer.from(`${honest}Content-Length: ${easBody('Sync').length}\r\n\r\n`),
    easBody('Sync'),
    Buffer.from(noHost),
  ]);
  assert.match(await raw(proxy.port, both), /^HTTP\/1.1 200 [\s\S]*HTTP\/1.1 400 /);
  assert.equal(mail.seen.length, 1);
  const logged = proxy.lines
    .filter(({ msg, rule }) => msg === 'request' && rule === 'protocol')
    .map(({ status, reason }) => [status, reason]);
  assert.deepEqual(logged, [
    [400, 'HTTP/1.1 without Host'],
    [417, 'an expectation that nobody can meet'],
    [400, 'HTTP/1.1 without Host'],
  ]);
});

test('a request smuggled in the body of another stays a body', async (t) => {
  const { mail, proxy } = await openStage(t);
  const inner = easBody(
    'Sync',
    request({ line: `POST ${syncTarget.replace('ABC123', 'EVIL')} HTTP/1.1` }),
  ).toString('latin1');
  const chunk = `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`;
  assert.match(
    await raw(proxy.port, request({ head: 'Transfer-Encoding: chunked\r\n', body: chunk })),
    /^HTTP\/1.1 200/,
  );
  assert.match(
    await raw(proxy.port, request({ head: `Content-Length: ${inner.length}\r\n`, body: inner })),
    /^HTTP\/1.1 200/,
  );
  assert.deepEqual(
    mail.seen.map(({ body }) => body.toString()),
    [inner, inner],
  );
});

test('a refused body is read away and the connection serves the next request', async (t) => {
  const { mail, proxy } = await openStage(t);
  const refused = target('ABC123', 'OTHER').replace('Content-Length: 0', 'Content-Length: 5');
  const answer = await raw(
    proxy.port,
    `${refused}hello${request({ head: 'Content-Length: 0\r\nConnection: close\r\n' })}`,
  );
  assert.match(answer, /^HTTP\/1.1 403 /);
  assert.ok(mail.seen.every(({ url }) => url === syncTarget.replace('Cmd=Sync', 'Cmd=Sync')));
});

test('what follows a message whose end is in doubt is not served', async (t) => {
  const { mail, proxy } = await openStage(t);
  const inner = request({});
  const chunked = `1\r\nx\r\n0\r\n\r\n${inner}`;
  const doubtful = [
    request({ head: 'Transfer-Encoding: gzip, chunked\r\n', body: chunked }),
    request({ head: 'Transfer-Encoding: ,chunked\r\n', body: chunked }),
    request({ head: 'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n', body: chunked }),
    request({
      line: `POST ${syncTarget} HTTP/1.0`,
      head: 'Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n',
      body: chunked,
    }),
    request({ head: 'Host: y\r\nContent-Length: 0\r\n', body: inner }),
  ];
  for (const bytes of doubtful) {
    const answer = await raw(proxy.port, bytes);
    assert.match(answer, /^HTTP\/1.1 400[\s\S]*x-muster-reason: protocol/i, bytes);
    assert.match(answer, /\r\nconnection: close\r\n/i, bytes);
    assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1, bytes);
  }
  assert.deepEqual(mail.seen, []);
});

test('no header is lost behind many others: a length, an encoding or a credential there counts', async (t) => {
  const { mail, proxy } = await openStage(t);
  const many = (count: number) => Array.from({ length: count }, (_, at) => `X-${at}: y\r\n`).join('');
  for (const last of [
    'Transfer-Encoding: chunked\r\n',
    `Content-Length: 0\r\nAuthorization: ${basic('eve')}\r\n`,
    'Content-Length: 0\r\n',
  ])
    assert.match(
      await raw(
        proxy.port,
        request({ head: `${many(200)}${last}`, body: last.startsWith('T') ? '0\r\n\r\n' : '' }),
      ),
      /^HTTP\/1.1 403[\s\S]*x-muster-reason: request[\s\S]*too many headers/i,
      last,
    );
  assert.deepEqual(mail.seen, []);
  assert.match(
    await raw(proxy.port, request({ head: `${many(90)}Content-Length: 0\r\n` })),
    /^HTTP\/1.1 200/,
  );
});

test('a Basic credential with more padding than belongs to it names nobody', async (t) => {
  const { mail, proxy } = await openStage(t);
  const padded = request({}).replace(basic('alice'), `${basic('alice')}=`);
  assert.match(await raw(proxy.port, padded), /^HTTP\/1.1 403[\s\S]*x-muster-reason: credential/i);
  assert.deepEqual(mail.seen, []);
});

test('a connection keeps nothing of the many requests that are refused on it', async (t) => {
  const { mail, proxy } = await openStage(t);
  const warnings: Error[] = [];
  const warn = (warning: Error) => void warnings.push(warning);
  process.on('warning', warn);
  t.after(() => process.off('warning', warn));
  const refused = target('ABC123', 'OTHER').replace('Content-Length: 0', 'Content-Length: 5');
  const last = request({ head: 'Content-Length: 0\r\nConnection: close\r\n' });
  const client = connect(proxy.port, '127.0.0.1');
  client.write(`${`${refused}hello`.repeat(40)}${last}`);
  let answers = '';
  for await (const chunk of client) answers += chunk;
  assert.equal(answers.match(/HTTP\/1\.1 403/g)?.length, 40);
  assert.equal(mail.seen.length, 1);
  // Node warns of the eleventh listener of a kind.
  assert.deepEqual(warnings, []);
});

test('slow headers, slow bodies and handshakes are given up while an honest long poll lives on', async (t) => {
  const [mail, feed] = [await openMailServer(t), await openFeed(t)];
  const listenerTiming = { handshakeMs: 100, headersMs: 100, checkMs: 50, idleBodyMs: 100 };
  const settings = { backend: { url: mail.url }, serverUrl: feed.url };
  const plain = await openProxy(t, settings, { listenerTiming });
  const tls = { selfSigned: { hostName: '127.0.0.1' } };
  const secure = await openProxy(t, { ...settings, tls }, { listenerTiming });
  for (const proxy of [plain, secure]) await healthy(proxy);
  const held = new Promise<ServerResponse>((resolve) => {
    mail.stage.answer = (req, res) => {
      if (/Cmd=Ping/.test(req.url ?? '')) resolve(res);
    };
  });
  const ping = post(plain.port, { target: syncTarget.replace('Cmd=Sync', 'Cmd=Ping') });
  const poll = await held;
  assert.match(await raw(plain.port, `POST ${syncTarget} HTTP/1.1\r\nHost: x\r\nX-A: `), /^HTTP\/1.1 408/);
  assert.equal(await raw(plain.port, request({ head: 'Content-Length: 9\r\n', body: 'half' })), '');
  // Nothing at all, half a record, and bytes that are no TLS.
  for (const bytes of ['', '1603010200', '504f5354202f20485454502f312e310d0a0d0a']) {
    const answer = await raw(secure.port, Buffer.from(bytes, 'hex'));
    assert.ok(!/HTTP/.test(answer), bytes);
  }
  const dropped = secure.lines
    .filter(({ msg }) => msg === 'request')
    .map(({ status, rule }) => [status, rule]);
  assert.deepEqual(dropped, Array(3).fill([null, 'protocol']));
  poll.end('changes');
  const response = await ping;
  assert.deepEqual([response.status, await response.text()], [200, 'changes']);
});
