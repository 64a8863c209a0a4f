/**
 * A phone and a mail server that speak WBXML, with the proxy between them: every command in both query forms means the
 * same as without a proxy, mail of any size passes without being kept, and held requests end when they have to.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type BackEnd, type BackEndSettings, startBackEnd } from '../support/active-sync/back-end.ts';
import { onlyStatus } from '../support/active-sync/call.ts';
import { type Answer, type Client, type ClientSettings, openClient } from '../support/active-sync/client.ts';
import type { Mail, Partnership } from '../support/active-sync/mailbox.ts';
import { easPath, type Form, readLine, writeLine } from '../support/active-sync/query.ts';
import { all, decode, digest, find, text } from '../support/active-sync/read-wbxml.ts';
import { type Element, element, encode, encodedLength, type Opaque } from '../support/active-sync/wbxml.ts';
import { makeCertificate } from './own-certificate.ts';
import { basic, healthy, openFeed, openProxy, serve, verdictLine } from './stage.ts';

const forms: readonly Form[] = ['plain', 'base64'];
const deviceId = '796ACD8C00010203A4A5A6A7A8A9AAAB';
const users = { alice: 'secret', bob: 'secret' };

const openBackEnd = async (t: TestContext, settings: Partial<BackEndSettings> = {}): Promise<BackEnd> => {
  const backEnd = await startBackEnd({ users, ...settings });
  t.after(backEnd.stop);
  return backEnd;
};

const phoneOf = (t: TestContext, settings: Partial<ClientSettings> & { url: string }): Client => {
  const client = openClient({ user: 'alice', password: 'secret', deviceId, form: 'plain', ...settings });
  t.after(client.close);
  return client;
};

/** A mail server with a proxy in front of it. */
const openStage = async (
  t: TestContext,
  settings: Partial<BackEndSettings> = {},
  greeting?: readonly object[],
) => {
  const backEnd = await openBackEnd(t, settings);
  const feed = await openFeed(t, greeting ?? [verdictLine({ easDeviceId: deviceId })]);
  const proxy = await openProxy(t, { backend: { url: backEnd.url }, serverUrl: feed.url });
  await healthy(proxy);
  return { backEnd, feed, proxy, url: `http://127.0.0.1:${proxy.port}` };
};

const contentOf = (bytes: Buffer): Opaque => ({ lengthBytes: bytes.length, chunks: [bytes] });
const mailNamed = (serverId: string): Mail => ({
  serverId,
  subject: `Mail ${serverId}`,
  content: () => contentOf(Buffer.from(`From: bob\r\n\r\nHello ${serverId}`)),
});

const hex = async (pieces: AsyncIterable<Buffer>): Promise<string> => {
  let all = '';
  for await (const piece of pieces) all += piece.toString('hex');
  return all;
};

test('WBXML and both query forms are those of the specifications', async () => {
  const blocked = element('FolderHierarchy:FolderSync', element('FolderHierarchy:Status', '129'));
  assert.equal(await hex(encode(blocked)), '03016a000007564c03313239000101');
  const large = element(
    'ComposeMail:SendMail',
    element('ComposeMail:ClientId', 'é'),
    element('ComposeMail:SaveInSentItems'),
    element('ComposeMail:Mime', contentOf(Buffer.alloc(300, 0x41))),
  );
  const bytes = await hex(encode(large));
  assert.ok(bytes.startsWith('03016a00001545' + '5103c3a90001' + '08' + '50c3822c41'), bytes);
  assert.equal(await encodedLength(large), bytes.length / 2);
  // In pieces of one byte, so that every token is cut somewhere.
  const read = await decode([...Buffer.from(bytes, 'hex')].map((byte) => Buffer.from([byte])));
  assert.equal(text(read, 'ClientId'), 'é');
  assert.deepEqual(digest(read, 'Mime'), {
    lengthBytes: 300,
    sha256: createHash('sha256').update(Buffer.alloc(300, 0x41)).digest('hex'),
  });
  for (const wrong of [
    '03016a00',
    '02016a0005',
    '03016a0045',
    '03016a003f',
    '03016a0085',
    '03016a000505',
    '03016a0045c385',
  ])
    await assert.rejects(decode([Buffer.from(wrong, 'hex')]), wrong);
  // MS-ASHTTP's own example.
  const line = {
    command: 'Sync',
    user: 'u',
    deviceId: 'v140Device',
    deviceType: 'SmartPhone',
    version: '14.0',
    policyKey: 0,
  };
  const target = '/Microsoft-Server-ActiveSync?jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l';
  assert.equal(writeLine('base64', line).target, target);
  const { user: _, ...rest } = { ...line, deviceId: 'V140DEVICE', form: 'base64' };
  assert.deepEqual(readLine(target.split('?')[1] as string, {}), rest);
});

