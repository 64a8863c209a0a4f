/** Behind balancers: PROXY headers and X-Forwarded-For are believed from trustedProxies and from nobody else. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { openClientAddresses } from '../../proxy/client-address.ts';
import { openBalancer, proxyV2 } from './balancer.ts';
import {
  basic,
  healthy,
  openFeed,
  openMailServer,
  openProxy,
  openStage,
  post,
  raw,
  syncTarget,
  verdictLine,
} from './stage.ts';

const request = `POST ${syncTarget} HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic('alice')}\r\nContent-Length: 0\r\n\r\n`;
const behind = (settings: object = {}) => ({
  trustedProxies: ['127.0.0.0/8'],
  proxyProtocol: true,
  ...settings,
});
/** Client, rule and reason of the logged requests. */
const logged = (lines: readonly Record<string, unknown>[]) =>
  lines.filter(({ msg }) => msg === 'request').map(({ remote, rule, reason }) => [remote, rule, reason]);

test('PROXY of both versions names the client, in one packet or byte by byte, and LOCAL leaves the own address', async (t) => {
  const { mail, proxy } = await openStage(t, undefined, behind());
  const version1 = 'PROXY TCP6 2001:db8::7 ::1 56324 443\r\n';
  assert.match(await raw(proxy.port, version1 + request), /^HTTP\/1.1 200/);
  assert.match(
    await raw(proxy.port, Buffer.concat([proxyV2('192.0.2.7'), Buffer.from(request)])),
    /^HTTP\/1.1 200/,
  );
  const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
  assert.match(await raw(proxy.port, Buffer.concat([local, Buffer.from(request)])), /^HTTP\/1.1 200/);
  const slow = connect({ port: proxy.port, host: '127.0.0.1', noDelay: true });
  for (const byte of proxyV2('192.0.2.8', Buffer.alloc(3))) {
    slow.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  slow.write(request);
  const [answer] = (await once(slow, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1.1 200/);
  slow.destroy();
  const clients = ['2001:db8::7', '192.0.2.7', '127.0.0.1', '192.0.2.8'];
  assert.deepEqual(
    mail.seen.map(({ headers }) => headers['x-forwarded-for']),
    clients,
  );
  while (logged(proxy.lines).length < 4) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    logged(proxy.lines).map(([client]) => client),
    clients,
  );
});

test('a header that is missing, malformed, late or cut short closes the connection unanswered, and the log says why', async (t) => {
  const { mail, proxy } = await openStage(t, undefined, behind(), { listenerTiming: { proxyHeaderMs: 150 } });
  assert.equal(await raw(proxy.port, request), '');
  assert.equal(await raw(proxy.port, `PROXY TCP4 192.0.2.7 127.0.0.1 0x1 1\r\n${request}`), '');
  assert.equal(await raw(proxy.port, 'PROXY TCP4'), '');
  const check = connect(proxy.port, '127.0.0.1').resume();
  check.end();
  await once(check, 'close');
  const short = connect(proxy.port, '127.0.0.1');
  short.end('PROXY');
  await once(short, 'close');
  await proxy.until(({ reason }) => /ended before/.test(String(reason)));
  assert.equal(mail.seen.length, 0);
  const reasons = logged(proxy.lines).map(([client, rule, reason]) => {
    assert.deepEqual([client, rule], ['127.0.0.1', 'balancer']);
    return reason;
  });
  assert.deepEqual(reasons, [
    'the connection does not start with a PROXY header',
    'the PROXY line is malformed',
    'the PROXY header did not arrive in time',
    'the connection ended before its PROXY header',
  ]);
});

test('a PROXY header from another address than the trusted ones is not even read', async (t) => {
  const { mail, proxy } = await openStage(t, undefined, behind({ trustedProxies: ['10.0.0.0/8', '::1'] }));
  assert.equal(await raw(proxy.port, Buffer.concat([proxyV2('192.0.2.7'), Buffer.from(request)])), '');
  assert.deepEqual(logged(proxy.lines), [['127.0.0.1', 'balancer', 'the address is none of trustedProxies']]);
  assert.equal(mail.seen.length, 0);
});

test('the PROXY header comes before TLS: in one packet with the hello, and bytes that are no TLS are survived', async (t) => {
  const [mail, feed] = [await openMailServer(t), await openFeed(t)];
  const tls = { selfSigned: { hostName: '127.0.0.1' } };
  const settings = { backend: { url: mail.url }, serverUrl: feed.url, tls, ...behind() };
  const proxy = await openProxy(t, settings);
  await healthy(proxy);
  const ca = readFileSync(join(proxy.config.stateDir, 'mail', 'tls.crt'));
  const garbage = connect(proxy.port, '127.0.0.1').on('error', () => {});
  garbage.write(
    Buffer.concat([proxyV2('192.0.2.9'), Buffer.from('no TLS at all, but long enough to be read')]),
  );
  garbage.resume();
  await once(garbage, 'close');
  const plain = connect(proxy.port, '127.0.0.1');
  await once(plain, 'connect');
  // Held back until the hello is there, so that both arrive together.
  plain.cork();
  plain.write(proxyV2('192.0.2.7'));
  const socket = connectTls({ socket: plain, ca, host: '127.0.0.1' });
  setImmediate(() => plain.uncork());
  await once(socket, 'secureConnect');
  socket.write(request);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1.1 200/);
  socket.destroy();
  assert.equal(mail.seen[0]?.headers['x-forwarded-for'], '192.0.2.7');
});

