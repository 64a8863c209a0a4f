/** Client certificates: of the chosen CA only, revocable while connections live, and bound to device or user. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MusterError } from '../../platform/errors.ts';
import { openClientCertificates } from '../../proxy/client-certificates.ts';
import { readListDates } from '../../proxy/crl.ts';
import { type ClientPair, openAuthority } from './authority.ts';
import { basic, folder, healthy, openFeed, openMailServer, openProxy, syncTarget } from './stage.ts';

const pingTarget = syncTarget.replace('Cmd=Sync', 'Cmd=Ping');

const openSite = async (t: TestContext, given: object = {}) => {
  const dir = folder(t);
  const authority = openAuthority(dir, 'devices');
  authority.revoke([]);
  const [mail, feed] = [await openMailServer(t), await openFeed(t)];
  const { caFile, crlFile } = authority;
  const proxy = await openProxy(t, {
    backend: { url: mail.url },
    serverUrl: feed.url,
    tls: { selfSigned: { hostName: '127.0.0.1' } },
    clientCertificates: { caFile, crlFile, ...given },
  });
  await healthy(proxy);
  const ca = readFileSync(join(proxy.config.stateDir, 'mail', 'tls.crt'), 'utf8');
  const agents: Agent[] = [];
  t.after(() => agents.map((agent) => agent.destroy()));
  /** A client that keeps its connection. */
  const client = (pair: Partial<ClientPair>, maxVersion: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3') => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca, maxVersion, ...pair });
    agents.push(agent);
    return async (given: { target?: string; user?: string; method?: string; headers?: object } = {}) => {
      const { target = syncTarget, user = 'alice', method = 'POST', headers = {} } = given;
      const authorization = user === '' ? {} : { authorization: basic(user) };
      const at = { host: '127.0.0.1', port: proxy.port, path: target, method, agent };
      const req = request({ ...at, headers: { ...authorization, ...headers } });
      req.end();
      const [res] = (await once(req, 'response')) as [IncomingMessage];
      let text = '';
      for await (const chunk of res) text += chunk;
      const rule = res.headers['x-muster-reason'] ?? null;
      return { status: res.statusCode, rule, text, wasKept: req.reusedSocket };
    };
  };
  return { dir, authority, mail, feed, proxy, client };
};

test('only certificates of the chosen CA are served, over TLS 1.2 and 1.3; all else is 403, a bare OPTIONS too', async (t) => {
  const { dir, authority, mail, proxy, client } = await openSite(t);
  const good = authority.issue('/CN=whoever');
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    assert.equal((await client(good, version)()).status, 200);
  // A certificate in a header is a claim of anybody's, and never reaches the mail server.
  const claims = {
    'x-client-cert': good.cert.replaceAll('\n', ' '),
    'x-ssl-client-verify': 'SUCCESS',
    'x-arr-clientcert': 'x',
  };
  assert.equal((await client(good)({ headers: claims })).status, 200);
  assert.ok(mail.seen.every(({ rawHeaders }) => !rawHeaders.some((name) => /cert|ssl/i.test(name))));
  const seen = mail.seen.length;
  const other = openAuthority(dir, 'other');
  const sameName = openAuthority(join(dir), 'devices2');
  const strangers: readonly (readonly [Partial<ClientPair>, RegExp])[] = [
    [{}, /the client shows no certificate/],
    [other.issue('/CN=whoever'), /not of the chosen CA/],
    [sameName.issue('/CN=whoever'), /not of the chosen CA/],
    [authority.issue('/CN=whoever', [], 'serverAuth'), /not made for clients/],
  ];
  for (const [pair, reason] of strangers) {
    const answer = await client(pair)({ headers: claims });
    assert.deepEqual([answer.status, answer.rule], [403, 'certificate']);
    assert.match(answer.text, reason);
    const bare = await client(pair)({ method: 'OPTIONS', target: '/Microsoft-Server-ActiveSync', user: '' });
    assert.deepEqual([bare.status, bare.rule], [403, 'certificate']);
  }
  assert.equal(mail.seen.length, seen);
  const line = proxy.lines.find(({ rule, cmd }) => rule === 'certificate' && cmd === 'Sync');
  assert.deepEqual([line?.['user'], line?.['deviceId']], ['alice', 'ABC123']);
});

