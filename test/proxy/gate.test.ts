/** Requests through real sockets: what reaches the mail server and how, what is refused and how, and what is logged. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { statusBody } from '../../proxy/wbxml.ts';
import {
  basic,
  easBody,
  folder,
  healthy,
  openFeed,
  openMailServer,
  openProxy,
  openStage,
  post,
  raw,
  readAll,
  syncTarget,
  verdictLine,
} from './stage.ts';

test('a compliant device of its user is served: rebuilt query and headers, body and answer untouched', async (t) => {
  const { mail, proxy } = await openStage(t);
  const answered = once(mail.events, 'request');
  mail.stage.answer = (req, res) =>
    void readAll(req).then((body) =>
      res
        .writeHead(200, {
          'content-type': 'application/vnd.ms-sync.wbxml',
          'x-answer': '1',
          'set-cookie': ['a=1', 'b=2'],
        })
        .end(body),
    );
  const response = await post(proxy.port, {
    target: '/microsoft-server-activesync?user=alice&deviceid=abc123&DeviceType=iPhone&cmd=sync&Evil=1',
    body: Buffer.from('03016a0045', 'hex'),
    headers: {
      'x-ms-policykey': '7',
      'x-original-url': '/owa',
      'x-forwarded-for': '9.9.9.9',
      'user-agent': 'Apple-iPhone14C2',
    },
  });
  const [req] = (await answered) as [IncomingMessage];
  assert.equal(response.status, 200);
  assert.equal(await response.text(), '\x03\x01j\x00E');
  assert.equal(response.headers.get('x-answer'), '1');
  assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2']);
  assert.equal(req.url, '/Microsoft-Server-ActiveSync?User=alice&DeviceId=abc123&DeviceType=iPhone&Cmd=Sync');
  assert.equal(req.headers['x-ms-policykey'], '7');
  assert.equal(req.headers['user-agent'], 'Apple-iPhone14C2');
  assert.equal(req.headers['x-original-url'], undefined);
  assert.equal(req.headers['x-forwarded-for'], '127.0.0.1');
  assert.equal(req.headers.host, new URL(mail.url).host);
});

test('the encoded form is served alike and its version and key headers go', async (t) => {
  const { mail, proxy } = await openStage(t, [verdictLine({ easDeviceId: 'v140device' })]);
  const query = 'jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l';
  const response = await post(proxy.port, {
    target: `/Microsoft-Server-ActiveSync?${query}`,
    headers: { 'ms-asprotocolversion': '16.1', 'x-ms-policykey': '7', 'ms-asacceptmultipart': 'T' },
  });
  assert.equal(response.status, 200);
  const [seen] = mail.seen;
  assert.equal(seen?.url, `/Microsoft-Server-ActiveSync?${query}`);
  assert.equal(seen?.headers['ms-asprotocolversion'], undefined);
  assert.equal(seen?.headers['x-ms-policykey'], undefined);
  assert.equal(seen?.headers['ms-asacceptmultipart'], 'T');
});

test('hop-by-hop headers and those that Connection names do not pass', async (t) => {
  const { mail, proxy } = await openStage(t);
  const answer = await raw(
    proxy.port,
    `POST ${syncTarget} HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic('alice')}\r\nConnection: close, X-MS-PolicyKey\r\nX-MS-PolicyKey: 7\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: Basic eA==\r\nContent-Length: 0\r\n\r\n`,
  );
  assert.match(answer, /^HTTP\/1.1 200 /);
  for (const name of ['x-ms-policykey', 'te', 'upgrade', 'proxy-authorization'])
    assert.equal(mail.seen[0]?.headers[name], undefined, name);
});

test('a denied device that is to be wiped gets through with Provision alone, until the wipe is over', async (t) => {
  const denied = { access: 'deny', reason: 'the device is lost' };
  const { mail, feed, proxy } = await openStage(t, [verdictLine({ ...denied, wipePending: true })]);
  const provision = syncTarget.replace('Cmd=Sync', 'Cmd=Provision');
  const body = easBody('Provision');
  const tried = async (options: Parameters<typeof post>[1]) => {
    const response = await post(proxy.port, options);
    await response.arrayBuffer();
    return [response.status, response.headers.get('x-muster-reason')];
  };
  assert.deepEqual(await tried({ target: provision, body }), [200, null]);
  assert.deepEqual(mail.seen[0]?.body, body);
  assert.deepEqual(await tried({ target: provision, body: easBody('FolderSync') }), [403, 'body']);
  assert.deepEqual(await tried({ target: provision }), [449, 'wipe']);
  // Whatever else it asks for, it is told to provision: by HTTP before 14.0, by the command's own status from then on.
  assert.deepEqual(await tried({ body: easBody('Sync') }), [449, 'wipe']);
  assert.deepEqual(await tried({ body }), [449, 'wipe']);
  const told = await post(proxy.port, {
    body: easBody('Sync'),
    headers: { 'ms-asprotocolversion': '14.1', 'content-type': 'application/vnd.ms-sync.wbxml' },
  });
  assert.deepEqual([told.status, told.headers.get('x-muster-reason')], [200, 'wipe']);
  assert.deepEqual(Buffer.from(await told.arrayBuffer()), statusBody('Sync', 140));
  assert.deepEqual(await tried({ target: provision, body, user: 'eve' }), [403, 'user']);
  feed.send(verdictLine({ ...denied, position: '11' }), { kind: 'position', position: '11' });
  await healthy(proxy, ({ position }) => position === '11');
  assert.deepEqual(await tried({ target: provision, body }), [403, 'verdict']);
  assert.equal(mail.seen.length, 1);
});

test('a refusal is 403 with its rule and reason, never 401, nothing reaches the mail server, and one line is logged', async (t) => {
  const { mail, proxy } = await openStage(t, [
    verdictLine({ access: 'deny', reason: 'the device is rooted' }),
  ]);
  const response = await post(proxy.port);
  assert.equal(response.status, 403);
  assert.equal(response.headers.get('x-muster-reason'), 'verdict');
  assert.equal(response.headers.get('www-authenticate'), null);
  assert.match(await response.text(), /the device is rooted/);
  const line = await proxy.until(({ msg }) => msg === 'request');
  assert.deepEqual(
    [
      line['user'],
      line['deviceId'],
      line['cmd'],
      line['decision'],
      line['rule'],
      line['reason'],
      line['status'],
    ],
    ['alice', 'ABC123', 'Sync', 'deny', 'verdict', 'the device is rooted', 403],
  );
  assert.equal(typeof line['durationMs'], 'number');
  assert.equal(mail.seen.length, 0);
});

test('everything that is not a known device of its user is refused', async (t) => {
  const { mail, proxy } = await openStage(t);
  const cases: [string, Parameters<typeof post>[1]][] = [
    ['device', { target: syncTarget.replace('ABC123', 'OTHER') }],
    ['user', { user: 'eve' }],
    ['credential', { authorization: null }],
    ['credential', { authorization: 'NTLM TlRMTVNTUAAB' }],
    ['method', { method: 'GET' }],
    ['path', { target: '/EWS/Exchange.asmx' }],
    ['autodiscover', { target: '/autodiscover/autodiscover.xml' }],
    ['request', { target: '/Microsoft-Server-ActiveSync' }],
    [
      'request',
      {
        method: 'OPTIONS',
        target: syncTarget.replace('DeviceId', 'DeviceId=x&DeviceId'),
        authorization: null,
      },
    ],
  ];
  for (const [rule, request] of cases) {
    const response = await post(proxy.port, request);
    assert.deepEqual(
      [response.status, response.headers.get('x-muster-reason')],
      [403, rule],
      JSON.stringify(request),
    );
    await response.text();
  }
  assert.equal(mail.seen.length, 0);
});

test('credentials are in no log line', async (t) => {
  const { proxy } = await openStage(t);
  await post(proxy.port);
  await post(proxy.port, { user: 'eve' });
  await raw(
    proxy.port,
    `POST ${syncTarget} HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic('alice')}\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n`,
  );
  const text = JSON.stringify(proxy.lines);
  assert.ok(
    !text.includes('secret') && !text.includes(basic('alice').slice(6)) && !text.includes('proxy-token'),
  );
  assert.ok(proxy.lines.filter(({ msg }) => msg === 'request').length >= 3);
});

test('OPTIONS without a device is passed and its answer offers Basic and Bearer only', async (t) => {
  const { mail, proxy } = await openStage(t);
  mail.stage.answer = (_req, res) =>
    void res.writeHead(401, { 'www-authenticate': ['Negotiate', 'NTLM', 'Basic realm="mail"'] }).end();
  const response = await post(proxy.port, {
    method: 'OPTIONS',
    target: '/Microsoft-Server-ActiveSync',
    authorization: null,
  });
  assert.equal(response.status, 401);
  assert.equal(response.headers.get('www-authenticate'), 'Basic realm="mail"');
});

test('451 sends the device to this proxy, not to another server', async (t) => {
  const { mail, proxy } = await openStage(t);
  mail.stage.answer = (_req, res) =>
    void res
      .writeHead(451, { 'x-ms-location': 'https://internal.example.org/Microsoft-Server-ActiveSync' })
      .end();
  const response = await post(proxy.port);
  assert.equal(response.status, 451);
  assert.equal(response.headers.get('x-ms-location'), 'https://mail.example.org/Microsoft-Server-ActiveSync');
});

test('account set-up as DeviceId=validate is judged by its body, which still arrives whole', async (t) => {
  const { mail, proxy } = await openStage(t);
  const target = syncTarget.replace('ABC123', 'validate').replace('Cmd=Sync', 'Cmd=FolderSync');
  const folderSync = Buffer.concat([Buffer.from('03016a00000756', 'hex'), randomBytes(50_000)]);
  assert.equal((await post(proxy.port, { target, body: folderSync })).status, 200);
  assert.deepEqual(mail.seen[0]?.body, folderSync);
  for (const body of [Buffer.from('03016a0045', 'hex'), Buffer.from('x'), undefined]) {
    const response = await post(proxy.port, { target, ...(body ? { body } : {}) });
    assert.deepEqual([response.status, response.headers.get('x-muster-reason')], [403, 'validate']);
  }
  assert.equal((await post(proxy.port, { target, body: folderSync, user: 'eve' })).status, 403);
  assert.equal(mail.seen.length, 1);
});

test('25 MB pass in both directions without being held in memory, by length and chunked', async (t) => {
  const { mail, proxy } = await openStage(t);
  const block = randomBytes(1024 * 1024);
  // Each block starts as a Sync does: the first of them must.
  easBody('Sync').copy(block);
  const expected = createHash('sha256');
  for (let count = 0; count < 25; count += 1) expected.update(block);
  const digest = expected.digest('hex');
  let peak = 0;
  let bytes = 0;
  mail.stage.answer = (req, res) => {
    const hash = createHash('sha256');
    req.on('data', (chunk) => {
      hash.update(chunk);
      bytes += chunk.length;
      if (bytes < 2 ** 20) return;
      bytes = 0;
      peak = Math.max(peak, liveBuffers());
    });
    req.on('end', () => {
      res.writeHead(200, { 'x-digest': hash.digest('hex') });
      Readable.from(blocks(block)).pipe(res);
    });
  };
  const before = liveBuffers();
  for (const headers of [
    { 'content-length': String(25 * block.length) },
    { 'transfer-encoding': 'chunked' },
  ]) {
    const client = httpRequest(`http://127.0.0.1:${proxy.port}${syncTarget}`, {
      method: 'POST',
      agent: false,
      headers: { authorization: basic('alice'), ...headers },
    });
    Readable.from(blocks(block)).pipe(client);
    const [response] = (await once(client, 'response')) as [IncomingMessage];
    assert.equal(response.headers['x-digest'], digest);
    const received = createHash('sha256');
    for await (const chunk of response) {
      received.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      // A slow reader: everybody else gets turns to run ahead of it.
      for (let turn = 0; turn < 5; turn += 1) await nextTurn();
      if (bytes < 2 ** 20) continue;
      bytes = 0;
      peak = Math.max(peak, liveBuffers());
    }
    assert.equal(received.digest('hex'), digest);
  }
  t.diagnostic(`buffers peaked at ${peak - before} bytes`);
  assert.ok(peak > before && peak - before < 12 * 1024 * 1024, `buffers grew by ${peak - before} bytes`);
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes in buffers that something still holds. */
const liveBuffers = (): number => {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
};

