/**
 * A phone and a real ActiveSync server, SOGo, with the proxy between them: all that the phone is told is what it is told
 * without a proxy.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { after, before, type TestContext, test } from 'node:test';
import { type Answer, type Client, openClient } from '../support/active-sync/client.ts';
import { easPath, type Form, writeLine } from '../support/active-sync/query.ts';
import { all, find, type ReadElement, text } from '../support/active-sync/read-wbxml.ts';
import { type Element, element, encode } from '../support/active-sync/wbxml.ts';
import { type Sogo, sogoMissing, startSogo } from '../support/sogo.ts';
import { makeCertificate } from './own-certificate.ts';
import { healthy, openFeed, openProxy, readAll, verdictLine } from './stage.ts';

/** A phone and how it comes to SOGo. Each has a mail box of its own, all of which see the same. */
interface Way {
  readonly user: string;
  readonly deviceId: string;
  readonly form: Form;
  readonly isDirect: boolean;
}

// Names and ids of one length, so that lengths can be compared.
const ways: readonly Way[] = [
  { user: 'user1', deviceId: '796ACD8C00010203A4A5A6A7A8A9AA01', form: 'plain', isDirect: true },
  { user: 'user2', deviceId: '796ACD8C00010203A4A5A6A7A8A9AA02', form: 'plain', isDirect: false },
  { user: 'user3', deviceId: '796ACD8C00010203A4A5A6A7A8A9AA03', form: 'base64', isDirect: true },
  { user: 'user4', deviceId: '796ACD8C00010203A4A5A6A7A8A9AA04', form: 'base64', isDirect: false },
];

let sogo: Sogo;
before(async () => {
  // A long poll keeps a worker.
  if (sogoMissing === false)
    sogo = await startSogo(
      ways.map(({ user }) => user),
      ways.length + 1,
    );
});
after(() => sogo?.stop());

/** A proxy before SOGo that knows the phones. */
const openGate = async (t: TestContext) => {
  const { certFile, keyFile, cert } = makeCertificate(t, 'serverAuth');
  const feed = await openFeed(
    t,
    ways.map(({ user, deviceId }, at) =>
      verdictLine({ deviceId: `dev_${at}`, easDeviceId: deviceId, userEmail: `${user}@example.org` }),
    ),
  );
  const proxy = await openProxy(t, {
    backend: { url: sogo.url },
    serverUrl: feed.url,
    tls: { certFile, keyFile },
  });
  await healthy(proxy);
  return { feed, url: `https://127.0.0.1:${proxy.port}`, cert };
};

const phoneOf = (
  t: TestContext,
  { user, deviceId, form, isDirect }: Way,
  gate: { readonly url: string; readonly cert: string },
  password = 'secret',
): Client => {
  const client = openClient({
    user,
    password,
    deviceId,
    form,
    ...(isDirect ? { url: sogo.url, keepsConnections: false } : { url: gate.url, tls: { ca: gate.cert } }),
  });
  t.after(client.close);
  return client;
};

const mailNamed = (user: string, name: string): string =>
  [
    'From: Bob <bob@example.org>',
    `To: ${user}@example.org`,
    `Subject: ${name}`,
    'Date: Tue, 1 Dec 2026 10:00:00 +0000',
    `Message-ID: <${name}.${user}@example.org>`,
    '',
    `Hello ${name}`,
    '',
  ].join('\r\n');

const added = ({ body }: Answer): ReadElement | undefined =>
  all(find(body, 'Collections', 'Collection', 'Commands'), 'Add')[0];

