/** One contract over every push provider of the registry, then what is FCM's own. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { PushProviderName } from '../../domain/device/device.ts';
import { readConfig, serverSettings } from '../../platform/config.ts';
import { MusterError } from '../../platform/errors.ts';
import { withBreaker } from '../../workers/push/breaker.ts';
import { retryAfterOf } from '../../workers/push/fcm.ts';
import { openPushServices, pushProviders } from '../../workers/push/index.ts';
import type { PushParts, PushProvider } from '../../workers/push/provider.ts';
import { type FcmServer, fcmFailure, startFcm } from '../support/fcm.ts';
import { testLog } from '../support/servers.ts';

const message = { collapseKey: 'wake', ttlSeconds: 3600 };
let now = Date.UTC(2026, 10, 23);
const clock = () => now;

const partsOf = (overrides: Record<string, string> = {}): PushParts => ({
  config: readConfig(serverSettings, overrides, {}),
  clock,
  log: testLog,
});

/** A provider that is built runs the contract against its vendor's loopback server. */
interface Vendor {
  readonly settings: Record<string, string>;
  readonly killToken: (token: string) => void;
  readonly rejectNext: () => void;
  readonly overloadNext: (retryAfterSeconds: number) => void;
  /** Settings under which nobody answers. */
  readonly unreachable: Record<string, string>;
  readonly taken: () => number;
  readonly stop: () => Promise<void>;
}

const startFcmVendor = async (): Promise<Vendor> => {
  const fcm = await startFcm(clock);
  const settings = { fcmServiceAccountFile: fcm.serviceAccountFile, fcmEndpoint: fcm.endpoint };
  return {
    settings,
    killToken: (token) => fcm.setFate(token, 'unregistered'),
    rejectNext: () => fcm.failNext('send', fcmFailure(403, 'PERMISSION_DENIED', '')),
    overloadNext: (seconds) =>
      fcm.failNext('send', {
        ...fcmFailure(503, 'UNAVAILABLE', 'UNAVAILABLE'),
        headers: { 'retry-after': String(seconds) },
      }),
    unreachable: { ...settings, fcmEndpoint: 'http://127.0.0.1:9' },
    taken: () => fcm.taken.length,
    stop: fcm.stop,
  };
};

/** undefined: the provider is listed but not built, and must say so. A new name does not compile without a line. */
const vendors: Record<PushProviderName, (() => Promise<Vendor>) | undefined> = {
  fcm: startFcmVendor,
  apns: undefined,
  wns: undefined,
};

const codeOf = (error: unknown): string => (error instanceof MusterError ? error.code : String(error));
const failure = (sending: Promise<unknown>): Promise<MusterError> =>
  sending.then(
    () => assert.fail('was sent'),
    (error: unknown) => {
      assert.ok(error instanceof MusterError, String(error));
      return error;
    },
  );