async function* blocks(block: Buffer): AsyncGenerator<Buffer> {
  for (let count = 0; count < 25; count += 1) yield block;
}

test('headers of a long poll are passed before its body, and a client that leaves ends it at the mail server', async (t) => {
  const { mail, proxy } = await openStage(t);
  mail.stage.answer = (_req, res) => void res.writeHead(200, { 'x-held': '1' }).flushHeaders();
  const arrived = once(mail.events, 'request');
  const leaving = new AbortController();
  const response = await post(proxy.port, {
    target: syncTarget.replace('Cmd=Sync', 'Cmd=Ping'),
    signal: leaving.signal,
  });
  assert.equal(response.headers.get('x-held'), '1');
  const [, held] = (await arrived) as [IncomingMessage, ServerResponse];
  const ended = once(held, 'close');
  leaving.abort();
  await ended;
  const line = await proxy.until(({ msg }) => msg === 'request');
  assert.equal(line['fault'], 'the client left');
});

test('a client that leaves in the middle of its body ends the request at the mail server', async (t) => {
  const { mail, proxy } = await openStage(t);
  const aborted = new Promise((resolve) => {
    mail.stage.answer = (req) =>
      void req
        .once('data', () => client.destroy())
        .once('close', resolve)
        .on('error', () => {});
  });
  const client = connect(proxy.port, '127.0.0.1');
  client.write(
    `POST ${syncTarget} HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic('alice')}\r\nContent-Length: 100000\r\n\r\n`,
  );
  client.write(easBody('Sync', 'half'));
  await aborted;
});

