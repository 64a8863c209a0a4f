/** Both kinds of Exchange over real sockets: what is sent, what comes back, and what refusals mean. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ExchangeSettings, exchangeSettings } from '../../../domain/exchange/exchange.ts';
import { MusterError } from '../../../platform/errors.ts';
import { createAuthority, issueServerCertificate } from '../../../platform/pki.ts';
import { controllerOver, openController } from '../../../workers/exchange/controller.ts';
import { openOnPremises } from '../../../workers/exchange/on-premises.ts';
import { openPauses } from '../../../workers/exchange/pauses.ts';
import {
  encodeMessage,
  fragmentsOf,
  messageTypes,
  openDefragmenter,
} from '../../../workers/exchange/psrp/messages.ts';
import { type Mailbox, startOnline, startOnPremises } from '../../support/exchange.ts';
import { idOf } from '../../support/ids.ts';

const organisation = 'acme.example';
const ada = 'ada@acme.example';
const shared = {
  certificateSha256: null,
  allowAnyCertificate: false,
  containerApps: null,
  barredApps: [],
  bindUnknown: false,
  dryRun: false,
  intervalMinutes: 60,
};
const onlineOf = (
  host: string,
  caCertificate: string | null,
): Extract<ExchangeSettings, { kind: 'online' }> => ({
  kind: 'online',
  host,
  loginHost: host,
  organisation,
  clientId: '6f1d2c0e-5a0b-4c8e-9d33-0e6f6d5c2b11',
  credential: 'secret',
  anchorMailbox: 'postmaster@acme.example',
  caCertificate,
  ...shared,
});
const ownOf = (
  host: string,
  caCertificate: string | null,
): Extract<ExchangeSettings, { kind: 'on-premises' }> => ({
  kind: 'on-premises',
  host,
  account: 'ACME\\muster',
  ewsFollowsMail: false,
  caCertificate,
  ...shared,
});
const mailbox = (): Mailbox => ({
  allowed: ['PRIVATE'],
  blocked: ['APPL1'],
  ews: true,
  devices: ['APPL1', 'APPL2', 'APPL3'].map((DeviceId) => ({
    DeviceId,
    DeviceType: 'iPhone',
    DeviceUserAgent: 'Apple-iPhone14C2',
  })),
});
const clock = () => Date.parse('2026-01-01T00:00:00Z');
const parts = { allowLoopback: true, clock, pauses: openPauses(clock), tenantId: idOf('ten', 1) };
const letIn = { allow: { add: ['APPL1'], remove: [] }, block: { add: [], remove: ['APPL1'] } };
const refuses = (run: Promise<unknown>, code: string) =>
  assert.rejects(run, (error) => error instanceof MusterError && error.code === code);

const works = async (
  settings: ExchangeSettings,
  secret: string,
  server: { mailboxes: Map<string, Mailbox>; calls: { cmdlet: string; args: Record<string, unknown> }[] },
) => {
  server.mailboxes.set(ada, mailbox());
  const controller = await openController(settings, secret, parts);
  try {
    const has = await controller.readMailbox(ada);
    assert.deepEqual([has.allowed, has.blocked, has.ewsEnabled], [['PRIVATE'], ['APPL1'], true]);
    assert.deepEqual(
      has.partnerships.map(({ partnershipId }) => partnershipId),
      ['APPL1', 'APPL2', 'APPL3'],
    );
    await controller.switchAccess(ada, letIn);
    const { allowed, blocked } = server.mailboxes.get(ada) as Mailbox;
    assert.deepEqual([allowed, blocked], [['PRIVATE', 'APPL1'], []]);
    for (const { cmdlet, args } of server.calls)
      if (cmdlet === 'Set-CASMailbox')
        for (const name of ['ActiveSyncAllowedDeviceIDs', 'ActiveSyncBlockedDeviceIDs'])
          assert.equal(typeof (args[name] ?? {}), 'object', 'a plain value would overwrite the list');
    assert.equal(await controller.readDefaultAccessLevel(), 'Quarantine');
    await controller.barApp({ characteristic: 'UserAgent', query: 'Café <mail> & _x0041_' });
    assert.deepEqual(await controller.readBarredApps(), [
      { characteristic: 'UserAgent', query: 'Café <mail> & _x0041_' },
    ]);
    await controller.switchEws(ada, false);
    assert.equal((await controller.readMailbox(ada)).ewsEnabled, false);
    await refuses(controller.readMailbox('nobody@acme.example'), 'mailbox-missing');
  } finally {
    await controller.close();
  }
};

test('Exchange Online: pages, hash tables, anchor and token', async () => {
  const server = await startOnline(organisation, 'right');
  try {
    await works(onlineOf(server.host, server.caCertificate), 'right', server);
    assert.equal(server.state.tokens, 1, 'one token serves all');
    assert.ok(server.state.anchors.includes(`UPN:${ada}`));
    assert.ok(server.state.anchors.includes('UPN:postmaster@acme.example'));
  } finally {
    await server.stop();
  }
});

test('Exchange Online: throttling names its time, a lost token is renewed once, a page elsewhere is not followed', async () => {
  const server = await startOnline(organisation, 'right');
  server.mailboxes.set(ada, mailbox());
  const settings = onlineOf(server.host, server.caCertificate);
  let now = Date.parse('2026-01-01T00:00:00Z');
  const throttled = { ...parts, clock: () => now, pauses: openPauses(() => now) };
  const controller = await openController(settings, 'right', throttled);
  const sameTenant = await openController(settings, 'right', throttled);
  const otherTenant = await openController(settings, 'right', { ...throttled, tenantId: idOf('ten', 2) });
  const wrong = await openController(settings, 'wrong', parts);
  try {
    server.state.next.push({ status: 429, headers: { 'retry-after': '7' } });
    await assert.rejects(
      controller.readMailbox(ada),
      (error) =>
        error instanceof MusterError && error.code === 'exchange-throttled' && error.retryAfterMs === 7000,
    );
    // Nobody of the tenant asks again before the time is over; others do.
    const asked = server.state.anchors.length;
    await refuses(controller.readMailbox(ada), 'exchange-throttled');
    assert.equal(server.state.anchors.length, asked);
    now += 7001;
    server.state.next.push({ status: 503, headers: { 'retry-after': '60' } });
    await refuses(controller.readMailbox(ada), 'exchange-throttled');
    await refuses(sameTenant.readMailbox(ada), 'exchange-throttled');
    assert.equal(server.state.anchors.length, asked);
    await otherTenant.readMailbox(ada);
    now += 60_001;
    await sameTenant.readMailbox(ada);
    const { tokens } = server.state;
    server.state.next.push({ status: 401 });
    await controller.readMailbox(ada);
    assert.equal(server.state.tokens, tokens + 1);
    const body = JSON.stringify({ value: [], '@odata.nextLink': 'https://evil.example/adminapi' });
    server.state.next.push({ status: 200, body });
    await refuses(controller.readMailbox(ada), 'exchange-refused');
    server.state.next.push({ status: 500 });
    await refuses(controller.readMailbox(ada), 'exchange-unavailable');
    await refuses(wrong.readMailbox(ada), 'exchange-refused');
  } finally {
    for (const one of [controller, sameTenant, otherTenant, wrong]) await one.close();
    await server.stop();
  }
});

test('an Exchange server: cmdlets over PowerShell remoting, empty receives outwaited, the shell deleted', async () => {
  const server = await startOnPremises('ACME\\muster', 'pass:wörd');
  try {
    server.state.timeOuts = 3;
    await works(ownOf(server.host, server.caCertificate), 'pass:wörd', server);
    assert.equal(server.state.shells.size, 0);
  } finally {
    await server.stop();
  }
});

test('an Exchange server: a wrong password, a full quota, scripts, another certificate and loopback are refused', async () => {
  const server = await startOnPremises('ACME\\muster', 'right');
  const settings = ownOf(server.host, server.caCertificate);
  const attempt = async (changed: ExchangeSettings, password: string, allowLoopback = true) => {
    const controller = await openController(changed, password, { ...parts, allowLoopback });
    await controller.readDefaultAccessLevel().finally(() => controller.close());
  };
  try {
    await refuses(attempt(settings, 'wrong'), 'exchange-refused');
    await refuses(attempt(settings, 'right', false), 'exchange-refused');
    await refuses(attempt({ ...settings, caCertificate: null }, 'right'), 'exchange-unavailable');
    await refuses(
      attempt({ ...settings, certificateSha256: 'ab'.repeat(32) }, 'right'),
      'exchange-unavailable',
    );
    const any = { ...settings, caCertificate: null, allowAnyCertificate: true };
    await attempt(any, 'right');
    await attempt({ ...any, certificateSha256: server.certificateSha256 }, 'right');
    // A pin holds, whatever else is taken.
    await refuses(attempt({ ...any, certificateSha256: 'ab'.repeat(32) }, 'right'), 'exchange-unavailable');
    server.state.most = 0;
    await refuses(attempt(settings, 'right'), 'exchange-throttled');
    server.state.most = 1;
    const cmdlets = await openOnPremises(settings, 'right', parts);
    await refuses(cmdlets.invoke('Get-Date; Remove-Mailbox', {}), 'exchange-refused');
    await refuses(controllerOver(cmdlets).readMailbox('nobody@acme.example'), 'mailbox-missing');
    await cmdlets.close();
  } finally {
    await server.stop();
  }
});

test('Exchange Online: an application proves itself by its certificate, and not by another', async () => {
  const pairOf = async () => {
    const authority = await createAuthority('Application of a test', new Date());
    return issueServerCertificate(authority, ['app.example'], new Date());
  };
  const [own, strange] = [await pairOf(), await pairOf()];
  const server = await startOnline(organisation, 'unused', own.certificate);
  server.mailboxes.set(ada, mailbox());
  const settings = { ...onlineOf(server.host, server.caCertificate), credential: 'certificate' as const };
  const attempt = async (secret: string, changed: ExchangeSettings = settings) => {
    const controller = await openController(changed, secret, { ...parts, clock: Date.now });
    await controller.readMailbox(ada).finally(() => controller.close());
  };
  try {
    await attempt(`${own.key}\n${own.certificate}`);
    assert.equal(server.state.tokens, 1);
    for (const secret of [
      `${strange.key}\n${strange.certificate}`,
      `${strange.key}\n${own.certificate}`,
      own.certificate,
      'no PEM',
    ])
      await refuses(attempt(secret), 'exchange-refused');
    await refuses(attempt('unused', { ...settings, credential: 'secret' }), 'exchange-refused');
    assert.equal(server.state.tokens, 1);
  } finally {
    await server.stop();
  }
});

test('an Exchange server: fragments in the wrong order are refused, and the shell is deleted', async () => {
  const message = encodeMessage({
    destination: 'client',
    type: messageTypes.pipelineOutput,
    poolId: '6f1d2c0e-5a0b-4c8e-9d33-0e6f6d5c2b11',
    pipelineId: '6f1d2c0e-5a0b-4c8e-9d33-0e6f6d5c2b12',
    xml: 'x'.repeat(80_000),
  });
  const whole = fragmentsOf(1n, message);
  const fragmentBytes = 21 + 32_768;
  const [first, second, third] = [0, 1, 2].map((at) =>
    whole.subarray(at * fragmentBytes, (at + 1) * fragmentBytes),
  ) as [Buffer, Buffer, Buffer];
  const read = (...parts: Buffer[]) => {
    const take = openDefragmenter();
    return parts.flatMap((part) => take(part));
  };
  assert.equal(read(first, second, third)[0]?.xml.length, 80_000);
  for (const wrong of [
    [second, first, third],
    [first, third, second],
    [first, second, second],
    [first, first],
    [third],
    [first.subarray(0, 30)],
    [first, fragmentsOf(2n, message)],
  ])
    assert.throws(() => read(...wrong), RangeError);
  const server = await startOnPremises('ACME\\muster', 'right');
  try {
    server.state.disordered = true;
    const cmdlets = await openOnPremises(ownOf(server.host, server.caCertificate), 'right', parts);
    await refuses(cmdlets.invoke('Get-CASMailbox', { Identity: ada }), 'exchange-unavailable');
    await cmdlets.close();
    assert.equal(server.state.shells.size, 0);
  } finally {
    await server.stop();
  }
});

test('hosts are names with ports and nothing more', () => {
  for (const host of [
    'https://mail.example',
    'mail.example/powershell',
    'a@mail.example',
    '',
    'mail example',
  ])
    assert.ok(!exchangeSettings.safeParse(ownOf(host, null)).success, host);
  for (const host of ['mail.example', 'mail.example:8443', '[2001:db8::1]:443'])
    assert.ok(exchangeSettings.safeParse(ownOf(host, null)).success, host);
});
