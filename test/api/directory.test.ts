/**
 * A tenant's directory against a real slapd: look-up, users made of entries, sign-in to the portal, sync; and what
 * hostile names, servers and passwords meet.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { directoryDecider } from '../../domain/directory/decide.ts';
import { isDenied } from '../../platform/ldap/address.ts';
import { openSeal } from '../../platform/seal.ts';
import { openSealedSecrets } from '../../platform/sealed-secrets.ts';
import { openProjectionWaiter } from '../../projections/await.ts';
import type { Parts } from '../../workers/jobs.ts';
import { syncDirectory } from '../../workers/sync-directory.ts';
import { person, type Slapd, slapdMissing, startSlapd } from '../support/slapd.ts';
import { at, audited, behindBalancer } from './sign-in/people.ts';
import { type ApiStage, clientOf, type Json, openStage, type TenantStage } from './stage.ts';
import { directory } from './world.ts';

test('loopback, link-local and metadata addresses are denied however they are written', () => {
  for (const address of [
    '127.0.0.1',
    '127.8.8.8',
    '0.0.0.0',
    '169.254.169.254',
    '100.100.100.200',
    '168.63.129.16',
    '224.0.0.1',
    '::',
    '::1',
    'fe80::1',
    '::ffff:127.0.0.1',
    '::ffff:169.254.169.254',
    '64:ff9b::7f00:1',
    'fd00:ec2::254',
    '2002:7f00:1::',
  ])
    assert.ok(isDenied(address), address);
  for (const address of ['10.0.0.5', '192.168.1.1', '8.8.8.8', '2001:db8::1', 'fd12::1'])
    assert.ok(!isDenied(address), address);
});

/** What the cases share: one slapd, and a stage for each choice of settings. */
let slapd: Promise<Slapd> | undefined;
const stages = new Map<string, Promise<ApiStage>>();
let cases = 0;
/** How far the stages' clocks are ahead. */
let aheadMs = 0;
after(async () => {
  for (const stage of stages.values()) await (await stage).stop();
  await (await slapd)?.stop();
});

/** Runs a case with two tenants of its own. */
const withStage = async (
  settings: Record<string, string>,
  run: (parts: { stage: ApiStage; slapd: Slapd; acme: TenantStage; other: TenantStage }) => Promise<void>,
) => {
  slapd ??= startSlapd(people);
  const key = JSON.stringify(settings);
  const opened = stages.get(key) ?? openStage({ settings, clock: () => Date.now() + aheadMs });
  stages.set(key, opened);
  const stage = await opened;
  cases += 1;
  const [acme, other] = [await stage.tenant(`acme${cases}`), await stage.tenant(`other${cases}`)];
  await run({ stage, slapd: await slapd, acme, other });
};

const settingsOf = (slapd: Slapd, changes: object = {}) => ({
  ...directory,
  urls: [slapd.ldapsUrl],
  caCertificate: slapd.ca,
  baseDns: [slapd.baseDn],
  bindDn: slapd.bindDn,
  ...changes,
});
const configure = ({ client }: TenantStage, settings: object, bindPassword?: string) =>
  client.mutate(
    'configureDirectory',
    { settings, ...(bindPassword ? { bindPassword } : {}) },
    'DirectoryPayload',
    'directory { warning settings }',
  );
const search = async ({ client }: TenantStage, term: string) =>
  client.raw('query($term: String!) { searchDirectory(term: $term) { guid name email user { id } } }', {
    term,
  });
const foundBy = async (tenant: TenantStage, term: string): Promise<string[]> => {
  const { data, errors } = await search(tenant, term);
  assert.deepEqual(errors, []);
  return data.searchDirectory.map(({ name }: { name: string }) => name).sort();
};
const people =
  person('ann', 'Ann Arbor', 'employeeNumber: 17\nou: Sales\n') +
  person('bob', 'Bob') +
  person('star', 'A*B (x)') +
  Array.from({ length: 60 }, (_, n) => person(`crowd${n}`, `Crowd ${n}`)).join('');
const loopback = { directoryAllowLoopback: 'true' };