test('the mail server may answer before it has read the body', async (t) => {
  const { mail, proxy } = await openStage(t);
  mail.stage.answer = (_req, res) => void res.writeHead(413, { connection: 'close' }).end('too large');
  const client = connect(proxy.port, '127.0.0.1');
  client.on('error', () => {});
  client.write(
    `POST ${syncTarget} HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic('alice')}\r\nContent-Length: 10000000\r\n\r\n`,
  );
  client.write(easBody('Sync', 'x'.repeat(100_000)));
  let text = '';
  for await (const chunk of client) {
    text += chunk;
    if (text.includes('too large')) break;
  }
  assert.match(text, /^HTTP\/1.1 413 /);
  client.destroy();
  mail.stage.answer = undefined;
  assert.equal((await post(proxy.port)).status, 200);
});

test('Expect: 100-continue is answered for a welcome body and not for an unwelcome one', async (t) => {
  const { mail, proxy } = await openStage(t);
  const sync = easBody('Sync', 'hi');
  const head = (user: string) =>
    `POST ${syncTarget} HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(user)}\r\nContent-Length: ${sync.length}\r\nExpect: 100-continue\r\n\r\n`;
  const client = connect(proxy.port, '127.0.0.1');
  client.write(head('alice'));
  const [interim] = (await once(client, 'data')) as [Buffer];
  assert.match(interim.toString(), /^HTTP\/1.1 100 /);
  client.write(sync);
  const [final] = (await once(client, 'data')) as [Buffer];
  assert.match(final.toString(), /^HTTP\/1.1 200 /);
  client.destroy();
  assert.deepEqual(mail.seen[0]?.body, sync);
  const refused = await raw(proxy.port, head('eve'));
  assert.match(refused, /^HTTP\/1.1 403 [\s\S]*connection: close/i);
  assert.equal(mail.seen.length, 1);
});

