/** What an instance lets through by setting, over real sockets: Autodiscover, EWS, Traveler, mail apps, answers to a block. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { easBody, openFeed, openMailServer, openProxy, openStage, post, verdictLine } from './stage.ts';

const mobilesync = 'http://schemas.microsoft.com/exchange/autodiscover/mobilesync';
const discovery = Buffer.from(
  `<Autodiscover xmlns="${mobilesync}/requestschema/2006"><Request><EMailAddress>alice@example.org</EMailAddress>` +
    `<AcceptableResponseSchema>${mobilesync}/responseschema/2006</AcceptableResponseSchema></Request></Autodiscover>`,
);
const xml = { 'content-type': 'text/xml; charset=utf-8' };

test('Autodiscover is answered with the instance’s own address, and never reaches the mail server', async (t) => {
  const { mail, proxy } = await openStage(t);
  const own = 'https://mail.example.org/Microsoft-Server-ActiveSync';
  const asked = await post(proxy.port, {
    target: '/Autodiscover/Autodiscover.xml',
    body: discovery,
    headers: xml,
  });
  assert.equal(asked.status, 200);
  assert.ok((await asked.text()).includes(`<Url>${own}</Url>`));
  const target = '/autodiscover/autodiscover.json?Email=alice@example.org&Protocol=ActiveSync';
  const json = await post(proxy.port, { target, method: 'GET', authorization: null });
  assert.deepEqual(await json.json(), { Protocol: 'ActiveSync', Url: own });
  const other = await post(proxy.port, { target: target.replace('ActiveSync', 'Ews'), method: 'GET' });
  assert.deepEqual([other.status, other.headers.get('x-muster-reason')], [403, 'autodiscover']);
  assert.equal(mail.seen.length, 0);
  const line = await proxy.until(({ msg, protocol }) => msg === 'request' && protocol === 'autodiscover');
  assert.equal(line['decision'], 'allow');
});

const soap = (body: string): Buffer =>
  Buffer.from(
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">' +
      `<s:Body>${body}</s:Body></s:Envelope>`,
  );
const subscribe = soap(
  '<m:Subscribe><m:PushSubscriptionRequest><t:URL>https://push.example.org/in</t:URL></m:PushSubscriptionRequest></m:Subscribe>',
);
const ews = '/EWS/Exchange.asmx';
const askEws = async (port: number, body: Buffer, user = 'alice', headers: Record<string, string> = {}) => {
  const { status, headers: answered } = await post(port, {
    target: ews,
    user,
    body,
    headers: { ...xml, ...headers },
  });
  return `${status} ${answered.get('x-muster-reason')}`;
};

test('EWS: without the setting nothing, with it the subscriptions of a user with a compliant device', async (t) => {
  const greeting = [
    verdictLine(),
    verdictLine({ deviceId: 'dev_2', easDeviceId: 'DEF', userEmail: 'bob@example.org', access: 'deny' }),
  ];
  const closed = await openStage(t, greeting);
  assert.equal(await askEws(closed.proxy.port, subscribe), '403 path');
  const { mail, proxy } = await openStage(t, greeting, {
    ews: { enabled: true, pushHosts: ['push.example.org'] },
  });
  assert.equal(await askEws(proxy.port, subscribe, 'alice', { soapaction: 'GetItem' }), '200 null');
  assert.equal(mail.seen[0]?.url, ews);
  assert.deepEqual(mail.seen[0]?.body, subscribe);
  assert.equal(mail.seen[0]?.headers['soapaction'], undefined);
  assert.equal(await askEws(proxy.port, subscribe, 'bob'), '403 account');
  assert.equal(await askEws(proxy.port, subscribe, 'carol'), '403 account');
  assert.equal(await askEws(proxy.port, soap('<m:GetItem/>')), '403 body');
  assert.equal(await askEws(proxy.port, soap('<m:Unsubscribe/><m:GetItem/>')), '403 body');
  assert.equal(await askEws(proxy.port, soap(`<!--${'x'.repeat(70_000)}--><m:Unsubscribe/>`)), '403 body');
  assert.equal(mail.seen.length, 1);
  assert.equal(closed.mail.seen.length, 0);
});

test('Traveler: its paths only with the setting; a device that is named must have mail', async (t) => {
  const greeting = [verdictLine(), verdictLine({ deviceId: 'dev_2', easDeviceId: 'DEF', access: 'deny' })];
  const closed = await openStage(t, greeting);
  const { mail, proxy } = await openStage(t, greeting, { traveler: true });
  const ask = async (port: number, target: string) => {
    const { status, headers } = await post(port, { target, body: Buffer.from('x') });
    return `${status} ${headers.get('x-muster-reason')}`;
  };
  assert.equal(await ask(closed.proxy.port, '/traveler?deviceId=ABC123'), '403 path');
  assert.equal(await ask(proxy.port, '/traveler?deviceId=ABC123'), '200 null');
  assert.equal(await ask(proxy.port, '/traveler/sync'), '200 null');
  assert.equal(await ask(proxy.port, '/traveler?deviceId=DEF'), '403 traveler');
  assert.equal(await ask(proxy.port, '/traveler?deviceId=NEW'), '403 traveler');
  assert.equal(
    await ask(proxy.port, '/servlet/traveler/Microsoft-Server-ActiveSync?Cmd=Sync'),
    '403 request',
  );
  assert.equal(await ask(proxy.port, '/traveler/../owa'), '403 path');
  assert.deepEqual(
    mail.seen.map(({ url }) => url),
    ['/traveler?deviceId=ABC123', '/traveler/sync'],
  );
});

const askAs = async (port: number, userAgent: string) => {
  const { status, headers } = await post(port, { headers: { 'user-agent': userAgent } });
  return `${status} ${headers.get('x-muster-reason')}`;
};

test('mail apps: those on the list, or the container’s own only; explain says the same', async (t) => {
  const listed = await openStage(t, undefined, { mailClients: ['Apple-iPhone*', 'Outlook-*/2.0'] });
  assert.equal(await askAs(listed.proxy.port, 'Apple-iPhone14C2/2001.90'), '200 null');
  assert.equal(await askAs(listed.proxy.port, 'outlook-ios/2.0'), '200 null');
  assert.equal(await askAs(listed.proxy.port, 'Outlook-iOS/3.0'), '403 client');
  const [instance] = listed.proxy.instances;
  const said = instance?.explain({ deviceId: 'ABC123', user: 'alice', userAgent: 'Outlook-iOS/3.0' });
  assert.deepEqual([said?.allow, said?.rule], [false, 'client']);
  const container = await openStage(t, undefined, {
    containerOnly: true,
    containerUserAgents: ['Secure Email*'],
  });
  assert.equal(await askAs(container.proxy.port, 'Secure Email/9.1'), '200 null');
  assert.equal(await askAs(container.proxy.port, 'Apple-iPhone14C2/2001.90'), '403 client');
});

