/** The proxy's own HTTP over sockets: what it makes of odd but honest clients and of mail servers of every kind. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { makeCertificate } from '../own-certificate.ts';
import {
  basic,
  easBody,
  healthy,
  openFeed,
  openProxy,
  openStage,
  raw,
  readAll,
  syncTarget,
} from '../stage.ts';

const auth = `Authorization: ${basic('alice')}\r\n`;
const head = (more = '', line = `POST ${syncTarget} HTTP/1.1`) => `${line}\r\nHost: x\r\n${auth}${more}\r\n`;
const empty = head('Content-Length: 0\r\n');
const last = head('Content-Length: 0\r\nConnection: close\r\n');

/** A mail server that answers the nth request on all its connections with the nth of these bytes. */
const openScripted = async (t: TestContext, ...script: readonly (string | ((socket: Socket) => void))[]) => {
  const sockets: Socket[] = [];
  let received = '';
  let answered = 0;
  const server = createServer((socket) => {
    sockets.push(socket);
    let pending = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      pending += chunk.toString('latin1');
      if (!pending.endsWith('\r\n\r\n')) return;
      pending = '';
      const answer = script[answered] ?? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
      answered += 1;
      if (typeof answer === 'function') answer(socket);
      else socket.write(answer, 'latin1');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const feed = await openFeed(t);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxy = await openProxy(t, { backend: { url }, serverUrl: feed.url });
  await healthy(proxy);
  return { proxy, sockets, received: () => received };
};

/** All that a connection answers to `bytes` until it is closed. */
const all = async (port: number, bytes: string): Promise<string> => {
  const socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
  let text = '';
  for await (const chunk of socket) text += (chunk as Buffer).toString('latin1');
  return text;
};

const statuses = (answers: string): string[] =>
  [...answers.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status as string);

test('requests sent ahead are answered in their order, byte by byte as well', async (t) => {
  const { mail, proxy } = await openStage(t);
  const body = `${easBody('Sync').toString('latin1')}and more than the gate has to see`;
  const whole = `${empty}${head(`Content-Length: ${body.length}\r\n`)}${body}\r\n${head('Transfer-Encoding: chunked\r\n')}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n${last}`;
  assert.deepEqual(statuses(await all(proxy.port, whole)), ['200', '200', '200', '200']);
  const socket = connect(proxy.port, '127.0.0.1');
  socket.setNoDelay(true);
  for (const byte of Buffer.from(whole, 'latin1')) {
    if (!socket.write(Buffer.from([byte]))) await once(socket, 'drain');
    await new Promise(setImmediate);
  }
  let text = '';
  for await (const chunk of socket) text += chunk;
  assert.deepEqual(statuses(text), ['200', '200', '200', '200']);
  const bodies = mail.seen.map((seen) => seen.body.toString('latin1'));
  assert.deepEqual(bodies, ['', body, body, '', '', body, body, '']);
  // Not every mail server reads chunks: a small body has its length, whether it came in one piece or in many.
  for (const { headers } of mail.seen) assert.equal(headers['transfer-encoding'], undefined);
});

test('an answer of any framing reaches the client whole, and its connection is used again where that is safe', async (t) => {
  const ends = 'HTTP/1.1 200 OK\r\n\r\nuntil the end';
  const { proxy, sockets } = await openScripted(
    t,
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\n',
    'HTTP/1.1 204 No Content\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    (socket) => void socket.end(ends),
    'HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold',
  );
  const answers = await all(proxy.port, `${empty.repeat(7)}${last}`);
  assert.deepEqual(statuses(answers), ['200', '200', '204', '304', '200', '200', '200', '200']);
  assert.match(answers, /content-length: 5\r\n[\s\S]*?\r\n\r\nfirstHTTP/);
  assert.match(answers, /transfer-encoding: chunked\r\n[\s\S]*?\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nHTTP/);
  assert.match(answers, /204 No Content\r\n(?:(?!content-length)[^\r]+\r\n)+\r\nHTTP/);
  assert.match(answers, /304 Not Modified\r\n[\s\S]*?content-length: 99\r\n[\s\S]*?\r\n\r\nHTTP/);
  assert.match(answers, /\r\n\r\nd\r\nuntil the end\r\n0\r\n\r\nHTTP/);
  // One until it said close, one until its end, one of HTTP/1.0, and the last.
  assert.equal(sockets.length, 4);
});

test('an answer that makes no sense is 502, or is cut where it stopped to', async (t) => {
  const head200 = 'HTTP/1.1 200 OK\r\n';
  const senseless = [
    `${head200}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
    `${head200}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${head200}Transfer-Encoding: gzip\r\n\r\nabc`,
    `${head200}Bad Name: x\r\n\r\n`,
    'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n',
    `${head200}X: ${'y'.repeat(70_000)}\r\n\r\n`,
    'no HTTP at all\r\n\r\n',
  ];
  const { proxy } = await openScripted(t, ...senseless);
  for (const text of senseless)
    assert.match(await raw(proxy.port, empty), /^HTTP\/1.1 502 /, text.slice(0, 80));
  const cut = [
    `${head200}Content-Length: 10\r\n\r\nabc`,
    `${head200}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n`,
    `${head200}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`,
  ];
  for (const text of cut) {
    const { proxy: other } = await openScripted(t, (socket) => void socket.end(text));
    const answer = await all(other.port, last);
    assert.match(answer, /^HTTP\/1.1 200 [\s\S]*abc/, text);
    assert.ok(!answer.endsWith('0\r\n\r\n') && !answer.includes('content-length: 3\r\n'), text);
    const line = await other.until(({ msg }) => msg === 'request');
    assert.ok(line['fault'], text);
  }
});

test('what a mail server says unasked is nobody’s answer', async (t) => {
  const { proxy, sockets } = await openScripted(
    t,
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged',
  );
  const answers = await all(proxy.port, `${empty}${last}`);
  assert.deepEqual(statuses(answers), ['200', '200']);
  assert.ok(!answers.includes('forged'));
  assert.equal(sockets.length, 2);
});

test('a connection that the mail server closes between two requests is not used for the next', async (t) => {
  const { proxy, sockets } = await openScripted(t);
  assert.match(await raw(proxy.port, empty), /^HTTP\/1.1 200 /);
  const [first] = sockets as [Socket];
  first.end();
  await once(first, 'close');
  assert.match(await raw(proxy.port, empty), /^HTTP\/1.1 200 /);
  assert.equal(sockets.length, 2);
});

test('a mail server that ends connections behind its answers without saying so gets a new one for each request', async (t) => {
  const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  const used = new Set<Socket>();
  const answerOnce = (socket: Socket) => {
    // What comes over a connection that it has given up is lost.
    if (used.has(socket)) return socket.destroy();
    used.add(socket);
    return socket.write(ok);
  };
  const ended = (socket: Socket) => socket.end(ok);
  const { proxy, sockets } = await openScripted(t, ended, answerOnce, answerOnce);
  let now = 1_000;
  t.mock.method(performance, 'now', () => now);
  const status = async () => statuses(await all(proxy.port, last))[0];
  assert.equal(await status(), '200');
  if (!sockets[0]?.destroyed) await once(sockets[0] as Socket, 'close');
  assert.deepEqual([await status(), await status(), sockets.length], ['200', '200', 3]);
  // One that it kept for a second shows that it keeps them.
  now += 1_000;
  assert.deepEqual([await status(), await status(), sockets.length], ['200', '200', 3]);
});

test('HTTP/1.0 is answered without chunks and closed; nothing but the path asked for is sent on', async (t) => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n';
  const { proxy, received } = await openScripted(t, chunked);
  const answer = await all(proxy.port, head('Content-Length: 0\r\n', `POST ${syncTarget} HTTP/1.0`));
  assert.match(answer, /^HTTP\/1.1 200 OK\r\n(?:(?!transfer-encoding)[^\r]+\r\n)+\r\nabc$/);
  assert.match(answer, /\r\nconnection: close\r\n/);
  assert.ok(received().startsWith(`POST ${syncTarget} HTTP/1.1\r\nhost: 127.0.0.1:`));
});

test('over TLS a client names the HTTP that it speaks, the older one too, and one that speaks neither gets no handshake', async (t) => {
  const { certFile, keyFile, cert } = makeCertificate(t, 'serverAuth');
  const { proxy } = await openStage(t, undefined, { tls: { certFile, keyFile } });
  const ask = async (protocols: string[], version: string): Promise<string | undefined> => {
    const socket = connectTls({ port: proxy.port, host: '127.0.0.1', ca: cert, ALPNProtocols: protocols });
    socket.write(
      head('Content-Length: 0\r\nConnection: close\r\n', `POST ${syncTarget} HTTP/${version}`),
      'latin1',
    );
    const text = (await readAll(socket)).toString('latin1');
    return `${socket.alpnProtocol} ${statuses(text)}`;
  };
  assert.equal(await ask(['http/1.0'], '1.0'), 'http/1.0 200');
  assert.equal(await ask(['h2', 'http/1.0', 'http/1.1'], '1.1'), 'http/1.1 200');
  await assert.rejects(ask(['h2'], '1.1'), /alert no application protocol/);
});

test('a client that waits for 100 is asked for its body once nothing else refuses it, and only then', async (t) => {
  const { mail, proxy } = await openStage(t);
  const body = easBody('Sync').toString('latin1');
  const expecting = (target: string) =>
    head(`Expect: 100-Continue\r\nContent-Length: ${body.length}\r\n`, `POST ${target} HTTP/1.1`);
  const socket = connect(proxy.port, '127.0.0.1', () => socket.write(expecting(syncTarget)));
  const [first] = (await once(socket, 'data')) as [Buffer];
  assert.equal(first.toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
  socket.write(body, 'latin1');
  const [second] = (await once(socket, 'data')) as [Buffer];
  assert.match(second.toString(), /^HTTP\/1.1 200 OK/);
  socket.destroy();
  assert.equal(mail.seen.length, 1);
  const refused = await all(proxy.port, expecting(syncTarget.replace('ABC123', 'OTHER')));
  assert.deepEqual([statuses(refused), /connection: close/.test(refused)], [['403'], true]);
});

test('a client that takes nothing of its answer is given up, and with it the request at the mail server', async (t) => {
  const listenerTiming = { idleBodyMs: 100, checkMs: 50 };
  const { mail, proxy } = await openStage(t, undefined, {}, { listenerTiming });
  const ended = new Promise<void>((resolve) => {
    mail.stage.answer = (_req, res) => {
      res.on('error', () => {}).on('close', resolve);
      const more = (): void => void res.write(Buffer.alloc(2 ** 20), more);
      more();
    };
  });
  const socket = connect(proxy.port, '127.0.0.1', () => socket.write(empty));
  socket.on('error', () => {});
  socket.pause();
  await ended;
  const line = await proxy.until(({ msg }) => msg === 'request');
  assert.equal(line['fault'], 'the client left');
  socket.destroy();
});