/** What every phone does in a day; answers what it was told. */
const day = async (client: Client, backEnd: BackEnd): Promise<Answer[]> => {
  const told: Answer[] = [];
  const tell = async (asked: Promise<Answer>) => void told.push(await asked);
  const held = async (asked: Promise<Answer>, then: () => void) => {
    await backEnd.untilHeld(1);
    then();
    await tell(asked);
  };
  await tell(client.options());
  // Without a policy it is told 142, and provisions.
  await tell(client.folderSync());
  await tell(client.folderSync());
  await tell(client.settings());
  await tell(client.sync('1'));
  backEnd.deliver('alice', mailNamed('1:1'));
  await tell(client.sync('1'));
  await tell(client.sync('1'));
  const read = element('AirSync:ApplicationData', element('Email:Read', '1'));
  const change = element('AirSync:Change', element('AirSync:ServerId', '1:1'), read);
  await tell(client.sync('1', { commands: [change] }));
  await held(client.ping(['1']), () => backEnd.deliver('alice', mailNamed('1:2')));
  await tell(client.sync('1'));
  await held(client.ping(null), backEnd.endHeartbeats);
  const wait = element('AirSync:HeartbeatInterval', '3540');
  await held(client.sync('1', { wait }), () => backEnd.deliver('alice', mailNamed('1:3')));
  await held(client.sync('1', { wait: element('AirSync:Wait', '59') }), backEnd.endHeartbeats);
  await held(client.exchange('Sync', null), backEnd.endHeartbeats);
  await tell(client.fetch('1', '1:3'));
  await tell(client.sendMail('mail-1', contentOf(Buffer.from('To: bob\r\n\r\nHello'))));
  await tell(client.sendMail('mail-1', contentOf(Buffer.from('To: bob\r\n\r\nHello')), { isChunked: true }));
  await tell(client.exchange('Ping', element('Ping:Ping')));
  await tell(client.sync('1', { key: '77' }));
  return told;
};

/** What must be the same however it came: not the connection's own headers. */
const meaning = ({ status, headers, body }: Answer) => ({
  status,
  body,
  type: headers['content-type'],
  versions: headers['ms-asprotocolversions'],
  commands: headers['ms-asprotocolcommands'],
});

/** How the phone reaches the mail server: without a proxy, or through one that may ask it for a certificate. */
type Way = 'direct' | 'proxy' | 'proxy with client certificates';
const ways: readonly Way[] = ['direct', 'proxy', 'proxy with client certificates'];

/** A mail server over TLS, the way to it and a phone that goes it. */
const openWay = async (t: TestContext, way: Way, form: Form) => {
  const { certFile, keyFile, cert, key } = makeCertificate(t, 'serverAuth');
  const own = makeCertificate(t, 'clientAuth', 'alice');
  const backEnd = await openBackEnd(t, { tls: { cert, key } });
  if (way === 'direct') return { backEnd, phone: phoneOf(t, { url: backEnd.url, form, tls: { ca: cert } }) };
  const isAsked = way === 'proxy with client certificates';
  const feed = await openFeed(t, [verdictLine({ easDeviceId: deviceId })]);
  const proxy = await openProxy(t, {
    backend: { url: backEnd.url, caFile: certFile },
    serverUrl: feed.url,
    tls: { certFile, keyFile },
    ...(isAsked ? { clientCertificates: { caFile: own.certFile, bindDevice: true } } : {}),
  });
  await healthy(proxy);
  const tls = { ca: cert, ...(isAsked ? { cert: own.cert, key: own.key } : {}) };
  return { backEnd, phone: phoneOf(t, { url: `https://127.0.0.1:${proxy.port}`, form, tls }) };
};

