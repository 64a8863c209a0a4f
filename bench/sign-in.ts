/**
 * Signing in to a real server: whether the time of an answer tells accounts that exist from those that do not, and
 * how many sign-ins there are per second. Called by main.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'undici';
import { type Admin, createTenant, mutate, signInFirst } from '../cli/admin.ts';
import { openClient } from '../cli/client.ts';
import { newSecret } from '../platform/new-id.ts';
import { startMuster } from '../test/support/muster.ts';
import { closedLoop, summarise } from './measure.ts';
import { figureRow, heading, row } from './report.ts';

const accounts = 20;
/** Guesses at one account from one address that are looked at without a pause. */
const guesses = 5;
const callers = 4;

interface Entry {
  readonly email: string;
  readonly password: string;
  readonly address: string;
}

const tenantSlug = 'bench';
const query = `mutation ($input: SignInInput!) { signIn(input: $input) { __typename ... on Error { code } } }`;

/** Signs in as from `address`; answers the type or code. */
const attempt = async (pool: Pool, { email, password, address }: Entry): Promise<string> => {
  const { body } = await pool.request({
    method: 'POST',
    path: '/graphql',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': address },
    body: JSON.stringify({ query, variables: { input: { tenantSlug, email, password } } }),
  });
  const { data } = (await body.json()) as { data: { signIn: { __typename: string; code?: string } } };
  return data.signIn.code ?? data.signIn.__typename;
};

const createAccounts = async (admin: Admin): Promise<Entry[]> => {
  const entries: Entry[] = [];
  for (let number = 1; number <= accounts; number += 1) {
    const email = `person${number}@bench.example`;
    const { oneTimePassword } = await mutate<{ oneTimePassword: string }>(
      admin,
      'createAccount',
      { email, name: `Person ${number}` },
      'AccountPasswordPayload { oneTimePassword }',
    );
    entries.push({ email, password: oneTimePassword, address: `192.0.2.${number}` });
  }
  return entries;
};

/** Times wrong guesses at known and unknown accounts in turns, so that both meet the same load. */
const compareGuesses = async (pool: Pool, known: readonly Entry[]): Promise<void> => {
  const times = { known: [] as number[], unknown: [] as number[] };
  for (let guess = 0; guess < guesses; guess += 1)
    // Each goes first as often: what the one leaves behind must not be the other's time.
    for (const [index, entry] of known.entries())
      for (const kind of index % 2 ? (['known', 'unknown'] as const) : (['unknown', 'known'] as const)) {
        const email = kind === 'known' ? entry.email : `nobody${index}@bench.example`;
        const address = kind === 'known' ? `198.51.100.${index}` : `203.0.113.${index}`;
        const before = performance.now();
        const code = await attempt(pool, { email, password: `wrong guess ${guess}`, address });
        times[kind].push(performance.now() - before);
        if (code !== 'unauthenticated') throw new Error(`a guess was answered ${code}`);
      }
  const elapsed = (list: readonly number[]) => list.reduce((sum, ms) => sum + ms, 0);
  const [knownMs, unknownMs] = [elapsed(times.known), elapsed(times.unknown)];
  const baseline = summarise(times.known, knownMs);
  const unknown = summarise(times.unknown, unknownMs);
  row('wrong password, known account', baseline);
  row('wrong password, unknown account', unknown, { name: 'known account', measured: baseline });
  figureRow('median of unknown to known', unknown.p50Ms / baseline.p50Ms, 'x (1: the time tells nothing)');
};

/** Prints the times of known and unknown accounts, and sign-ins per second. */
export const benchSignIn = async (_: unknown, durationMs: number): Promise<void> => {
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-bench-'));
  const server = await startMuster(dataDir, { MUSTER_TRUSTED_PROXIES: '127.0.0.1' });
  const client = openClient(server.url, { connections: callers });
  const pool = new Pool(server.url, { connections: callers });
  try {
    const first = {
      tenantSlug: 'operator',
      email: 'operator@muster.local',
      password: server.password as string,
    };
    const operator = await signInFirst(client, first, newSecret());
    const password = newSecret();
    const { admin } = await createTenant(operator, {
      name: 'Bench',
      slug: tenantSlug,
      seats: 0,
      email: 'a@bench.example',
      password,
    });
    const known = await createAccounts(admin);
    heading('Signing in: argon2id (19 MiB, 2 passes), sessions and audit included');
    await compareGuesses(pool, known);
    const measured = await closedLoop(callers, durationMs, async (caller, round) => {
      const code = await attempt(pool, known[(caller + round * callers) % accounts] as Entry);
      if (code !== 'SignInPayload') throw new Error(`a sign-in was answered ${code}`);
    });
    row(`sign-ins, ${callers} callers`, measured);
  } finally {
    await client.close();
    await pool.close();
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
};
