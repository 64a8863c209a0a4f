/** Verdicts carried to Exchange by jobs: two tenants with an Exchange each, drift, dry runs, throttling, a lost server. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { migrateVault } from '../../../api/vault/migrations.ts';
import { exchangeDecider } from '../../../domain/exchange/decide.ts';
import type { ExchangeSettings, Reconciliation } from '../../../domain/exchange/exchange.ts';
import type { DeviceId } from '../../../domain/ids.ts';
import type { StoredEvent } from '../../../platform/event-store.ts';
import { newUuid } from '../../../platform/new-id.ts';
import { openSeal } from '../../../platform/seal.ts';
import { exchangeSecretPurpose, openSealedSecrets } from '../../../platform/sealed-secrets.ts';
import { openProjectionWaiter } from '../../../projections/await.ts';
import { startOnline } from '../../support/exchange.ts';
import { untilHeld } from '../../support/jobs.ts';
import { backends } from '../backends.ts';
import { foundTenant, type Stage, say, startStage, untilEvent } from '../stage.ts';

const organisation = 'acme.example';
const ada = 'ada@acme.example';
const bob = 'bob@acme.example';
type Server = Awaited<ReturnType<typeof startOnline>>;
type Tenant = Awaited<ReturnType<typeof foundTenant>>;

let stage: Stage;
const servers: Server[] = [];
before(async () => {
  const [postgres] = backends;
  assert.ok(postgres);
  const secretKey = Buffer.alloc(32, 7).toString('base64');
  stage = await startStage(postgres, { exchangeAllowLoopback: 'true', secretKey });
  await migrateVault(stage.deps.sql);
});
after(async () => {
  for (const server of servers) await server.stop();
  await stage.stop();
});

const newServer = async (): Promise<Server> => {
  const server = await startOnline(organisation, 'right');
  servers.push(server);
  for (const name of [ada, bob])
    server.mailboxes.set(name, {
      allowed: ['PRIVATE'],
      blocked: [],
      ews: true,
      devices: [{ DeviceId: 'APPL1', DeviceType: 'iPhone', DeviceUserAgent: 'Apple-iPhone14C2' }],
    });
  return server;
};

const settingsOf = (server: Server, changes: Partial<ExchangeSettings> = {}): ExchangeSettings =>
  ({
    kind: 'online',
    host: server.host,
    loginHost: server.host,
    organisation,
    clientId: '6f1d2c0e-5a0b-4c8e-9d33-0e6f6d5c2b11',
    credential: 'secret',
    anchorMailbox: 'postmaster@acme.example',
    caCertificate: server.caCertificate,
    certificateSha256: null,
    allowAnyCertificate: false,
    containerApps: null,
    barredApps: [],
    bindUnknown: false,
    dryRun: false,
    intervalMinutes: 60,
    ...changes,
  }) as ExchangeSettings;

const configure = async ({ tenantId }: Tenant, name: string, settings: ExchangeSettings) => {
  const secrets = openSealedSecrets(stage.deps.sql, openSeal(stage.config));
  await secrets.put(tenantId, exchangeSecretPurpose(name), 'right');
  await say(
    stage.deps,
    exchangeDecider,
    { tenantId, id: tenantId },
    { type: 'ConfigureExchange', name, settings },
  );
};

/** A device that was let in. */
const settledDevice = async (tenant: Tenant, userEmail: string, easDeviceId: string): Promise<DeviceId> => {
  const deviceId = await tenant.device({ userEmail, easDeviceId });
  // Jobs look again when they are done: those of the enrolment must not meet what comes next.
  for (const type of ['DeviceEnrolled', 'ComplianceVerdictReached'])
    for (const { id } of await tenant.events(deviceId, type)) await stage.settled('switch-mail-access', id);
  return deviceId;
};

/** A tenant with an Exchange of its own, and a device of Ada's that was let in. */
const withExchange = async () => {
  const [tenant, server] = [await foundTenant(stage.deps), await newServer()];
  await configure(tenant, 'main', settingsOf(server));
  const deviceId = await settledDevice(tenant, 'Ada@acme.example', 'APPL1');
  return { tenant, server, deviceId };
};

const untilOf = ({ tenantId }: Tenant, type: string, fits: (event: StoredEvent) => boolean = () => true) =>
  untilEvent(stage.deps, (event) => event.tenantId === tenantId && event.type === type && fits(event));

const listsOf = (server: Server, mailbox = ada) => {
  const found = server.mailboxes.get(mailbox);
  return [found?.allowed, found?.blocked];
};