for (const [name, entry] of Object.entries(pushProviders)) {
  const provider = name as PushProviderName;
  const startVendor = vendors[provider];

  test(`${name} without settings is off and says why`, async () => {
    assert.equal(entry.name, name);
    const opened = await entry.open(partsOf());
    assert.ok('off' in opened && opened.off.length > 20);
  });

  if (!startVendor) continue;
  describe(`push contract: ${name}`, () => {
    let vendor: Vendor;
    let service: PushProvider;
    before(async () => {
      vendor = await startVendor();
      service = (await entry.open(partsOf(vendor.settings))) as PushProvider;
    });
    after(async () => {
      await service.close();
      await vendor.stop();
    });

    test('a wake is taken and answers an id', async () => {
      const first = await service.send({ provider, token: 'contract-1' }, message);
      const second = await service.send({ provider, token: 'contract-1' }, message);
      assert.notEqual(first.messageId, second.messageId);
      assert.ok(first.messageId.length > 0 && first.messageId.length <= 300);
      assert.equal(vendor.taken(), 2);
    });
    test('a dead token is push-token-dead, and no error tells the token', async () => {
      vendor.killToken('secret-token');
      const error = await failure(service.send({ provider, token: 'secret-token' }, message));
      assert.equal(error.code, 'push-token-dead');
      assert.ok(!JSON.stringify([error.message, String(error.cause)]).includes('secret-token'));
    });
    test('what repeating cannot mend is push-rejected', async () => {
      vendor.rejectNext();
      const error = await failure(service.send({ provider, token: 'contract-1' }, message));
      assert.deepEqual([error.code, error.retryable], ['push-rejected', false]);
    });
    test('overload is push-unavailable with the time that the service named', async () => {
      vendor.overloadNext(17);
      const error = await failure(service.send({ provider, token: 'contract-1' }, message));
      assert.deepEqual([error.code, error.retryable, error.retryAfterMs], ['push-unavailable', true, 17_000]);
    });
    test('a service that does not answer is push-unavailable', async () => {
      const lonely = (await entry.open(partsOf(vendor.unreachable))) as PushProvider;
      const error = await failure(lonely.send({ provider, token: 'contract-1' }, message));
      assert.equal(error.code, 'push-unavailable');
      await lonely.close();
    });
  });
}

describe('FCM', () => {
  let fcm: FcmServer;
  let service: PushProvider;
  const push = { provider: 'fcm' as const, token: 'device-token' };
  before(async () => {
    fcm = await startFcm(clock);
  });
  after(() => fcm.stop());
  const open = async (overrides: Record<string, string> = {}) =>
    (await pushProviders.fcm.open(
      partsOf({
        fcmServiceAccountFile: fcm.serviceAccountFile,
        fcmEndpoint: fcm.endpoint,
        ...overrides,
      }),
    )) as PushProvider;
  beforeEach(async () => {
    service = await open();
  });
  afterEach(() => service.close());

  test('the message is data of type wake, urgent, collapsible, with a lifetime', async () => {
    await service.send(push, message);
    assert.deepEqual(fcm.taken.at(-1), {
      token: 'device-token',
      data: { type: 'wake' },
      android: { priority: 'HIGH', ttl: '3600s', collapse_key: 'wake' },
    });
  });
  test('an access token is asked for once by many wakes, and again shortly before it expires', async () => {
    const given = fcm.counts.tokens;
    await Promise.all(Array.from({ length: 10 }, () => service.send(push, message)));
    assert.equal(fcm.counts.tokens, given + 1);
    now += 3_530_000;
    await service.send(push, message);
    assert.equal(fcm.counts.tokens, given + 1);
    now += 20_000;
    await service.send(push, message);
    assert.equal(fcm.counts.tokens, given + 2);
  });
  test('a refused access token is renewed once; a second refusal is push-rejected', async () => {
    await service.send(push, message);
    fcm.revokeAccess();
    await service.send(push, message);
    const unauthenticated = fcmFailure(401, 'UNAUTHENTICATED', 'THIRD_PARTY_AUTH_ERROR');
    fcm.failNext('send', unauthenticated);
    fcm.failNext('send', unauthenticated);
    const sends = fcm.counts.sends;
    assert.equal((await failure(service.send(push, message))).code, 'push-rejected');
    assert.equal(fcm.counts.sends, sends + 2);
  });
  test('a token endpoint that refuses the account is push-rejected; one that fails is push-unavailable', async () => {
    fcm.failNext('token', { status: 400, body: { error: 'invalid_grant' } });
    const refused = await failure(service.send(push, message));
    assert.equal(refused.code, 'push-rejected');
    assert.match(refused.message, /invalid_grant/);
    fcm.failNext('token', { status: 503 });
    assert.equal((await failure(service.send(push, message))).code, 'push-unavailable');
    await service.send(push, message);
  });
  test('the reasons of FCM are told apart', async () => {
    for (const fate of ['unregistered', 'sender-mismatch', 'malformed', 'malformed-named'] as const) {
      fcm.setFate(fate, fate);
      const error = await failure(service.send({ provider: 'fcm', token: fate }, message));
      assert.equal(error.code, 'push-token-dead', fate);
    }
    const tooBig = await failure(service.send(push, { ...message, ttlSeconds: 9_999_999 }));
    assert.equal(tooBig.code, 'push-rejected');
    assert.match(tooBig.message, /message\.android\.ttl/);
    fcm.failNext('send', fcmFailure(404, 'NOT_FOUND', ''));
    assert.equal((await failure(service.send(push, message))).code, 'push-rejected');
    fcm.failNext('send', fcmFailure(429, 'RESOURCE_EXHAUSTED', 'QUOTA_EXCEEDED'));
    assert.equal((await failure(service.send(push, message))).retryAfterMs, 60_000);
    fcm.failNext('send', { status: 500, body: '<html>' });
    assert.equal((await failure(service.send(push, message))).code, 'push-unavailable');
    fcm.failNext('send', { status: 200, body: {} });
    assert.equal((await failure(service.send(push, message))).code, 'push-unavailable');
  });
  test('Retry-After is read in seconds and as a date', () => {
    assert.equal(retryAfterOf('120', now), 120_000);
    assert.equal(retryAfterOf(new Date(now + 5000).toUTCString(), now), 5000);
    assert.equal(retryAfterOf(new Date(now - 5000).toUTCString(), now), 0);
    assert.equal(retryAfterOf('soon', now), undefined);
    assert.equal(retryAfterOf(undefined, now), undefined);
  });
  test('wrong settings are config-invalid and name the file or field, never the key', async () => {
    const wrong = `${fcm.serviceAccountFile}.wrong`;
    const cases: [string, RegExp][] = [
      ['{"private_key":"-----BEGIN PRIVATE KEY-----geheim', /is not JSON/],
      ['{"type":"authorized_user"}', /project_id/],
    ];
    for (const [text, expected] of cases) {
      writeFileSync(wrong, text);
      const error = await failure(open({ fcmServiceAccountFile: wrong }));
      assert.equal(codeOf(error), 'config-invalid');
      assert.match(error.message, expected);
      assert.doesNotMatch(error.message, /geheim/);
    }
    await assert.rejects(open({ fcmServiceAccountFile: '/nowhere.json' }), /cannot be read/);
    await assert.rejects(open({ fcmEndpoint: 'http://fcm.example.com' }), /must be https/);
  });
});