test('X-Forwarded-For is believed from trusted addresses, from right to left, and never passed on as it came', async (t) => {
  const trusting = await openStage(t, undefined, { trustedProxies: ['127.0.0.1', '10.0.0.0/8'] });
  const wary = await openStage(t);
  const headers = { 'x-forwarded-for': '198.51.100.1, 192.0.2.7, 10.1.2.3', forwarded: 'for=198.51.100.1' };
  await post(trusting.proxy.port, { headers });
  await post(wary.proxy.port, { headers });
  await post(wary.proxy.port, { headers, user: 'eve' });
  const sent = (stage: typeof wary) =>
    stage.mail.seen.map(({ headers: { forwarded, ...of } }) => [of['x-forwarded-for'], forwarded]);
  assert.deepEqual(sent(trusting), [['192.0.2.7', undefined]]);
  assert.deepEqual(sent(wary), [['127.0.0.1', undefined]]);
  await wary.proxy.until(({ decision }) => decision === 'deny');
  assert.deepEqual(
    logged(wary.proxy.lines).map(([client]) => client),
    ['127.0.0.1', '127.0.0.1'],
  );
});

test('hops of X-Forwarded-For: with ports, of trusted machines only, and senseless ones', () => {
  const addresses = openClientAddresses(['10.0.0.0/8', 'fd00::/8']);
  const of = (forwardedFor?: string, remoteAddress = '::ffff:10.0.0.1') =>
    addresses.of({ remoteAddress } as never, forwardedFor);
  assert.equal(of(), '10.0.0.1');
  assert.equal(of('192.0.2.7:4711'), '192.0.2.7');
  assert.equal(of('[2001:db8::7]:4711,fd00::1'), '2001:db8::7');
  assert.equal(of('10.0.0.3, 10.0.0.2'), '10.0.0.3');
  assert.equal(of('192.0.2.7, unknown'), '10.0.0.1');
  assert.equal(of('192.0.2.7, 10.0.0.2\t,'), '10.0.0.1');
  assert.equal(of('192.0.2.7', '192.0.2.9'), '192.0.2.9');
  assert.equal(addresses.of({} as never), null);
});

const denied = verdictLine({ access: 'deny', reason: 'rooted', position: '20' });

/** Two proxies of one tenant behind one balancer. */
const openPair = async (t: TestContext) => {
  const [mail, feed] = [await openMailServer(t), await openFeed(t)];
  const settings = { backend: { url: mail.url }, serverUrl: feed.url, ...behind() };
  const pair = [await openProxy(t, settings), await openProxy(t, settings)] as const;
  for (const proxy of pair) await healthy(proxy);
  const balancer = await openBalancer(t, [pair[0].port, pair[1].port], '192.0.2.7');
  return { mail, feed, pair, balancer };
};

test('behind a balancer a verdict reaches both proxies, and a proxy that drains sends its phones to the other', async (t) => {
  const { mail, feed, pair, balancer } = await openPair(t);
  const ask = () => raw(balancer.port, request);
  assert.match(await ask(), /^HTTP\/1.1 200/);
  assert.match(await ask(), /^HTTP\/1.1 200/);
  assert.deepEqual(balancer.taken, [pair[0].port, pair[1].port]);
  assert.ok(mail.seen.every(({ headers }) => headers['x-forwarded-for'] === '192.0.2.7'));
  const held = () => {
    const answer = post(balancer.port, { target: syncTarget.replace('Cmd=Sync', 'Cmd=Ping') });
    return answer.then((response) => [response.status, response.headers.get('connection')]);
  };
  mail.stage.answer = () => {};
  const arrived = once(mail.events, 'request');
  const ping = held();
  await arrived;
  await Promise.all([ping, pair[0].drain()]);
  assert.deepEqual(await ping, [200, 'close']);
  const moved = once(mail.events, 'request');
  const second = held();
  await moved;
  assert.equal(balancer.taken.at(-1), pair[1].port);
  for (const { send } of feed.stage.connections) send([denied]);
  assert.deepEqual((await second)[0], 403);
  mail.stage.answer = undefined;
  assert.match(await ask(), /^HTTP\/1.1 403/);
});

test('a verdict that turns is refused by every proxy behind the balancer', async (t) => {
  const { feed, pair, balancer } = await openPair(t);
  for (const { send } of feed.stage.connections) send([denied]);
  for (const proxy of pair) await healthy(proxy, ({ position }) => position === '20');
  for (const _ of pair) assert.match(await raw(balancer.port, request), /^HTTP\/1.1 403[\s\S]*rooted/);
  assert.deepEqual(balancer.taken, [pair[0].port, pair[1].port]);
});