const setAccess = async (
  tenant: Tenant,
  deviceId: DeviceId,
  access: 'allow' | 'deny',
): Promise<StoredEvent> => {
  await tenant.on(deviceId, { type: 'SetMailAccess', access });
  const set = (await tenant.events(deviceId, 'DeviceMailAccessSet')).at(-1);
  assert.ok(set);
  return set;
};

/** Has everything compared and answers what came of it. */
const compare = async (tenant: Tenant, dryRun = false): Promise<Reconciliation> => {
  const { tenantId } = tenant;
  const requestId = newUuid();
  const target = { tenantId, id: tenantId };
  // A comparison that began in the same millisecond as the one before would be taken for it.
  stage.move(1000);
  const command = { type: 'RequestReconciliation', name: 'main', requestId, dryRun } as const;
  await say(stage.deps, exchangeDecider, target, command);
  const asked = await untilOf(
    tenant,
    'ExchangeReconciliationRequested',
    ({ data }) => (data as { requestId: string }).requestId === requestId,
  );
  const job = await stage.settled('reconcile-exchange', asked.id);
  assert.deepEqual(job.returnvalue, { reconciled: true }, job.failedReason);
  const { state } = await stage.deps.handler.load(exchangeDecider, target);
  return state.connections['main']?.last?.outcome as Reconciliation;
};

test("a verdict is carried to the tenant's own Exchange, and to no other's", async () => {
  const [acme, other] = [await withExchange(), await withExchange()];
  for (const { server } of [acme, other]) assert.deepEqual(listsOf(server), [['PRIVATE', 'APPL1'], []]);
  const calls = other.server.calls.length;
  const set = await setAccess(acme.tenant, acme.deviceId, 'deny');
  const blocked = await untilOf(acme.tenant, 'MailAccessBlocked');
  assert.deepEqual(blocked.data, {
    name: 'main',
    deviceId: acme.deviceId,
    mailbox: ada,
    partnershipId: 'APPL1',
    reason: 'An administrator denies mail to this device.',
  });
  assert.equal(blocked.metadata.$causationId, set.id);
  assert.deepEqual(listsOf(acme.server), [['PRIVATE'], ['APPL1']]);
  assert.deepEqual(listsOf(other.server), [['PRIVATE', 'APPL1'], []]);
  assert.equal(other.server.calls.length, calls);
});

test('who has no connection, or one that is dry, switches nothing', async () => {
  const [plain, dry, server] = [
    await foundTenant(stage.deps),
    await foundTenant(stage.deps),
    await newServer(),
  ];
  await configure(dry, 'main', settingsOf(server, { dryRun: true }));
  for (const tenant of [plain, dry]) {
    const deviceId = await tenant.device({ userEmail: ada, easDeviceId: 'APPL1' });
    const set = await setAccess(tenant, deviceId, 'deny');
    const { returnvalue } = await stage.settled('switch-mail-access', set.id);
    assert.deepEqual(returnvalue, { outcome: 'no-connection' });
  }
  assert.deepEqual(server.calls, []);
});

test('drift is named by a dry run and repaired by a comparison, and a missing mailbox keeps none waiting', async () => {
  const { tenant, server, deviceId } = await withExchange();
  await setAccess(tenant, deviceId, 'deny');
  await untilOf(tenant, 'MailAccessBlocked');
  const lost = await tenant.device({ userEmail: 'lost@acme.example', easDeviceId: 'APPL9' });
  await untilOf(tenant, 'MailAccessFailed', ({ data }) => (data as { deviceId: string }).deviceId === lost);
  Object.assign(server.mailboxes.get(ada) as object, { allowed: ['APPL1', 'PRIVATE'], blocked: [] });
  server.mailboxes.get(ada)?.devices.push({ DeviceId: 'SEC7', DeviceType: 'Samsung', DeviceUserAgent: 'x' });

  const dry = await compare(tenant, true);
  assert.deepEqual([dry.dryRun, dry.mailboxes, dry.drifted, dry.failed, dry.strange], [true, 2, 1, 1, 1]);
  assert.deepEqual(
    dry.changes.map(({ mailbox, partnershipId, action }) => [mailbox, partnershipId, action]),
    [[ada, 'APPL1', 'block']],
  );
  assert.equal(dry.strangers[0]?.partnershipId, 'SEC7');
  assert.deepEqual(listsOf(server), [['APPL1', 'PRIVATE'], []]);

  const repaired = await compare(tenant);
  assert.deepEqual([repaired.dryRun, repaired.drifted, repaired.failed], [false, 1, 1]);
  assert.deepEqual(listsOf(server), [['PRIVATE'], ['APPL1']]);
  assert.equal((await compare(tenant)).drifted, 0);
});