test('the registry opens behind a breaker, which rests after five outages and then tries again', async () => {
  const fcm = await startFcm(clock);
  const services = await openPushServices(
    partsOf({ fcmServiceAccountFile: fcm.serviceAccountFile, fcmEndpoint: fcm.endpoint }),
  );
  const service = services.of('fcm') as PushProvider;
  assert.ok('off' in services.of('apns'));
  const push = { provider: 'fcm' as const, token: 'device-token' };
  for (let outage = 0; outage < 5; outage += 1) {
    fcm.failNext('send', { status: 503 });
    await failure(service.send(push, message));
  }
  const sends = fcm.counts.sends;
  assert.equal((await failure(service.send(push, message))).retryAfterMs, 30_000);
  assert.equal(fcm.counts.sends, sends);
  now += 30_000;
  await service.send(push, message);
  fcm.failNext('send', { status: 503 });
  await failure(service.send(push, message));
  await service.send(push, message);
  await services.close();
  await fcm.stop();
});

test('a dead token is no outage to the breaker', async () => {
  const dead: PushProvider = {
    send: async () => {
      throw new MusterError('push-token-dead', 'gone');
    },
    close: async () => {},
  };
  const guarded = withBreaker(dead, clock);
  for (let time = 0; time < 10; time += 1) {
    const error = await failure(guarded.send({ provider: 'fcm', token: 't' }, message));
    assert.equal(error.code, 'push-token-dead');
  }
});
