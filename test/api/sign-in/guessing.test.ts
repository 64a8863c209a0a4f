/**
 * Guessing: from one address and from many, while the owner of the account goes on working.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openCredentials } from '../../../api/credentials.ts';
import { admit, lanes, longestQueueMs, perClient } from '../../../api/vault/attempt-rules.ts';
import { type ApiStage, openStage, type TenantStage } from '../stage.ts';
import { at, audited, behindBalancer, tryIn, until } from './people.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
/** The clock stands still unless a test moves it: what is let through is exactly what the rules say. */
let now = Date.UTC(2026, 10, 25, 8);

before(async () => {
  stage = await openStage({ settings: behindBalancer, clock: () => now });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());

const home = '198.51.100.7';
const guesser = (number: number) => `203.0.${Math.floor(number / 250)}.${(number % 250) + 1}`;
const wait = (message: string): number => Number(/in (\d+) seconds/.exec(message)?.[1]);

test('1,000 guesses from 250 addresses find nothing; the owner works on, and gets in from elsewhere', async () => {
  const known = await tryIn(at(stage, home), acme);
  assert.equal(known.step, 'SIGNED_IN');
  const words = Array.from({ length: 999 }, (_, index) => `guess number ${index}`);
  // The last guess is the password itself, and still does not get in.
  const guesses = [...words, acme.password];
  const codes = new Map<string, number>();
  const guess = async (password: string, index: number) => {
    const address = guesser(index % 250);
    const answer = await tryIn(at(stage, address), { ...acme, password });
    codes.set(answer.code, (codes.get(answer.code) ?? 0) + 1);
    assert.equal(answer.__typename, 'Fault', JSON.stringify(answer));
  };
  for (let from = 0; from < guesses.length; from += 20) {
    await Promise.all(guesses.slice(from, from + 20).map((password, index) => guess(password, from + index)));
    if (from % 200 === 0) assert.equal((await tryIn(at(stage, home), acme)).step, 'SIGNED_IN', `${from}`);
  }
  assert.equal((await tryIn(at(stage, home), acme)).step, 'SIGNED_IN');
  // Two turns were the owner's, who was a stranger at both addresses once.
  const looked = lanes.first.burst - 2 + lanes.again.burst;
  assert.deepEqual(Object.fromEntries(codes), {
    unauthenticated: looked,
    'too-many-attempts': 1000 - looked,
  });

  const elsewhere = at(stage, '192.0.2.99');
  const first = await tryIn(elsewhere, acme);
  assert.equal(first.code, 'too-many-attempts');
  const seconds = wait(first.message);
  assert.ok(seconds * 1000 <= longestQueueMs, `${seconds} s`);
  now += seconds * 1000;
  // The guessers are back at the same moment; the owner's turn is its own.
  await Promise.all(words.slice(0, 40).map((password, index) => guess(password, 200 + index)));
  assert.equal((await tryIn(elsewhere, acme)).step, 'SIGNED_IN');
  assert.equal((await tryIn(elsewhere, acme)).step, 'SIGNED_IN', 'and is known from now on');
  assert.equal((await tryIn(at(stage, home), other)).step, 'SIGNED_IN', 'other accounts are not concerned');
});

test('a program that signed in before is known from every address', async () => {
  const { clientToken } = await tryIn(at(stage, home), acme);
  assert.match(clientToken, /^muster-client\.[\w-]{43}$/);
  const travelling = at(stage, '192.0.2.100');
  for (let number = 300; number < 330; number += 1)
    await tryIn(at(stage, guesser(number)), { ...acme, password: 'not it' });
  assert.equal((await tryIn(travelling, acme)).code, 'too-many-attempts');
  assert.equal((await tryIn(travelling, acme, { clientToken: `${clientToken}x` })).code, 'too-many-attempts');
  assert.equal((await tryIn(travelling, acme, { clientToken })).step, 'SIGNED_IN');
  const foreign = await tryIn(at(stage, home), other);
  const unknown = await tryIn(at(stage, '192.0.2.101'), acme, { clientToken: foreign.clientToken });
  assert.equal(unknown.code, 'too-many-attempts', 'another account’s token helps nobody');
});

test('failures are in the log, aggregated; another tenant sees none of them', async () => {
  const failures = await until(
    () => audited(acme.client, 'SignInsFailed'),
    (events) => events.some(({ data }) => data.address === null && data.failures >= 10),
  );
  assert.ok(failures.length <= 100 && failures.length >= 20);
  for (const { actor, entityId, data } of failures) {
    assert.deepEqual([actor.kind, actor.id, entityId], ['SYSTEM', 'sign-in', acme.tenantId]);
    assert.equal(data.accountId, acme.accountId);
    assert.ok(Number.isInteger(Math.log10(data.failures)));
  }
  assert.ok((await audited(acme.client, 'SignInsPaused')).length > 0);
  assert.deepEqual(await audited(other.client, 'SignInsFailed'), []);
  const [signedIn] = await audited(acme.client, 'AccountSignedIn');
  assert.equal(signedIn.actor.id, acme.accountId);
  assert.equal(signedIn.data.known, true);
});

test('accounts that do not exist are told as such, and counted like others', async () => {
  const nobody = { ...other, email: 'nobody@other.example', password: 'whatever it is' };
  const address = '192.0.2.50';
  const codes: string[] = [];
  for (let tries = 0; tries < 6; tries += 1) codes.push((await tryIn(at(stage, address), nobody)).code);
  assert.deepEqual(codes, [...Array(5).fill('unauthenticated'), 'too-many-attempts']);
  const [told] = await until(
    () => audited(other.client, 'SignInsFailed'),
    (events) => events.length > 0,
  );
  assert.deepEqual(told.data, { accountId: null, address, failures: 1 });
});

test('the addresses of one IPv6 network count as one', async () => {
  const codes: string[] = [];
  for (let host = 1; host <= 6; host += 1) {
    const answer = await tryIn(at(stage, `2001:db8:0:7::${host}`), { ...other, password: 'not it' });
    codes.push(answer.code);
  }
  assert.deepEqual(codes, [...Array(5).fill('unauthenticated'), 'too-many-attempts']);
});

test('what a caller claims in front of the balancer is not believed', async () => {
  const claiming = at(stage, '198.51.100.7, 192.0.2.60');
  await tryIn(claiming, { ...other, password: 'not it' });
  const events = await until(
    () => audited(other.client, 'SignInsFailed'),
    (told) => told.some(({ data }) => data.address === '192.0.2.60'),
  );
  assert.ok(!events.some(({ data }) => data.address === '198.51.100.7'));
});

test('rules: strangers queue in order, failures go to the slow lane, a lost turn is a new one', () => {
  const fresh = { now, known: false, solved: false, own: undefined, turnAt: undefined };
  let next = 0;
  for (let turn = 0; turn < lanes.first.burst; turn += 1) {
    const decided = admit({ ...fresh, lanes: { first: next, again: 0 } });
    assert.ok(decided.admitted && decided.lane?.[0] === 'first');
    next = decided.lane[1];
  }
  const waits: number[] = [];
  for (;;) {
    const decided = admit({ ...fresh, lanes: { first: next, again: 0 } });
    assert.ok(!decided.admitted);
    if (decided.turnAt === undefined) break;
    waits.push(decided.waitMs);
    next = decided.lane?.[1] as number;
  }
  assert.equal(waits.length, longestQueueMs / lanes.first.intervalMs + 1);
  assert.ok(waits.every((wait, index) => index === 0 || wait > (waits[index - 1] as number)));
  assert.ok((waits.at(-1) as number) <= longestQueueMs + 1);
  const failed = { failures: 1, freeAt: 0, lastAt: now - 1000 };
  const full = { first: now + 10 ** 9, again: 0 };
  assert.equal(admit({ ...fresh, lanes: full, own: failed }).lane?.[0], 'again');
  assert.equal(admit({ ...fresh, lanes: full, own: failed, solved: true }).admitted, false);
  assert.ok(admit({ ...fresh, lanes: full, known: true }).admitted);
  assert.ok(admit({ ...fresh, lanes: full, turnAt: now }).admitted);
  assert.ok(!admit({ ...fresh, lanes: full, turnAt: now - 61_000 }).admitted);
  const paused = { failures: perClient.free, freeAt: now + 1, lastAt: now };
  assert.ok(!admit({ ...fresh, lanes: full, known: true, own: paused }).admitted);
});

test('counters of two servers are one', async () => {
  const second = await openCredentials(stage.deps, stage.config);
  const attempt = { account: 'acme/shared', address: '192.0.2.77' };
  const { attempts } = second;
  const first = await openCredentials(stage.deps, stage.config);
  const begun = await Promise.all(
    Array.from({ length: 8 }, (_, index) => (index % 2 ? attempts : first.attempts).begin(attempt)),
  );
  assert.equal(begun.filter(({ waitSeconds }) => waitSeconds === 0).length, 5);
});