test('a day of a phone over TLS: both forms through the proxy are what they are without it', async (t) => {
  const days = [];
  for (const way of ways)
    for (const form of forms) {
      const { backEnd, phone } = await openWay(t, way, form);
      const told = (await day(phone, backEnd)).map(meaning);
      const { sent, partnerships } = backEnd.mailbox('alice');
      assert.ok(backEnd.received.every((one) => one.form === form));
      const received = backEnd.received.map(({ form: _, ...one }) => one);
      days.push({ told, received, sent, partnerships });
    }
  const [first, ...others] = days;
  assert.deepEqual(
    first?.told.map(({ status, body }) => `${status} ${body?.name ?? '-'} ${text(body, 'Status') ?? '-'}`),
    [
      '200 - -',
      '200 FolderHierarchy:FolderSync 1',
      '200 FolderHierarchy:FolderSync 1',
      '200 Settings:Settings 1',
      '200 AirSync:Sync -',
      '200 AirSync:Sync -',
      '200 - -',
      '200 AirSync:Sync -',
      '200 Ping:Ping 2',
      '200 AirSync:Sync -',
      '200 Ping:Ping 1',
      '200 AirSync:Sync -',
      '200 - -',
      '200 - -',
      '200 ItemOperations:ItemOperations 1',
      '200 - -',
      '200 ComposeMail:SendMail 118',
      '200 Ping:Ping 3',
      '200 AirSync:Sync -',
    ],
  );
  assert.equal(first?.sent.length, 1);
  assert.equal(first?.received.length, 21);
  for (const other of others) assert.deepEqual(other, first);
});

test('an id of 16 bytes and its 32 digits are one device; its own mails come with their changes', async (t) => {
  const { backEnd, url } = await openStage(t);
  for (const form of forms) await phoneOf(t, { url, form }).folderSync();
  assert.deepEqual([...backEnd.mailbox('alice').partnerships.keys()], [deviceId]);
  const phone = phoneOf(t, { url });
  await phone.sync('1');
  for (const id of ['1:1', '1:2']) backEnd.deliver('alice', mailNamed(id));
  const { body } = await phone.sync('1');
  const commands = find(body, 'Collections', 'Collection', 'Commands');
  assert.deepEqual(
    all(commands, 'Add').map((add) => text(add, 'ApplicationData', 'Subject')),
    ['Mail 1:1', 'Mail 1:2'],
  );
});

test('what the mail server refuses is told as it is, and the phone acts on it', async (t) => {
  const { backEnd, url } = await openStage(t);
  const stranger = await phoneOf(t, { url, password: 'wrong' }).folderSync();
  assert.equal(stranger.status, 401);
  assert.equal(stranger.headers['www-authenticate'], 'Basic realm="mail.internal"');
  assert.equal((await phoneOf(t, { url }).options(false)).status, 401);
  const phone = phoneOf(t, { url });
  const folderSync = element('FolderHierarchy:FolderSync', element('FolderHierarchy:SyncKey', '0'));
  const status = async () => text((await phone.exchange('FolderSync', folderSync)).body, 'Status');
  assert.equal(await status(), '142');
  await phone.provision();
  assert.equal(await status(), '1');
  const partnership = backEnd.mailbox('alice').partnerships.get(deviceId);
  assert.ok(partnership);
  assert.equal(partnership.information['Settings:Model'], 'iPhone14C2');
  partnership.policyKey += 1;
  assert.equal(await status(), '144');
  assert.equal(text((await phone.folderSync()).body, 'Status'), '1');
  const old = phoneOf(t, { url, version: '12.1', form: 'base64' });
  assert.equal((await old.exchange('FolderSync', folderSync)).status, 449);
  partnership.wipe = 'requested';
  assert.equal(text((await phone.folderSync()).body, 'Status'), '140');
  assert.equal(partnership.wipe, 'acknowledged');
});

