/**
 * Imports and handouts carried out by real workers: every row with its result, and nothing twice however often a job
 * is cut off and run again.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ImportId, TenantId } from '../../domain/ids.ts';
import { canonicalCode, hashSecret } from '../../platform/new-id.ts';
import { openSeal } from '../../platform/seal.ts';
import { openSealedSecrets } from '../../platform/sealed-secrets.ts';
import { openProjectionWaiter, type ProjectionWaiter } from '../../projections/await.ts';
import type { Parts, RunningJob } from '../../workers/jobs.ts';
import { start as startWorkers, type Workers } from '../../workers/main.ts';
import { runImport } from '../../workers/run-import.ts';
import { untilEvent } from '../workers/stage.ts';
import { type ApiStage, type Json, openStage, type TenantStage } from './stage.ts';
import { enrolDevice } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let waiter: ProjectionWaiter;
let workers: Workers | undefined;

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  waiter = await openProjectionWaiter(stage.deps);
});
after(async () => {
  await workers?.stop();
  await waiter.close();
  await stage.stop();
});

const request = async (csv: string): Promise<ImportId> => {
  const made = await acme.client.mutate(
    'importUsers',
    { csv, mode: 'SKIP' },
    'ImportPayload',
    'import { id }',
  );
  assert.ok(made.import, JSON.stringify(made));
  return made.import.id;
};

/** The job as the queue would run it; it is told to stop after `chunks` of them. */
const runOnce = async (importId: ImportId, chunks = Number.POSITIVE_INFINITY): Promise<unknown> => {
  const stopping = new AbortController();
  let done = 0;
  const job: RunningJob<{ origin: never; importId: ImportId }> = {
    id: `job-of-${importId}`,
    data: {
      importId,
      origin: { tenantId: acme.tenantId, eventId: 'e', position: '0', correlationId: 'c' } as never,
    },
    keep: async () => {},
    progress: async () => {
      done += 1;
      if (done >= chunks) stopping.abort();
    },
  };
  const { deps, config } = stage;
  const secrets = openSealedSecrets(deps.sql, openSeal(config));
  const parts = { config, deps, secrets, projected: waiter, stopping: stopping.signal } as unknown as Parts;
  return runImport.run(job, parts);
};

const eventsOf = async (tenantId: TenantId, type: string): Promise<number> => {
  let count = 0;
  for await (const event of stage.deps.store.readAll())
    if (event.type === type && event.tenantId === tenantId) count += 1;
  return count;
};

const importOf = async (id: string): Promise<Json> => {
  await waiter.reached(await stage.deps.store.lastPosition(), 30_000);
  const fields =
    'status rows done counts { created updated skipped failed } results(first: 2, outcome: FAILED) { nodes { row column code } }';
  return (
    await acme.client.query(`query($id: ID!) { node(id: $id) { ... on Import { ${fields} } } }`, { id })
  ).node;
};

test('a job that is cut off, run twice at once and run again creates every user once', async () => {
  const rows = Array.from({ length: 450 }, (_, n) => `user${n}@acme.example,User ${n}`);
  rows[100] = 'nobody,X';
  rows[300] = rows[0] as string;
  const id = await request(`email,name\n${rows.join('\n')}`);
  await assert.rejects(runOnce(id, 1), { name: 'AbortError' });
  assert.deepEqual(await importOf(id), {
    status: 'RUNNING',
    rows: 450,
    done: 200,
    counts: { created: 199, updated: 0, skipped: 0, failed: 1 },
    results: { nodes: [{ row: 102, column: 'email', code: 'invalid-input' }] },
  });
  await Promise.allSettled([runOnce(id), runOnce(id)]);
  assert.equal(await runOnce(id), 'finished');
  const done = await importOf(id);
  assert.deepEqual(
    [done.status, done.done, done.counts],
    ['FINISHED', 450, { created: 448, updated: 0, skipped: 0, failed: 2 }],
  );
  assert.equal(await eventsOf(acme.tenantId, 'UserCreated'), 448);
  assert.equal(await eventsOf(acme.tenantId, 'ImportFinished'), 1);
  assert.equal(await eventsOf(other.tenantId, 'UserCreated'), 0);
  const results = await fetch(`${stage.api.url}/admin/v1/imports/${id}/results.csv`, {
    headers: { authorization: `Bearer ${acme.client.token}` },
  });
  const lines = (await results.text()).trim().split('\r\n');
  assert.equal(lines.length, 451);
  assert.equal(lines[301], '302,failed,,email,duplicate-row,row 2 is about the same');
});