/** What a phone does in a day; answers what it was told, by what it asked. */
const day = async (phone: Client, { user }: Way): Promise<[string, Answer | string][]> => {
  const told: [string, Answer | string][] = [];
  const tell = async <T extends Answer | string>(what: string, asked: Promise<T>): Promise<T> => {
    const answer = await asked;
    told.push([what, answer]);
    return answer;
  };
  await tell('options for the password prompt', phone.options(false));
  await tell('options', phone.options());
  await tell('provision', phone.provision());
  const listed = all(find((await tell('folders', phone.folderSync())).body, 'Changes'), 'Add');
  const folderOf = (type: string) =>
    text(
      listed.find((folder) => text(folder, 'Type') === type),
      'ServerId',
    ) as string;
  const inbox = folderOf('2');
  await tell('settings', phone.settings());
  await tell('first sync', phone.sync(inbox));
  await tell('key', phone.sync(inbox));
  sogo.deliver(user, mailNamed(user, 'one'));
  const serverId = text(added(await tell('new mail', phone.sync(inbox))), 'ServerId') as string;
  const itsId = element('AirSync:ServerId', serverId);
  const read = element('AirSync:ApplicationData', element('Email:Read', '1'));
  await tell('change', phone.sync(inbox, { commands: [element('AirSync:Change', itsId, read)] }));
  await tell('after the change', phone.sync(inbox));
  await tell('fetch', phone.fetch(inbox, serverId));
  const isHeld = sogo.logged(new RegExp(`changes for user ${user} in Ping`));
  const pinged = tell('ping', phone.ping([inbox]));
  await isHeld;
  sogo.deliver(user, mailNamed(user, 'two'));
  await pinged;
  await tell('woken', phone.sync(inbox));
  const estimated = element(
    'GetItemEstimate:Collection',
    element('AirSync:SyncKey', '1-1'),
    element('GetItemEstimate:CollectionId', inbox),
  );
  const estimate = element('GetItemEstimate:Collections', estimated);
  await tell(
    'estimate',
    phone.exchange('GetItemEstimate', element('GetItemEstimate:GetItemEstimate', estimate)),
  );
  const store = element('Search:Store', element('Search:Name', 'GAL'), element('Search:Query', user));
  await tell('search', phone.exchange('Search', element('Search:Search', store)));
  const mime = Buffer.from(
    `From: ${user}@example.org\r\nTo: bob@example.org\r\nSubject: three\r\n\r\nHello\r\n`,
  );
  await tell('send', phone.sendMail('mail-1', { lengthBytes: mime.length, chunks: [mime] }));
  const move = element(
    'Move:Move',
    element('Move:SrcMsgId', serverId),
    element('Move:SrcFldId', inbox),
    element('Move:DstFldId', folderOf('4')),
  );
  await tell('move', phone.exchange('MoveItems', element('Move:MoveItems', move)));
  return told;
};

const ofConnection = new Set(['date', 'connection', 'keep-alive']);