/** What makes the mail server ask for Provision, by the status that it then answers. */
const spoiled: Readonly<Record<string, (partnership: Partnership) => void>> = {
  // DeviceNotProvisioned: it has forgotten the device's policy.
  142: (partnership) => {
    partnership.policyKey = 0;
  },
  // PolicyRefresh.
  143: (partnership) => {
    partnership.isPolicyOld = true;
  },
  // InvalidPolicyKey.
  144: (partnership) => {
    partnership.policyKey += 1;
  },
};

const asking: readonly (readonly [command: string, root: Element])[] = [
  ['FolderSync', element('FolderHierarchy:FolderSync', element('FolderHierarchy:SyncKey', '0'))],
  ['Sync', element('AirSync:Sync')],
  ['Ping', element('Ping:Ping')],
];

/** An answer as it is on the wire; the request has `policyKey` and is alice's. */
const wireOf = async (
  origin: string,
  form: Form,
  line: { readonly command: string; readonly version: string; readonly policyKey: number },
  root: Element,
) => {
  const { target, headers } = writeLine(form, { user: 'alice', deviceId, deviceType: 'iPhone', ...line });
  const response = await fetch(new URL(target, origin), {
    method: 'POST',
    headers: { ...headers, authorization: basic('alice'), 'content-type': 'application/vnd.ms-sync.wbxml' },
    body: Buffer.from(await hex(encode(root)), 'hex'),
  });
  const { status } = response;
  const [type, reason] = ['content-type', 'x-muster-reason'].map((name) => response.headers.get(name));
  return { status, type, reason, body: Buffer.from(await response.arrayBuffer()).toString('hex') };
};

test('a mail server that wants Provision is heard as it says it: 142, 143 and 144 in a body, 449 before 14.0', async (t) => {
  const { backEnd, url } = await openStage(t);
  const phone = phoneOf(t, { url });
  for (const [status, spoil] of Object.entries(spoiled)) {
    await phone.provision();
    const partnership = backEnd.mailbox('alice').partnerships.get(deviceId);
    assert.ok(partnership);
    const { policyKey } = partnership;
    spoil(partnership);
    for (const [form, [command, root]] of forms.flatMap((form) =>
      asking.map((one) => [form, one] as const),
    )) {
      const said = async (version: string) => {
        const line = { command, version, policyKey };
        const direct = await wireOf(backEnd.url, form, line, root);
        assert.deepEqual(await wireOf(url, form, line, root), direct);
        return direct;
      };
      const document = await hex(encode(onlyStatus(command, Number(status))));
      const type = 'application/vnd.ms-sync.wbxml';
      for (const version of ['14.0', '16.1'])
        assert.deepEqual(await said(version), { status: 200, type, reason: null, body: document });
      assert.deepEqual(await said('12.1'), { status: 449, type: null, reason: null, body: '' });
    }
  }
});

test('a phone that is told to provision does so through the proxy, and its new key counts', async (t) => {
  const { backEnd, url } = await openStage(t);
  for (const spoil of Object.values(spoiled))
    for (const form of forms)
      for (const version of ['12.1', '14.1']) {
        const phone = phoneOf(t, { url, form, version });
        await phone.provision();
        const partnership = backEnd.mailbox('alice').partnerships.get(deviceId);
        assert.ok(partnership);
        const old = partnership.policyKey;
        spoil(partnership);
        const from = backEnd.received.length;
        const { status, body } = await phone.folderSync();
        assert.deepEqual([status, text(body, 'Status')], [200, '1']);
        const received = backEnd.received.slice(from);
        assert.deepEqual(
          received.map(({ command }) => command),
          ['FolderSync', 'Provision', 'Provision', 'FolderSync'],
        );
        assert.deepEqual(
          [received[0]?.policyKey, received[3]?.policyKey, received[3]?.policyKey === old],
          [old, partnership.policyKey, false],
        );
      }
});