describe('a directory', { skip: slapdMissing }, () => {
  test('is searched over ldaps and StartTLS, with hostile terms taken as text', () =>
    withStage(loopback, async ({ slapd, acme, other }) => {
      const refused = await search(acme, 'Ann');
      assert.equal(refused.errors[0]?.extensions.code, 'directory-missing');
      await configure(acme, settingsOf(slapd), slapd.bindPassword);
      assert.deepEqual(await foundBy(acme, 'Ann'), ['Ann Arbor']);
      assert.deepEqual(await foundBy(acme, 'A*B ('), ['A*B (x)']);
      for (const hostile of ['*', ')(uid=*', 'x)(|(uid=*', '\\2a', 'Ann)(cn=*'])
        assert.deepEqual(await foundBy(acme, hostile), [], hostile);
      assert.equal((await foundBy(acme, 'crowd')).length, 50);
      assert.equal((await search(other, 'Ann')).errors[0]?.extensions.code, 'directory-missing');
      await configure(acme, settingsOf(slapd, { urls: [slapd.ldapUrl], startTls: true }), slapd.bindPassword);
      assert.deepEqual(await foundBy(acme, 'Ann'), ['Ann Arbor']);
      await configure(
        acme,
        settingsOf(slapd, { certificateSha256: slapd.certificateSha256 }),
        slapd.bindPassword,
      );
      assert.deepEqual(await foundBy(acme, 'Ann'), ['Ann Arbor']);
    }));

  test('is refused without TLS, with another certificate, a wrong password, or a password that was for elsewhere', () =>
    withStage(loopback, async ({ slapd, acme, stage }) => {
      const plain = settingsOf(slapd, { urls: [slapd.ldapUrl] });
      assert.equal((await configure(acme, plain, slapd.bindPassword)).code, 'invalid-input');
      const unsafe = await configure(acme, { ...plain, unsafeWithoutTls: true }, slapd.bindPassword);
      assert.match(unsafe.directory.warning, /UNSAFE/);
      const codeWith = async (settings: object, password?: string) => {
        const done = await configure(acme, settings, password);
        assert.equal(done.__typename, 'DirectoryPayload', JSON.stringify(done));
        return (await search(acme, 'Ann')).errors[0]?.extensions.code;
      };
      for (const [settings, code] of [
        [settingsOf(slapd, { caCertificate: null }), 'directory-unavailable'],
        [settingsOf(slapd, { certificateSha256: 'a'.repeat(64) }), 'directory-unavailable'],
        [settingsOf(slapd, { urls: ['ldaps://localhost:1'] }), 'directory-unavailable'],
        [settingsOf(slapd, { baseDns: ['dc=nowhere'] }), 'directory-refused'],
        [settingsOf(slapd, { userFilter: '(uid=*)(' + ')' }), undefined],
      ] as const) {
        const found = await codeWith(settings, slapd.bindPassword);
        if (code !== undefined) assert.equal(found, code, JSON.stringify(settings));
        else assert.notEqual(found, undefined);
      }
      assert.equal(await codeWith(settingsOf(slapd), 'wrong'), 'directory-refused');
      assert.equal(await codeWith(settingsOf(slapd), slapd.bindPassword), undefined);
      // Sent elsewhere, the stored password would be given away: it is forgotten instead.
      assert.equal(
        await codeWith(settingsOf(slapd, { urls: [slapd.ldapUrl], startTls: true })),
        'directory-refused',
      );
      let log = '';
      for await (const event of stage.deps.store.readAll()) log += JSON.stringify([event.type, event.data]);
      assert.ok(log.includes('DirectoryPasswordChanged') && !log.includes(slapd.bindPassword));
      const [kept] = await stage.deps
        .sql`select sealed from vault.sealed_secrets where tenant_id = ${acme.tenantId}`;
      assert.ok(kept === undefined || !String(kept['sealed']).includes(slapd.bindPassword));
    }));

  test('at loopback is refused unless a setting allows it', () =>
    withStage({}, async ({ slapd, acme }) => {
      await configure(acme, settingsOf(slapd), slapd.bindPassword);
      assert.equal((await search(acme, 'Ann')).errors[0]?.extensions.code, 'directory-refused');
    }));

  test('lets its people sign in to the portal, and nobody by an empty password, another’s name or a stolen address', () =>
    withStage(loopback, async ({ slapd, acme, other, stage }) => {
      await configure(acme, settingsOf(slapd), slapd.bindPassword);
      const { data } = await search(acme, 'ann');
      const [ann] = data.searchDirectory;
      const made = await acme.client.mutate(
        'importDirectoryUsers',
        { guids: [ann.guid, 'nobody'] },
        'DirectoryImportPayload',
        'created linked failed { guid code }',
      );
      assert.deepEqual(
        [made.created, made.linked, made.failed],
        [1, 0, [{ guid: 'nobody', code: 'user-missing' }]],
      );
      const again = await acme.client.mutate(
        'importDirectoryUsers',
        { guids: [ann.guid] },
        'DirectoryImportPayload',
        'created linked',
      );
      assert.deepEqual([again.created, again.linked], [0, 1]);
      // Bob has an entry, and a user of his address who was not made of it.
      await acme.client.mutate(
        'createUser',
        { email: 'bob@acme.example', name: 'Bob' },
        'UserPayload',
        'pending',
      );
      const enter = (login: string, password: string, tenantSlug = acme.slug) =>
        stage.nobody.mutate(
          'signInToPortal',
          { tenantSlug, login, password },
          'PortalSignInPayload',
          'token',
        );
      for (const [login, password, slug] of [
        ['ann', '', acme.slug],
        ['ann', 'wrong', acme.slug],
        ['ann', 'password of bob', acme.slug],
        ['', 'password of ann', acme.slug],
        ['*', 'password of ann', acme.slug],
        ['a*', 'password of ann', acme.slug],
        ['ann', 'password of ann', other.slug],
        ['bob', 'password of bob', acme.slug],
        ['crowd1', 'password of crowd1', acme.slug],
        ['nobody', 'x', 'nowhere'],
      ] as const)
        assert.equal((await enter(login, password, slug)).code, 'unauthenticated', `${login} ${password}`);
      const { token } = await enter(' ANN@acme.example ', 'password of ann');
      const portal = clientOf(stage.api.url, token);
      const { node } = await acme.client
        .query('{ users(search: "ann@") { nodes { id source directoryDn department externalId } } }')
        .then(({ users }) => ({ node: users.nodes[0] }));
      assert.deepEqual(
        [node.source, node.directoryDn, node.department, node.externalId],
        ['LDAP', `uid=ann,ou=people,${slapd.baseDn}`, 'Sales', '17'],
      );
      const device = await acme.client.mutate(
        'registerDevice',
        { name: 'Mine', platform: 'IOS', userEmail: 'ann@acme.example' },
        'DevicePayload',
        'device { id }',
      );
      await other.client.mutate(
        'registerDevice',
        { name: 'Theirs', platform: 'IOS', userEmail: 'ann@acme.example' },
        'DevicePayload',
        'pending',
      );
      const own = await portal.query('{ selfViewer { email devices { nodes { id name } } } }');
      assert.deepEqual(own.selfViewer, {
        email: 'ann@acme.example',
        devices: { nodes: [{ id: device.device.id, name: 'Mine' }] },
      });
      for (const field of [
        'devices { nodes { id } }',
        'viewer { email }',
        `node(id: "${device.device.id}") { id }`,
        'users { nodes { id } }',
      ]) {
        const { errors } = await portal.raw(`{ ${field} }`);
        assert.equal(errors[0]?.extensions.code, 'forbidden', field);
      }
      assert.equal(
        (await acme.client.raw('{ selfViewer { email } }')).errors[0]?.extensions.code,
        'forbidden',
      );
      assert.equal((await portal.raw('{ __schema { types { name } } }')).data?.__schema, undefined);
      const feed = await fetch(`${stage.api.url}/events/v1/feed`, {
        headers: { authorization: `Bearer ${token}` },
      });
      assert.equal(feed.status, 403);
      assert.deepEqual(
        (await audited(acme.client, 'UserSignedIn')).map(({ actor, data }: Json) => [actor, data.userId]),
        [[{ kind: 'USER', id: node.id }, node.id]],
      );
      assert.deepEqual(await audited(other.client, 'UserSignedIn'), []);
      await acme.client.mutate('disableUser', { userId: node.id }, 'UserPayload', 'pending');
      assert.equal(
        (await portal.raw('{ selfViewer { email } }')).errors[0]?.extensions.code,
        'unauthenticated',
      );
      assert.equal((await enter('ann', 'password of ann')).code, 'user-disabled');
    }));

  test('keeps sessions of the portal as long, and from where, as the tenant says', () =>
    withStage({ ...loopback, ...behindBalancer }, async ({ slapd, acme, stage }) => {
      await configure(acme, settingsOf(slapd), slapd.bindPassword);
      const { data } = await search(acme, 'ann');
      await acme.client.mutate(
        'importDirectoryUsers',
        { guids: [data.searchDirectory[0].guid] },
        'DirectoryImportPayload',
        'created',
      );
      const enter = (address: string) =>
        at(stage, address).mutate(
          'signInToPortal',
          { tenantSlug: acme.slug, login: 'ann', password: 'password of ann' },
          'PortalSignInPayload',
          'token expiresAt',
        );
      const look = async (address: string, token: string) => {
        const { status, errors } = await at(stage, address, token).raw('{ selfViewer { email } }');
        return [status, errors[0]?.extensions.code];
      };
      const home = '192.0.2.7';
      const { token, expiresAt } = await enter(home);
      const hoursLeft = (Date.parse(expiresAt) - Date.now()) / 3_600_000;
      assert.equal(Math.round(hoursLeft), 4);
      const policy = { portal: 'SELF_SERVICE', idleMinutes: 10, absoluteHours: 1 };
      await acme.client.mutate('setSessionPolicy', policy, 'SignInSettingsPayload', 'pending');
      const restriction = { portal: 'SELF_SERVICE', ranges: ['192.0.2.0/24'], force: true };
      await acme.client.mutate('restrictSignInAddresses', restriction, 'SignInSettingsPayload', 'pending');
      aheadMs += 3000;
      assert.deepEqual(await look(home, token), [200, undefined]);
      assert.deepEqual(await look('198.51.100.1', token), [403, undefined]);
      assert.equal((await enter('198.51.100.1')).code, 'address-refused');
      // Used, it lasts; not used for longer than the tenant says, it has ended.
      aheadMs += 9 * 60_000;
      assert.deepEqual(await look(home, token), [200, undefined]);
      aheadMs += 11 * 60_000;
      assert.deepEqual(await look(home, token), [200, 'unauthenticated']);
    }));

  test('slows down who guesses a password of the portal', () =>
    withStage(loopback, async ({ slapd, acme, stage }) => {
      await configure(acme, settingsOf(slapd), slapd.bindPassword);
      const codes: string[] = [];
      for (let guess = 0; guess < 8; guess += 1)
        codes.push(
          (
            await stage.nobody.mutate(
              'signInToPortal',
              { tenantSlug: acme.slug, login: 'ann', password: `guess ${guess}` },
              'PortalSignInPayload',
              'token',
            )
          ).code,
        );
      assert.deepEqual(new Set(codes), new Set(['unauthenticated', 'too-many-attempts']));
      assert.equal(codes.at(-1), 'too-many-attempts');
    }));

  test('is followed by a sync: details change, who is gone is disabled, and a wrong filter disables nobody', () =>
    withStage(loopback, async ({ slapd, acme, stage }) => {
      await configure(acme, settingsOf(slapd, { syncIntervalHours: 1 }), slapd.bindPassword);
      const { data } = await search(acme, 'crowd');
      const guids = data.searchDirectory.map(({ guid }: { guid: string }) => guid);
      await acme.client.mutate('importDirectoryUsers', { guids }, 'DirectoryImportPayload', 'created');
      slapd.modify(
        `dn: uid=crowd1,ou=people,${slapd.baseDn}\nchangetype: modify\nreplace: cn\ncn: Changed\n\ndn: uid=crowd2,ou=people,${slapd.baseDn}\nchangetype: delete\n\n`,
      );
      const { deps, config } = stage;
      const waiter = await openProjectionWaiter(deps);
      const secrets = openSealedSecrets(deps.sql, openSeal(config));
      const parts = {
        config,
        deps,
        secrets,
        projected: waiter,
        stopping: new AbortController().signal,
      } as unknown as Parts;
      const sync = async (id: string) => {
        await waiter.reached(await deps.store.lastPosition(), 30_000);
        await syncDirectory.run(
          { id, data: { tenantId: acme.tenantId }, keep: async () => {}, progress: async () => {} },
          parts,
        );
        await waiter.reached(await deps.store.lastPosition(), 30_000);
        const { users } = await acme.client.query(
          '{ users(status: DISABLED) { nodes { email } } changed: users(search: "Changed") { nodes { email } } }',
        );
        return users.nodes.map(({ email }: { email: string }) => email);
      };
      try {
        assert.deepEqual(await sync('one'), ['crowd2@acme.example']);
        const { changed } = await acme.client.query(
          '{ changed: users(search: "Changed") { nodes { email } } }',
        );
        assert.deepEqual(changed.nodes, [{ email: 'crowd1@acme.example' }]);
        await configure(acme, settingsOf(slapd, { syncIntervalHours: 1, userFilter: '(uid=nobody)' }));
        assert.deepEqual(await sync('two'), ['crowd2@acme.example']);
        const { state } = await deps.handler.load(directoryDecider, {
          tenantId: acme.tenantId,
          id: acme.tenantId,
        });
        assert.match(
          state.status === 'configured' ? (state.lastSync?.failure ?? '') : '',
          /check the filter/,
        );
      } finally {
        await waiter.close();
      }
    }));
});