test('an unreachable mail server is 503 with Retry-After, a senseless answer 502, a broken one a broken connection', async (t) => {
  const feed = await openFeed(t);
  const nobody = await openProxy(t, {
    // Nothing listens on the ports that only the system may open.
    backend: { url: 'http://127.0.0.1:1' },
    serverUrl: feed.url,
  });
  await healthy(nobody);
  const unreachable = await post(nobody.port, { body: easBody('Sync') });
  assert.deepEqual([unreachable.status, unreachable.headers.get('retry-after')], [503, '30']);
  const { mail, proxy } = await openStage(t);
  mail.stage.answer = (req) => void req.socket.end('nonsense\r\n\r\n');
  assert.equal((await post(proxy.port)).status, 502);
  mail.stage.answer = (req, res) => {
    res.writeHead(200, { 'content-length': '10' }).write('12345');
    setImmediate(() => req.socket.destroy());
  };
  await assert.rejects(async () => (await post(proxy.port)).text());
});

test('over TLS: served, garbage is survived, and a private CA of the mail server is honoured', async (t) => {
  const path = folder(t);
  const [certFile, keyFile] = [join(path, 'cert.pem'), join(path, 'key.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      keyFile,
      '-out',
      certFile,
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
    ],
    { stdio: 'ignore' },
  );
  const tls = { certFile, keyFile };
  const mail = await openMailServer(t);
  const feed = await openFeed(t);
  const inner = await openProxy(t, { backend: { url: mail.url }, serverUrl: feed.url, tls });
  await healthy(inner);
  const outer = await openProxy(t, {
    backend: { url: `https://127.0.0.1:${inner.port}`, caFile: certFile },
    serverUrl: feed.url,
    tls,
  });
  await healthy(outer);
  await raw(outer.port, randomBytes(300));
  await raw(outer.port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const client = httpsRequest(`https://127.0.0.1:${outer.port}${syncTarget}`, {
    method: 'POST',
    agent: false,
    ca: readFileSync(certFile),
    headers: { authorization: basic('alice') },
  });
  client.end(easBody('Sync', readFileSync(certFile)));
  const [response] = (await once(client, 'response')) as [IncomingMessage];
  response.resume();
  assert.equal(response.statusCode, 200);
  assert.deepEqual(mail.seen[0]?.body, easBody('Sync', readFileSync(certFile)));
  assert.equal(mail.seen.length, 1);
});