test('an import whose file is gone ends, saying so', async () => {
  const id = await request('email,name\nlate@acme.example,Late');
  await stage.deps.uploads.remove(acme.tenantId, id);
  assert.equal(await runOnce(id), 'abandoned');
});

/** Waits for the event that ends a job's work, then reads what it worked on. */
const settled = async (id: string, type: string, fields: string): Promise<Json> => {
  const last = await untilEvent(
    stage.deps,
    (event) => event.entityId === id && event.type === `${type}Finished`,
  );
  await waiter.reached(last.position, 30_000);
  const query = `query($id: ID!) { node(id: $id) { ... on ${type} { status ${fields} } } }`;
  return (await acme.client.query(query, { id })).node;
};

test('workers import devices by name of group and serial number, and change those that are known', async () => {
  workers = await startWorkers(stage.config, stage.deps);
  await acme.client.mutate('createGroup', { name: 'Sales' }, 'DeviceGroupPayload', 'pending');
  const csv = (name: string) =>
    `name,platform,ownership,user e-mail,group,serial number\n${name},ios,personal,user1@acme.example,sales,S-1\nB,android,,,,\nC,ios,,,Nowhere,\n`;
  const load = async (name: string, mode: string) => {
    const made = await acme.client.mutate(
      'importDevices',
      { csv: csv(name), mode },
      'ImportPayload',
      'import { id }',
    );
    return settled(made.import.id, 'Import', 'counts { created updated skipped failed }');
  };
  assert.deepEqual((await load('A', 'CREATE')).counts, { created: 2, updated: 0, skipped: 0, failed: 1 });
  assert.deepEqual((await load('A2', 'UPDATE')).counts, { created: 1, updated: 1, skipped: 0, failed: 1 });
  assert.deepEqual((await load('A3', 'SKIP')).counts, { created: 1, updated: 0, skipped: 1, failed: 1 });
  const { devices } = await acme.client.query(
    '{ devices(filter: { search: "s-1" }) { nodes { name ownership group { name } user { email } } } }',
  );
  assert.deepEqual(devices.nodes, [
    { name: 'A2', ownership: 'PERSONAL', group: { name: 'Sales' }, user: { email: 'user1@acme.example' } },
  ]);
});

test('a handout makes a code for each active member, which enrols a device of that user', async () => {
  const { users } = await acme.client.query('{ users(first: 3) { nodes { id email } } }');
  const made = await acme.client.mutate(
    'createUserGroup',
    { name: 'Crew' },
    'UserGroupPayload',
    'userGroup { id }',
  );
  const userGroupId = made.userGroup.id;
  const userIds = users.nodes.map(({ id }: { id: string }) => id);
  await acme.client.mutate('addUsersToGroup', { userGroupId, userIds }, 'UserGroupPayload', 'pending');
  await acme.client.mutate('disableUser', { userId: userIds[0] }, 'UserPayload', 'pending');
  const asked = await acme.client.mutate(
    'handOutEnrolments',
    { userGroupId },
    'HandoutPayload',
    'handout { id codesPath }',
  );
  assert.equal((await settled(asked.handout.id, 'Handout', 'issued')).issued, 2);
  const download = (token: string | undefined) =>
    fetch(`${stage.api.url}${asked.handout.codesPath}`, { headers: { authorization: `Bearer ${token}` } });
  const lines = (await (await download(acme.client.token)).text()).trim().split('\r\n');
  assert.equal(lines.length, 3);
  assert.equal((await download(other.client.token)).status, 404);
  const [email, code] = (lines[1] as string).split(',') as [string, string];
  let log = '';
  for await (const event of stage.deps.store.readAll()) log += JSON.stringify(event.data);
  assert.ok(log.includes(hashSecret(canonicalCode(code))) && !log.includes(code));
  const { deviceId } = await enrolDevice(stage, code);
  await waiter.reached(await stage.deps.store.lastPosition(), 30_000);
  const { node } = await acme.client.query(
    'query($id: ID!) { node(id: $id) { ... on Device { userEmail } } }',
    { id: deviceId },
  );
  assert.equal(node.userEmail, email);
});
