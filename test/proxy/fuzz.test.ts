/**
 * Ten thousand hostile messages over sockets, with honest requests among them: nothing of theirs reaches the mail server,
 * each is refused or cut off, and the proxy goes on as if nothing had happened.
 *
 * The seed is printed; `MUSTER_FUZZ_SEED` and `MUSTER_FUZZ_COUNT` choose others.
 */
import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { drive, type Honest, type Ports, type Script } from './fuzz/drive.ts';
import { hostiles } from './fuzz/families.ts';
import { type Recorder, startRecorder } from './fuzz/recorder.ts';
import {
  encodedTarget,
  type Hostile,
  heldTag,
  honest,
  plainTarget,
  render,
  requestOf,
  syncBody,
  withLength,
} from './fuzz/request.ts';
import { pushHost } from './fuzz/services.ts';
import { makeCertificate } from './own-certificate.ts';
import { folder, healthy, openFeed, openProxy, verdictLine } from './stage.ts';

const seed = Number(process.env['MUSTER_FUZZ_SEED'] ?? 20_261_125);
const count = Number(process.env['MUSTER_FUZZ_COUNT'] ?? 10_000);

/** Messages that a connection carries at most, connections at once, and how many of these are TLS. */
const maxMessages = 12;
const connectionsAtOnce = 150;
const tlsEvery = 40;
/** How many connections there are to one that carries an honest request. */
const honestEvery = 3;
/** After this long whatever is still open has hung, and is said so. */
const patienceMs = 100_000;
/** What the process may grow by between the first tenth and the end; what the mail server records is in it. */
const maxGrowthBytes = 4 * 1024 * 1024 + 400 * count;

/** A proxy with a plain port and one with a TLS port before the same mail server. */
const openFuzzed = async (t: TestContext) => {
  const recorder = await startRecorder();
  t.after(recorder.stop);
  const feed = await openFeed(t, [verdictLine()]);
  const { certFile, keyFile, cert } = makeCertificate(t, 'serverAuth');
  const logDir = folder(t);
  const open = async (name: string, settings: object) => {
    const log = { file: join(logDir, `${name}.log`) };
    const backend = { url: recorder.url };
    const ews = { enabled: true, pushHosts: [pushHost] };
    const proxy = await openProxy(t, { backend, serverUrl: feed.url, log, ews, ...settings });
    await healthy(proxy);
    return proxy;
  };
  const proxies = [await open('plain', {}), await open('tls', { tls: { certFile, keyFile } })] as const;
  const ports: Ports = { plain: proxies[0].port, tls: proxies[1].port, ca: cert };
  /** The access log of both, once they are stopped. */
  const logged = async () => {
    for (const proxy of proxies) await proxy.stop();
    return readdirSync(logDir)
      .flatMap((name) => readFileSync(join(logDir, name), 'utf8').trim().split('\n'))
      .map((line) => JSON.parse(line) as { decision: string; rule: string; user: string | null });
  };
  return { recorder, ports, logged, lines: () => proxies.flatMap((proxy) => proxy.lines) };
};

/** Deals the messages out to connections, honest requests among them. */
const scriptsOf = (messages: readonly Hostile[], nextHonest: () => Honest): Script[] => {
  const scripts: Script[] = [];
  let carried: (Hostile | Honest)[] = [];
  const close = (last: Hostile | null) => {
    const isRaw = last?.isForTls === true;
    // What stands before a message for the TLS port cannot go there.
    if (isRaw && carried.length > 0) close(null);
    const honestAt = scripts.length % (carried.length + 1);
    if (!isRaw && scripts.length % honestEvery === 0) carried.splice(honestAt, 0, nextHonest());
    scripts.push({ messages: carried, last, isTls: scripts.length % tlsEvery === 0 });
    carried = [];
  };
  for (const message of messages) {
    if (message.outcome !== 'goes-on') close(message);
    else if (carried.push(message) >= maxMessages) close(null);
  }
  if (carried.length > 0) close(null);
  return scripts;
};

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const heldBytes = (): number => {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

/** A long poll over TLS, and its answer, which fails when it is cut. */
const openLongPoll = async (
  t: TestContext,
  recorder: Recorder,
  { tls, ca }: Ports,
): Promise<{ readonly answered: Promise<string> }> => {
  const socket = connect({ port: tls, host: '127.0.0.1', ca });
  t.after(() => socket.destroy());
  const answered = new Promise<string>((resolve, reject) => {
    let received = '';
    socket.on('error', reject).on('close', () => reject(new Error('the long poll was cut')));
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (received.endsWith(heldTag)) resolve(received);
    });
  });
  answered.catch(() => {});
  const target = plainTarget().replace('Cmd=Sync', 'Cmd=Ping');
  const body = '\x03\x01\x6a\x00\x00\x0d\x45\x01';
  socket.write(render(withLength(requestOf(heldTag, { target, body }))), 'latin1');
  await recorder.untilHeld();
  return { answered };
};

