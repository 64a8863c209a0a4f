/** Reaching the event store over TLS: certificates, addresses, gossip, and who does not get through. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { start } from '../../embedded/event-store/main.ts';
import { certificateHosts, ownCertificate } from '../../embedded/event-store/security/certificates.ts';
import { serveEventStore } from '../../embedded/main.ts';
import type { MusterError } from '../../platform/errors.ts';
import { createAuthority, isIssuedTo, issueServerCertificate } from '../../platform/pki.ts';
import { openSecureStore, type SecureStore } from './secure.ts';
import {
  collect,
  freshStream,
  log,
  numbered,
  numbersOf,
  openContract,
  rejection,
  temporaryFolder,
} from './support.ts';

let store: SecureStore;
before(async () => {
  store = await openSecureStore();
});
after(() => store.stop());

/** Whether a client of this address can write and read. */
const works = async (url: string): Promise<void> => {
  const client = store.connect(url);
  const stream = freshStream();
  await client.appendToStream(stream, numbered(2));
  assert.deepEqual(numbersOf(await collect(client.readStream(stream))), [0, 1]);
};
const asAlice = (scheme: string, hosts: string): string =>
  `${scheme}://alice:${store.alice.password}@${hosts}?tls=true&tlsCAFile=${store.caFile}`;

describe('the official client', () => {
  it('connects by address, by name, by discovery and to several endpoints', async () => {
    const { port } = store;
    await works(asAlice('esdb', `127.0.0.1:${port}`));
    await works(asAlice('esdb', `localhost:${port}`));
    await works(asAlice('esdb+discover', `localhost:${port}`));
    await works(asAlice('esdb', `127.0.0.1:${port},localhost:${port}`));
  });

  it('refuses another authority, and none', async () => {
    const folder = temporaryFolder();
    const other = join(folder.path, 'other.crt');
    writeFileSync(other, (await createAuthority('Somebody else', new Date())).certificate);
    for (const query of [`&tlsCAFile=${other}`, '']) {
      const url = `esdb://alice:${store.alice.password}@127.0.0.1:${store.port}?tls=true${query}`;
      await assert.rejects(collect(store.connect(url).readStream(freshStream())), /certificate/);
    }
    folder.remove();
  });
});

describe('plain', () => {
  it('discovery and several endpoints work too', async () => {
    const contract = await openContract();
    const [, host] = /\/\/([^/?]+)/.exec(contract.url) as RegExpExecArray;
    for (const address of [
      `esdb+discover://${host}`,
      `esdb://${host},${host?.replace('127.0.0.1', 'localhost')}`,
    ])
      await works(`${address}?tls=false`);
    await contract.stop();
  });

  it('is refused beyond loopback, by a setting that can be corrected, before anything is made', async () => {
    const folder = temporaryFolder();
    for (const host of ['0.0.0.0', '192.0.2.1', 'store.example', '::']) {
      const plain = { host, port: 0, dataDir: folder.path, diskReserveMib: 16 };
      const error = await rejection<MusterError>(serveEventStore(plain, { log }));
      assert.deepEqual([error.code, error.field], ['config-invalid', 'MUSTER_EVENTSTORE_HOST']);
      assert.match(error.message, /--tls/);
      const direct = start({ host, port: 0, databaseUrl: store.databaseUrl }, { log });
      assert.equal((await rejection<MusterError>(direct)).code, 'config-invalid');
    }
    assert.throws(() => statSync(join(folder.path, 'postgres')));
    folder.remove();
  });
});

describe('the certificate in the data folder', () => {
  const now = new Date();
  const later = (days: number): Date => new Date(now.getTime() + days * 86_400_000);
  const hosts = certificateHosts('127.0.0.1', '127.0.0.1');
  const issued = async (dataDir: string, names = hosts, at = now) =>
    new X509Certificate((await ownCertificate(dataDir, names, at, log)).certificate);

  it('is used again, renewed before it expires, and made anew for other names or a lost key', async () => {
    const folder = temporaryFolder();
    const tls = join(folder.path, 'event-store', 'tls');
    const first = await issued(folder.path);
    const authority = readFileSync(join(tls, 'ca.crt'), 'utf8');
    assert.equal((await issued(folder.path, hosts, later(200))).serialNumber, first.serialNumber);
    const renewed = await issued(folder.path, hosts, later(300));
    assert.notEqual(renewed.serialNumber, first.serialNumber);
    assert.ok(Date.parse(renewed.validTo) > later(600).getTime());
    const named = await issued(folder.path, certificateHosts('0.0.0.0', 'store.example'), later(300));
    assert.ok(isIssuedTo(named, 'store.example') && isIssuedTo(named, 'localhost'));
    rmSync(join(tls, 'server.key'));
    assert.notEqual((await issued(folder.path, hosts, later(300))).serialNumber, named.serialNumber);
    assert.equal(readFileSync(join(tls, 'ca.crt'), 'utf8'), authority, 'the authority stays');
    for (const key of ['ca.key', 'server.key'])
      assert.equal(statSync(join(tls, key)).mode & 0o777, 0o600, key);
    folder.remove();
  });

  it('goes on without the key of the authority, until a new one is needed', async () => {
    const folder = temporaryFolder();
    const first = await issued(folder.path);
    rmSync(join(folder.path, 'event-store', 'tls', 'ca.key'));
    assert.equal((await issued(folder.path)).serialNumber, first.serialNumber);
    const error = await rejection<MusterError>(issued(folder.path, hosts, later(300)));
    assert.equal(error.code, 'config-invalid');
    assert.match(error.message, /expires soon.*ca\.key/);
    folder.remove();
  });

  it('an authority that has expired is named', async () => {
    const folder = temporaryFolder();
    await issued(folder.path);
    const error = await rejection<MusterError>(issued(folder.path, hosts, later(3_651)));
    assert.equal(error.code, 'config-invalid');
    assert.match(error.message, /ca\.crt.*expired/);
    folder.remove();
  });
});

it('a certificate of one’s own serves, under the address that it names', async () => {
  const folder = temporaryFolder();
  const [ca, certificate, key] = ['ca.crt', 'own.crt', 'own.key'].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  const authority = await createAuthority('Own CA', new Date());
  const own = await issueServerCertificate(authority, ['localhost'], new Date());
  writeFileSync(ca, authority.certificate);
  writeFileSync(certificate, own.certificate);
  writeFileSync(key, own.key);
  const files = (keyFile: string | undefined) => ({
    certificate: { file: certificate, variable: 'MUSTER_EVENTSTORE_TLS_CERT' },
    key: { file: keyFile, variable: 'MUSTER_EVENTSTORE_TLS_KEY' },
  });
  const serve = (keyFile: string | undefined) =>
    serveEventStore(
      {
        host: '0.0.0.0',
        port: 0,
        dataDir: folder.path,
        diskReserveMib: 16,
        tls: { files: files(keyFile), advertisedHost: 'localhost' },
      },
      { log },
    );
  assert.match((await rejection(serve(undefined))).message, /needed together/);
  const served = await serve(key);
  assert.equal(served.connectionString, `esdb://localhost:${served.port}?tls=true`);
  const url = `esdb+discover://admin:${served.administratorPassword}@localhost:${served.port}?tls=true&tlsCAFile=${ca}`;
  await works(url);
  await served.stop();
  const again = await serve(key);
  assert.equal(again.administratorPassword, undefined, 'the password is told once');
  await again.stop();
  folder.remove();
});