test('a comparison is made when it is due', async () => {
  const { tenant, server } = await withExchange();
  await compare(tenant);
  Object.assign(server.mailboxes.get(ada) as object, { allowed: [] });
  const done = await untilOf(tenant, 'ExchangeReconciled');
  const projected = await openProjectionWaiter(stage.deps);
  assert.ok(await projected.reached(done.position, 20_000));
  await projected.close();
  stage.move(61 * 60_000);
  await stage.queue('review-exchange').add('review-exchange', {}, { jobId: 'now' });
  await stage.settled('review-exchange', 'now');
  await untilOf(tenant, 'ExchangeReconciled', ({ position }) => position > done.position);
  assert.deepEqual(listsOf(server), [['APPL1'], []]);
});

test('a verdict that changes during a comparison is not undone by it', async () => {
  const { tenant, server, deviceId } = await withExchange();
  Object.assign(server.mailboxes.get(ada) as object, { allowed: [] });
  let denied: Promise<StoredEvent> | undefined;
  server.state.before = async (cmdlet) => {
    if (cmdlet !== 'Get-CASMailbox') return;
    denied ??= setAccess(tenant, deviceId, 'deny');
    await denied;
  };
  const from = server.calls.length;
  await compare(tenant);
  await untilOf(tenant, 'MailAccessBlocked');
  const letIn = server.calls.slice(from).filter(({ cmdlet, args }) => {
    const change = args['ActiveSyncAllowedDeviceIDs'] as { add?: string } | undefined;
    return cmdlet === 'Set-CASMailbox' && change?.add !== undefined;
  });
  assert.deepEqual(letIn, []);
  const { allowed, blocked } = server.mailboxes.get(ada) ?? {};
  assert.deepEqual(allowed, []);
  // The comparison and the job may both have blocked it.
  assert.ok(blocked?.includes('APPL1'));
});

test('a throttled switch is tried again, and says so meanwhile, and no other job of the tenant asks', async () => {
  const { tenant, server, deviceId } = await withExchange();
  const second = await settledDevice(tenant, bob, 'APPL2');
  server.state.next.push({ status: 429, headers: { 'retry-after': '3600' } });
  const set = await setAccess(tenant, deviceId, 'deny');
  const held = await untilHeld(stage.queue('switch-mail-access'), set.id);
  const failed = await untilOf(tenant, 'MailAccessFailed');
  assert.equal((failed.data as { code: string }).code, 'exchange-throttled');
  assert.ok(held.delay >= 3_600_000, 'not before the time that Exchange named');
  assert.deepEqual(listsOf(server), [['PRIVATE', 'APPL1'], []]);
  const asked = server.state.anchors.length;
  const also = await setAccess(tenant, second, 'deny');
  const alsoHeld = await untilHeld(stage.queue('switch-mail-access'), also.id);
  assert.equal(server.state.anchors.length, asked);
  stage.move(3_600_001);
  await alsoHeld.promote();
  await stage.settled('switch-mail-access', also.id);
  assert.deepEqual(listsOf(server, bob), [['PRIVATE'], ['APPL2']]);
  await held.promote();
  const job = await stage.settled('switch-mail-access', set.id);
  assert.deepEqual(job.returnvalue, { main: 'switched' });
  assert.deepEqual(listsOf(server), [['PRIVATE'], ['APPL1']]);
});

test('a server that is away keeps no other connection of the tenant waiting', async () => {
  const [tenant, server] = [await foundTenant(stage.deps), await newServer()];
  await configure(tenant, 'away', settingsOf(server, { host: '127.0.0.1:1' }));
  await configure(tenant, 'main', settingsOf(server));
  const deviceId = await tenant.device({ userEmail: ada, easDeviceId: 'APPL1' });
  await untilOf(tenant, 'MailAccessGranted');
  assert.deepEqual(listsOf(server), [['PRIVATE', 'APPL1'], []]);
  const failed = await untilOf(tenant, 'MailAccessFailed');
  const { name, code } = failed.data as { name: string; code: string };
  assert.deepEqual([name, code], ['away', 'exchange-unavailable']);
  const [enrolled] = await tenant.events(deviceId, 'DeviceEnrolled');
  await untilHeld(stage.queue('switch-mail-access'), enrolled?.id ?? '');
});