/** Headers that may reach the mail server. */
const expectedHeaders = new Set([
  ...[
    'host',
    'connection',
    'authorization',
    'content-type',
    'client-request-id',
    'user-agent',
    'content-length',
  ],
  ...['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'],
]);
const targets = new Set([plainTarget(), encodedTarget(), plainTarget().replace('Cmd=Sync', 'Cmd=Ping')]);

const assertOnlyHonest = ({ arrived, begun, faults }: Recorder, sent: ReadonlySet<string>): void => {
  assert.deepEqual(faults, []);
  const strange = arrived.filter(
    ({ method, url, tag, headers, body }) =>
      method !== 'POST' ||
      !targets.has(url) ||
      !(sent.has(tag) || tag === heldTag) ||
      !headers.every((name) => expectedHeaders.has(name)) ||
      (tag !== heldTag && body !== syncBody(tag)),
  );
  assert.deepEqual(strange, [], 'something else reached the mail server');
  assert.equal(arrived.length, sent.size + 1, 'each honest request arrives exactly once');
  assert.deepEqual(
    [...new Set(begun.filter((tag) => !sent.has(tag) && tag !== heldTag && tag !== 'broken'))],
    [],
    'something else was begun at the mail server',
  );
};

/** The first failure of each kind: its text up to the bytes that caused it. */
const oneOfEach = (failures: readonly string[]): string =>
  [...new Map(failures.map((failure) => [failure.split('"')[0], failure])).values()].join('\n');

test(`${count} hostile messages reach nobody and disturb nobody`, async (t) => {
  t.diagnostic(`matrix: fuzz of the proxy: ${count} messages of seed ${seed}`);
  const patience = AbortSignal.timeout(patienceMs);
  setMaxListeners(0, patience);
  const warnings: string[] = [];
  const warn = ({ message }: Error) => void warnings.push(message);
  process.on('warning', warn);
  t.after(() => process.off('warning', warn));
  const { recorder, ports, logged, lines } = await openFuzzed(t);
  const longPoll = await openLongPoll(t, recorder, ports);
  const sent = new Set<string>();
  const nextHonest = (): Honest => {
    const tag = `honest-${sent.size}`;
    sent.add(tag);
    return { tag, bytes: honest(tag, sent.size % 2 === 0 ? 'plain' : 'encoded') };
  };
  const messages = hostiles(seed, count);
  const scripts = scriptsOf(messages, nextHonest);
  const failures: string[] = [];
  let early = 0;
  for (let at = 0; at < scripts.length && !patience.aborted; at += connectionsAtOnce) {
    failures.push(...(await drive(scripts.slice(at, at + connectionsAtOnce), ports, patience)));
    if (early === 0 && at >= scripts.length / 10) early = heldBytes();
  }
  const growth = heldBytes() - early;
  for (const isTls of [false, true])
    failures.push(
      ...(await drive([{ messages: [nextHonest(), nextHonest()], last: null, isTls }], ports, patience)),
    );
  assert.equal(failures.length, 0, `${failures.length} failures of seed ${seed}\n${oneOfEach(failures)}`);
  recorder.release();
  assert.match(await longPoll.answered, /^HTTP\/1\.1 200 /);
  assertOnlyHonest(recorder, sent);
  assert.deepEqual(
    lines().filter((line) => Number(line['level']) >= 50),
    [],
    'something failed inside the proxy',
  );
  assert.deepEqual(warnings, [], 'Node warns');
  assert.ok(growth < maxGrowthBytes, `the process grew by ${growth} bytes`);
  // Each line is JSON that was parsed: no message has forged one.
  const allowed = (await logged()).filter(({ decision }) => decision === 'allow');
  assert.ok(
    allowed.length > sent.size && allowed.every(({ rule, user }) => rule === 'verdict' && user === 'alice'),
  );
  t.diagnostic(`${scripts.length} connections, ${sent.size} honest requests, ${growth} bytes more`);
});