test('a revocation is honoured at once by held requests, kept and new connections, and nobody else loses one', async (t) => {
  const { authority, mail, proxy, client } = await openSite(t);
  const [lost, kept] = [authority.issue('/CN=lost'), authority.issue('/CN=kept')];
  const [thief, phone, other] = [client(lost), client(kept), client(lost)];
  assert.deepEqual([(await thief()).status, (await phone()).status], [200, 200]);
  mail.stage.answer = () => {};
  const arrived = once(mail.events, 'request');
  const ping = other({ target: pingTarget });
  await arrived;
  mail.stage.answer = undefined;
  authority.revoke([lost]);
  await proxy.reload();
  const { status, wasKept } = await phone();
  // Not left to the next look at all held requests.
  const ended = proxy.lines.filter(({ cmd, rule }) => cmd === 'Ping' && rule === 'certificate');
  assert.equal(ended.length, 1);
  const held = await ping;
  assert.deepEqual([held.status, held.rule, /is revoked/.test(held.text)], [403, 'certificate', true]);
  const again = await thief();
  assert.deepEqual([again.status, again.rule, again.wasKept], [403, 'certificate', true]);
  assert.match((await client(lost)()).text, /is revoked/);
  assert.deepEqual([status, wasKept, (await client(kept)()).status], [200, true, 200]);
  // A list that cannot be used changes nothing.
  writeFileSync(authority.crlFile, 'no list');
  await proxy.reload();
  await proxy.until(({ level, msg }) => level === 50 && /revocation list cannot be used/.test(msg));
  assert.deepEqual([(await client(lost)()).status, (await client(kept)()).status], [403, 200]);
});

test('another CA takes the place of the old one, for kept connections as well', async (t) => {
  const { dir, authority, proxy, client } = await openSite(t, { crlFile: undefined });
  const phone = client(authority.issue('/CN=phone'));
  assert.equal((await phone()).status, 200);
  const next = openAuthority(dir, 'next');
  writeFileSync(authority.caFile, readFileSync(next.caFile));
  await proxy.reload();
  assert.deepEqual(
    [(await phone()).rule, (await client(next.issue('/CN=phone'))()).status],
    ['certificate', 200],
  );
});

test('with bindDevice the certificate names the device or the user of the request', async (t) => {
  const { authority, proxy, client } = await openSite(t, { bindDevice: true });
  const upn = (name: string) => `otherName.1=1.3.6.1.4.1.311.20.2.3;UTF8:${name}`;
  const fitting: readonly (readonly [string, readonly string[]])[] = [
    ['/CN=abc123', []],
    ['/CN=x/serialNumber=ABC123', []],
    ['/CN=dev_1', []],
    ['/CN=x', ['URI.1=muster:device:dev_1']],
    ['/CN=Alice@Example.org', []],
    ['/CN=alice', []],
    ['/CN=x', ['email.1=alice@example.org']],
    ['/CN=x', ['DNS.1=phone', upn('alice@example.org')]],
  ];
  for (const [subject, names] of fitting)
    assert.equal((await client(authority.issue(subject, names))()).status, 200, `${subject} ${names}`);
  const unfitting: readonly (readonly [string, readonly string[]])[] = [
    ['/CN=bob', []],
    ['/CN=ABC1234', []],
    ['/CN=x', ['URI.1=muster:device:dev_2']],
    ['/CN=x', ['URI.1=muster:device:dev_1x']],
    ['/CN=alice@other.org', []],
    ['/CN=x', ['DNS.1=alice@example.org']],
    // One UPN that looks like the list of two names.
    ['/CN=x', [upn('x, email:alice@example.org')]],
  ];
  for (const [subject, names] of unfitting) {
    const answer = await client(authority.issue(subject, names))();
    assert.deepEqual([answer.status, answer.rule], [403, 'certificate'], `${subject} ${names}`);
    assert.match(answer.text, /names neither the device nor the user/);
  }
  const stranger = client(authority.issue('/CN=bob'));
  const bare = await stranger({ method: 'OPTIONS', target: '/Microsoft-Server-ActiveSync', user: '' });
  assert.equal(bare.status, 200, 'OPTIONS without a credential asks for the challenge');
  // Of a user's own certificate another user's device is not served.
  const bob = await client(authority.issue('/CN=bob@example.org'))({ user: 'bob@example.org' });
  assert.deepEqual([bob.status, bob.rule], [403, 'user']);
  const [instance] = proxy.instances;
  const explained = (certificate?: string) =>
    instance?.explain({ deviceId: 'ABC123', user: 'alice', certificate });
  assert.equal(explained()?.rule, 'verdict');
  assert.equal(explained(authority.issue('/CN=alice').cert)?.rule, 'verdict');
  assert.match(explained(authority.issue('/CN=bob').cert)?.reason ?? '', /names neither/);
  assert.match(explained('none')?.reason ?? '', /cannot be read/);
});

