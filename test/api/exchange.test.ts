/** Exchange connections in GraphQL: settings named by field, a secret nobody sees and no other server gets, two tenants. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { exchangeDecider } from '../../domain/exchange/decide.ts';
import type { AccessLevel } from '../../domain/exchange/exchange.ts';
import { isoTime } from '../../platform/clock.ts';
import { newUuid } from '../../platform/new-id.ts';
import { openSeal } from '../../platform/seal.ts';
import { exchangeSecretPurpose, openSealedSecrets } from '../../platform/sealed-secrets.ts';
import { type ApiStage, enter, type Json, openStage, type TenantStage } from './stage.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());

const online = {
  kind: 'online',
  host: 'outlook.office365.com',
  loginHost: 'login.microsoftonline.com',
  organisation: 'acme.example',
  clientId: '6f1d2c0e-5a0b-4c8e-9d33-0e6f6d5c2b11',
  credential: 'secret',
  anchorMailbox: 'postmaster@acme.example',
  caCertificate: null,
  certificateSha256: null,
  allowAnyCertificate: false,
  containerApps: null,
  barredApps: [],
  bindUnknown: false,
  dryRun: true,
  intervalMinutes: 60,
};
const configure = (of: TenantStage, input: object): Promise<Json> =>
  of.client.mutate(
    'configureExchange',
    input,
    'ExchangePayload',
    'pending connection { name settings warnings }',
  );
const connections = async (of: TenantStage): Promise<Json> => {
  const fields = 'name settings warnings lastReconciledAt failingSince failingDevices { deviceId } dueAt';
  return (await of.client.query(`{ exchangeConnections { ${fields} } }`)).exchangeConnections;
};
const secretOf = (of: TenantStage, name: string): Promise<string | null> =>
  openSealedSecrets(stage.deps.sql, openSeal(stage.config)).get(of.tenantId, exchangeSecretPurpose(name));

test('a connection is set, shown without its secret, and is another tenant’s never', async () => {
  const { connection } = await configure(acme, { name: 'main', settings: online, secret: 's3cret-of-acme' });
  assert.deepEqual([connection.name, connection.settings, connection.warnings], ['main', online, []]);
  assert.equal(await secretOf(acme, 'main'), 's3cret-of-acme');
  const [shown] = await connections(acme);
  assert.equal(shown.name, 'main');
  assert.deepEqual(shown.failingDevices, []);
  assert.doesNotMatch(JSON.stringify(shown), /s3cret/);
  assert.deepEqual(await connections(other), []);
  assert.equal(await secretOf(other, 'main'), null);
});

test('the secret stays when it is left out, and is forgotten when it would go to somebody else', async () => {
  const name = 'moved';
  await configure(acme, { name, settings: online, secret: 'first' });
  await configure(acme, { name, settings: { ...online, intervalMinutes: 90 } });
  assert.equal(await secretOf(acme, name), 'first');
  for (const change of [
    { host: 'mail.elsewhere.example' },
    { loginHost: 'login.elsewhere.example' },
    { clientId: '00000000-0000-4000-8000-000000000000' },
    { allowAnyCertificate: true },
  ]) {
    await configure(acme, { name, settings: online, secret: 'again' });
    const { connection } = await configure(acme, { name, settings: { ...online, ...change } });
    assert.equal(await secretOf(acme, name), null, JSON.stringify(change));
    assert.equal(connection.warnings.length, 'allowAnyCertificate' in change ? 1 : 0);
  }
});

test('wrong settings are named by their field, and nothing is kept of them', async () => {
  for (const [change, field] of [
    [{ host: 'https://outlook.office365.com' }, 'settings.host'],
    [{ intervalMinutes: 1 }, 'settings.intervalMinutes'],
    [{ barredApps: [{ characteristic: 'Colour', query: 'x' }] }, 'settings.barredApps.0.characteristic'],
  ] as const) {
    const refused = await configure(acme, {
      name: 'wrong',
      settings: { ...online, ...change },
      secret: 'kept?',
    });
    assert.deepEqual([refused.__typename, refused.code, refused.field], ['Fault', 'invalid-input', field]);
  }
  assert.ok((await connections(acme)).every(({ name }: Json) => name !== 'wrong'));
  assert.equal(await secretOf(acme, 'wrong'), null);
});

test('a comparison is asked for by name; an unknown name is an answer', async () => {
  const ask = (of: TenantStage) =>
    of.client.mutate(
      'reconcileExchange',
      { name: 'main', dryRun: true },
      'ExchangePayload',
      'connection { dueAt }',
    );
  assert.ok(Date.parse((await ask(acme)).connection.dueAt) <= Date.now() + 60_000);
  assert.equal((await ask(other)).code, 'exchange-connection-missing');
});

test('a default access level that lets in unmanaged devices is warned of, as long as it is so', async () => {
  const found = async (defaultAccessLevel: AccessLevel, at: number) => {
    const counts = {
      dryRun: true,
      mailboxes: 0,
      drifted: 0,
      failed: 0,
      strange: 0,
      changes: [],
      strangers: [],
    };
    const command = {
      type: 'RecordReconciliation',
      name: 'main',
      startedAt: isoTime(at),
      outcome: { ...counts, defaultAccessLevel },
    } as const;
    const cause = { actor: { kind: 'system', id: 'test' }, commandId: newUuid() } as const;
    const { tenantId } = acme;
    await stage.deps.handler.handle(exchangeDecider, { tenantId, id: tenantId }, command, cause);
    const shown = await connections(acme);
    return shown.find(({ name }: Json) => name === 'main').warnings;
  };
  const now = Date.now();
  assert.match((await found('Allow', now)).join(), /default access level Allow/);
  assert.deepEqual(await found('Quarantine', now + 1), []);
  assert.deepEqual(await found('Block', now + 2), []);
});

test('roles that do not own the tenant read or are refused; a removed connection takes its secret along', async () => {
  const made = await acme.client.mutate(
    'createAccount',
    { email: 'limited@acme.example', name: 'Lim', role: 'limited-administrator' },
    'AccountPasswordPayload',
    'oneTimePassword',
  );
  const limited = await enter(
    stage.api.url,
    'acme',
    'limited@acme.example',
    made.oneTimePassword,
    'another long password of lim',
  );
  const input = { name: 'main' };
  const denied = await limited.mutate('removeExchangeConnection', input, 'ExchangePayload', 'pending');
  assert.equal(denied.code, 'forbidden');
  const { exchangeConnections: read } = await limited.query('{ exchangeConnections { name } }');
  assert.ok(read.length > 0);
  const remove = (of: TenantStage) =>
    of.client.mutate('removeExchangeConnection', input, 'ExchangePayload', 'pending');
  await remove(other);
  assert.equal(await secretOf(acme, 'main'), 's3cret-of-acme');
  assert.equal((await remove(acme)).__typename, 'ExchangePayload');
  assert.equal(await secretOf(acme, 'main'), null);
  assert.ok((await connections(acme)).every(({ name }: Json) => name !== 'main'));
});