test('451 leads the phone to the proxy, not to the server that it names', async (t) => {
  const { backEnd, url } = await openStage(t);
  backEnd.mailbox('alice').movedTo = 'https://other.internal/Microsoft-Server-ActiveSync';
  for (const form of forms) {
    const { status, headers } = await phoneOf(t, { url, form }).folderSync();
    assert.deepEqual(
      [status, headers['x-ms-location']],
      [451, 'https://mail.example.org/Microsoft-Server-ActiveSync'],
    );
  }
});

test('a phone whose server has no policy is content with that, and asks for changes under every key but 0', async (t) => {
  const asked: string[] = [];
  const answers = [
    onlyStatus('FolderSync', 142),
    onlyStatus(
      'Provision',
      1,
      element('Provision:Policies', element('Provision:Policy', element('Provision:Status', '2'))),
    ),
    onlyStatus('FolderSync', 1),
    ...['1', '2'].map((key) =>
      element(
        'AirSync:Sync',
        element('AirSync:Collections', element('AirSync:Collection', element('AirSync:SyncKey', key))),
      ),
    ),
  ];
  const { url } = await serve(t, async (req, res) => {
    const root = await decode(req);
    const collection = find(root, 'Collections', 'Collection');
    const wantsChanges = find(collection, 'GetChanges') !== undefined;
    asked.push(`${req.url?.replace(/&.*/, '')} ${text(collection, 'SyncKey')} ${wantsChanges}`);
    res.setHeader('content-type', 'application/vnd.ms-sync.wbxml');
    const answer = answers[asked.length - 1] as Element;
    for await (const piece of encode(answer)) res.write(piece);
    res.end();
  });
  const phone = phoneOf(t, { url: `${url}/SOGo${easPath}`, keepsConnections: false });
  assert.equal(text((await phone.folderSync()).body, 'Status'), '1');
  await phone.sync('1');
  await phone.sync('1');
  const path = `/SOGo${easPath}?Cmd=`;
  assert.deepEqual(asked, [
    `${path}FolderSync undefined false`,
    `${path}Provision undefined false`,
    `${path}FolderSync undefined false`,
    `${path}Sync 0 false`,
    `${path}Sync 1 true`,
  ]);
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const block = randomBytes(1024 * 1024);
const blocks = 25;
const maxHeldBytes = 8 * block.length;

/**
 * 25 MB that are made while they are sent, and the most that buffers grew meanwhile: client, proxy and server are all in
 * this process, so whichever of them kept the mail would show. Looked at after every sixth block, garbage collected
 * first.
 */
const measured = () => {
  const live = async () => {
    // Node frees the memory of buffers in the background, some time after they were collected.
    for (let turn = 0; turn < 2; turn += 1) {
      collectGarbage();
      await nextTurn();
    }
    return process.memoryUsage().arrayBuffers;
  };
  let before = 0;
  let grewBytes = 0;
  const chunks = async function* () {
    before = await live();
    for (let count = 0; count < blocks; count += 1) {
      yield block;
      if (count % 6 === 5) grewBytes = Math.max(grewBytes, (await live()) - before);
    }
  };
  return {
    content: (): Opaque => ({ lengthBytes: blocks * block.length, chunks: chunks() }),
    grewBytes: () => grewBytes,
  };
};

/** A slow reader: everybody else gets turns to run ahead of it. */
const slowly = async () => {
  for (let turn = 0; turn < 6; turn += 1) await nextTurn();
};

test('25 MB are sent and fetched as WBXML in both forms, kept by nobody', async (t) => {
  const { backEnd, url } = await openStage(t, { look: slowly });
  const hash = createHash('sha256');
  for (let count = 0; count < blocks; count += 1) hash.update(block);
  const sha256 = hash.digest('hex');
  const peaks = [];
  for (const [form, isChunked] of [
    ['plain', false],
    ['base64', true],
  ] as const) {
    const phone = phoneOf(t, { url, form });
    await phone.folderSync();
    const sending = measured();
    const sent = await phone.sendMail(`large-${form}`, sending.content(), { isChunked });
    assert.deepEqual([sent.status, sent.body], [200, null]);
    const fetching = measured();
    const serverId = `1:${form}`;
    backEnd.deliver('alice', { serverId, subject: 'large', content: fetching.content });
    const { body } = await phone.fetch('1', serverId, { look: slowly });
    const data = digest(body, 'Response', 'Fetch', 'Properties', 'Body', 'Data');
    assert.deepEqual(data, { lengthBytes: blocks * block.length, sha256 });
    peaks.push(sending.grewBytes(), fetching.grewBytes());
  }
  assert.deepEqual(
    backEnd.mailbox('alice').sent.map((mail) => mail.sha256),
    [sha256, sha256],
  );
  t.diagnostic(`buffers grew by at most ${peaks.join(', ')} bytes`);
  assert.ok(
    peaks.every((bytes) => bytes < maxHeldBytes),
    `buffers grew by ${peaks.join(', ')} bytes`,
  );
});

const other = 'ANDROIDC195792594';
const both = [
  verdictLine({ easDeviceId: deviceId }),
  verdictLine({ deviceId: 'dev_2', easDeviceId: other, userEmail: 'bob@example.org' }),
];

test('a held Ping and a held Sync end with the verdict of their device, and only they', async (t) => {
  const { backEnd, feed, url } = await openStage(t, {}, both);
  const bob = phoneOf(t, { url, user: 'bob', deviceId: other, form: 'base64' });
  await bob.folderSync();
  const stays = bob.ping(['1']);
  await backEnd.untilHeld(1);
  const wait = element('AirSync:HeartbeatInterval', '3540');
  let position = 10;
  for (const form of forms) {
    const alice = phoneOf(t, { url, form });
    await alice.folderSync();
    await alice.sync('1');
    const held = [alice.ping(['1']), alice.sync('1', { wait })];
    await backEnd.untilHeld(3);
    for (const access of ['deny', 'allow']) {
      position += 1;
      feed.send(
        verdictLine({ easDeviceId: deviceId, access, reason: 'rooted', position: String(position) }),
        { kind: 'position', position: String(position) },
      );
      if (access === 'deny')
        assert.deepEqual(
          (await Promise.all(held)).map(({ status, headers }) => [status, headers['x-muster-reason']]),
          [
            [403, 'verdict'],
            [403, 'verdict'],
          ],
        );
    }
    await backEnd.untilHeld(1);
    await phoneIsServed(alice);
  }
  backEnd.deliver('bob', mailNamed('1:9'));
  assert.equal(text((await stays).body, 'Status'), '2');
});

/** Waits for the verdict that allows it again: the feed is asynchronous. */
const phoneIsServed = async (phone: Client): Promise<void> => {
  while ((await phone.folderSync()).status !== 200) await nextTurn();
};

test('a phone that hangs up ends its held request at the mail server at once', async (t) => {
  const { backEnd, url } = await openStage(t);
  for (const form of forms) {
    const phone = phoneOf(t, { url, form });
    await phone.folderSync();
    const leaving = new AbortController();
    const held = phone.ping(['1'], { signal: leaving.signal });
    await backEnd.untilHeld(1);
    leaving.abort();
    await assert.rejects(held, { name: 'AbortError' });
    await backEnd.untilHeld(0);
  }
});

test('phone and mail server speak TLS with a client certificate, and without one are refused', async (t) => {
  const server = makeCertificate(t, 'serverAuth');
  const own = makeCertificate(t, 'clientAuth', 'alice');
  const backEnd = await openBackEnd(t, {
    tls: { cert: server.cert, key: server.key, ca: own.cert, requestCert: true, rejectUnauthorized: true },
  });
  const { url } = backEnd;
  const phone = phoneOf(t, { url, tls: { ca: server.cert, cert: own.cert, key: own.key } });
  assert.equal((await phone.folderSync()).status, 200);
  assert.match(backEnd.received[0]?.certificate ?? '', /CN=alice/);
  await assert.rejects(phoneOf(t, { url, tls: { ca: server.cert } }).folderSync());
});