/** An answer without what is different for every mail box and every connection. */
const meaning = (answer: Answer | string, { user }: Way): unknown => {
  if (typeof answer === 'string') return answer;
  const { status, headers, body } = answer;
  const kept = Object.entries(headers).filter(([name]) => !ofConnection.has(name));
  const said = JSON.stringify({ status, headers: Object.fromEntries(kept.sort()), body });
  return JSON.parse(
    said
      .replaceAll(user, 'USER')
      .replace(/[0-9a-f]{32}/g, 'GUID')
      .replace(/("FolderHierarchy:SyncKey","children":)\["[^"]+"\]/g, '$1["KEY"]'),
  );
};

const summary = ([what, answer]: [string, Answer | string]): string =>
  typeof answer === 'string'
    ? `${what}: ${answer}`
    : `${what}: ${answer.status} ${answer.body?.name ?? '-'} ${text(answer.body, 'Status') ?? '-'}`;

test('a day of a phone: what SOGo says is heard through the proxy in both forms', {
  skip: sogoMissing,
}, async (t) => {
  const gate = await openGate(t);
  const days = await Promise.all(ways.map((way) => day(phoneOf(t, way, gate), way)));
  const [plain, throughProxy, encoded, encodedThroughProxy] = days.map((told, at) =>
    told.map(([what, answer]) => [what, meaning(answer, ways[at] as Way)]),
  );
  assert.deepEqual(days[0]?.map(summary), [
    'options for the password prompt: 401 - -',
    'options: 200 - -',
    'provision: no policy',
    'folders: 200 FolderHierarchy:FolderSync 1',
    'settings: 200 Settings:Settings 1',
    'first sync: 200 AirSync:Sync -',
    'key: 200 AirSync:Sync -',
    'new mail: 200 AirSync:Sync -',
    'change: 200 AirSync:Sync -',
    'after the change: 200 AirSync:Sync -',
    'fetch: 200 ItemOperations:ItemOperations 1',
    'ping: 200 Ping:Ping 2',
    'woken: 200 AirSync:Sync -',
    'estimate: 200 GetItemEstimate:GetItemEstimate -',
    'search: 200 Search:Search 1',
    'send: 200 - -',
    'move: 200 Move:MoveItems -',
  ]);
  assert.deepEqual(throughProxy, plain);
  assert.deepEqual(encodedThroughProxy, encoded);
  for (const told of days) {
    const answerOf = (what: string) => told.find(([asked]) => asked === what)?.[1] as Answer;
    assert.equal(text(added(answerOf('woken')), 'ApplicationData', 'Subject'), 'two');
  }
  assert.deepEqual(
    sogo.taken.map(({ from, to }) => `${from} ${to}`).sort(),
    ways.map(({ user }) => `${user}@example.org bob@example.org`),
  );
});

/** One answer byte for byte, but for what the connection says of itself. */
const exactly = async (
  way: Way,
  gate: { readonly url: string; readonly cert: string },
  asked: { readonly command: string; readonly root: Element | null; readonly password?: string },
) => {
  const { command, root, password = 'secret' } = asked;
  const authorization = `Basic ${Buffer.from(`${way.user}:${password}`).toString('base64')}`;
  const line = { command, deviceType: 'iPhone', version: '14.1', policyKey: 0, ...way };
  const isOptions = command === 'OPTIONS';
  const { target, headers } = isOptions ? { target: easPath, headers: {} } : writeLine(way.form, line);
  const url = way.isDirect ? sogo.url + target.slice(easPath.length) : gate.url + target;
  const req = (way.isDirect ? httpRequest : httpsRequest)(url, {
    method: isOptions ? 'OPTIONS' : 'POST',
    headers: { ...headers, authorization, connection: 'close' },
    ...(way.isDirect ? {} : { ca: gate.cert }),
  });
  req.end(root === null ? undefined : await readAll(encode(root)));
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  const fields: string[] = [];
  for (let at = 0; at < res.rawHeaders.length; at += 2) {
    const name = (res.rawHeaders[at] as string).toLowerCase();
    if (!ofConnection.has(name)) fields.push(`${name}: ${res.rawHeaders[at + 1]}`);
  }
  return { status: res.statusCode, fields: fields.sort(), body: (await readAll(res)).toString('latin1') };
};

test('what does not change with time is the same byte for byte', { skip: sogoMissing }, async (t) => {
  const gate = await openGate(t);
  const get = element('Settings:UserInformation', element('Settings:Get'));
  const asking = [
    { command: 'OPTIONS', root: null },
    { command: 'OPTIONS', root: null, password: 'wrong' },
    { command: 'Settings', root: element('Settings:Settings', get) },
    { command: 'Settings', root: element('Settings:Settings', get), password: 'wrong' },
    { command: 'Ping', root: element('Ping:Ping') },
    { command: 'GetItemEstimate', root: null },
  ];
  const statuses = [];
  for (const asked of asking)
    for (const way of ways.filter(({ isDirect }) => !isDirect)) {
      const direct = await exactly({ ...way, isDirect: true }, gate, asked);
      assert.deepEqual(await exactly(way, gate, asked), direct);
      statuses.push(direct.status);
      const challenges = direct.fields.filter((field) => field.startsWith('www-authenticate: '));
      assert.deepEqual(challenges, direct.status === 401 ? ['www-authenticate: basic realm="SOGo"'] : []);
    }
  assert.deepEqual(statuses, [200, 200, 401, 401, 200, 200, 401, 401, 200, 200, 500, 500]);
});

test('SOGo is not asked for a device that may have no mail, and what it holds ends', {
  skip: sogoMissing,
}, async (t) => {
  const gate = await openGate(t);
  const way = ways[1] as Way;
  const unknown = phoneOf(t, { ...way, deviceId: 'ANDROIDC195792594' }, gate);
  const { status, headers } = await unknown.folderSync();
  assert.deepEqual([status, headers['x-muster-reason']], [403, 'device']);
  const phone = phoneOf(t, way, gate);
  const listed = all(find((await phone.folderSync()).body, 'Changes'), 'Add');
  const inbox = text(
    listed.find((folder) => text(folder, 'Type') === '2'),
    'ServerId',
  ) as string;
  while ((await phone.sync(inbox)).body !== null);
  const isHeld = sogo.logged(new RegExp(`changes for user ${way.user} in Ping`));
  const pinged = phone.ping([inbox]);
  await isHeld;
  gate.feed.send(
    verdictLine({
      deviceId: 'dev_1',
      easDeviceId: way.deviceId,
      userEmail: `${way.user}@example.org`,
      access: 'deny',
      reason: 'rooted',
      position: '11',
    }),
    { kind: 'position', position: '11' },
  );
  const ended = await pinged;
  assert.deepEqual([ended.status, ended.headers['x-muster-reason']], [403, 'verdict']);
});