test('the dates of lists are read in both forms that a list may have, and one that says no end has none', (t) => {
  const { crlFile, revoke } = openAuthority(folder(t), 'devices');
  const listed = (...dates: string[]) => {
    revoke([], dates);
    return readFileSync(crlFile, 'utf8');
  };
  const long = ['-crl_lastupdate', '491231235959Z', '-crl_nextupdate', '20500203040506Z'];
  const short = ['-crl_lastupdate', '20260102030405Z', '-crl_nextupdate', '260203040506Z'];
  assert.deepEqual(readListDates(listed(...long) + listed(...short)), [
    { thisUpdate: Date.UTC(2049, 11, 31, 23, 59, 59), nextUpdate: Date.UTC(2050, 1, 3, 4, 5, 6) },
    { thisUpdate: Date.UTC(2026, 0, 2, 3, 4, 5), nextUpdate: Date.UTC(2026, 1, 3, 4, 5, 6) },
  ]);
  const der = (tag: number, ...content: Buffer[]): Buffer => {
    const whole = Buffer.concat(content);
    return Buffer.concat([Buffer.from([tag, whole.length]), whole]);
  };
  /** Of version 1, with no signature, which nobody looks at here. */
  const madeOf = (...times: string[]) => {
    const fields = [der(0x30), der(0x30), ...times.map((time) => der(0x17, Buffer.from(time)))];
    const list = der(0x30, der(0x30, ...fields, der(0x30)));
    return `-----BEGIN X509 CRL-----\n${list.toString('base64')}\n-----END X509 CRL-----\n`;
  };
  assert.deepEqual(readListDates(madeOf('500102030405Z')), [
    { thisUpdate: Date.UTC(1950, 0, 2, 3, 4, 5), nextUpdate: null },
  ]);
  for (const wrong of ['2601020304Z', '260102030405+0100', '261302030405Z', ''])
    assert.equal(readListDates(madeOf('260102030405Z', wrong)), undefined, wrong);
  assert.equal(readListDates(madeOf()), undefined);
  assert.equal(readListDates('no list'), undefined);
});

test('files that are no CA and no list are named at the start', (t) => {
  const dir = folder(t);
  const { caFile, crlFile } = openAuthority(dir, 'devices');
  writeFileSync(crlFile, 'nothing');
  const refuses = (settings: { caFile: string; crlFile?: string }, field: string) =>
    assert.throws(
      () => openClientCertificates({ bindDevice: false, ...settings }, 'c'),
      (error: unknown) => error instanceof MusterError && error.field === field,
    );
  refuses({ caFile: crlFile }, 'c.caFile');
  refuses({ caFile: join(dir, 'missing') }, 'c.caFile');
  refuses({ caFile, crlFile }, 'c.crlFile');
});