const blocked = async (t: TestContext, settings: Record<string, unknown>, version: string) => {
  const { mail, proxy } = await openStage(t, [verdictLine({ access: 'deny', reason: 'rooted' })], settings);
  const answer = await post(proxy.port, {
    target: '/Microsoft-Server-ActiveSync?Cmd=FolderSync&User=alice&DeviceId=ABC123&DeviceType=iPhone',
    body: easBody('FolderSync'),
    headers: { 'ms-asprotocolversion': version },
  });
  assert.equal(mail.seen.length, 0);
  return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()).toString('hex') };
};

test('a block is told as 403, or by setting as status 129 where the app understands it', async (t) => {
  assert.equal((await blocked(t, {}, '16.1')).status, 403);
  assert.deepEqual(await blocked(t, { blockAnswer: 'wbxml-129' }, '16.1'), {
    status: 200,
    // A FolderSync answer with nothing but Status 129 (MS-ASWBXML code page 7).
    body: '03016a000007564c03313239000101',
  });
  assert.equal((await blocked(t, { blockAnswer: 'wbxml-129' }, '12.1')).status, 403);
});

test('before the first verdicts have come, phones are asked to come back', async (t) => {
  const mail = await openMailServer(t);
  const feed = await openFeed(t);
  feed.stage.lines = () => [];
  const proxy = await openProxy(t, { backend: { url: mail.url }, serverUrl: feed.url });
  await feed.connected(1);
  const answer = await post(proxy.port);
  assert.deepEqual(
    [answer.status, answer.headers.get('x-muster-reason'), answer.headers.get('retry-after')],
    [503, 'unready', '10'],
  );
  assert.equal(mail.seen.length, 0);
});
