/**
 * Templates from definition to deployment, and the deletion of a tenant: an operator and tenants over HTTP, with
 * workers on real queues.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { TenantId } from '../../domain/ids.ts';
import { operatorTenantId } from '../../domain/tenant/tenant.ts';
import { MusterError } from '../../platform/errors.ts';
import { type StoredEvent, streamName } from '../../platform/event-store.ts';
import { openHandler } from '../../platform/handle.ts';
import { newId } from '../../platform/new-id.ts';
import { noSnapshots } from '../../platform/snapshots.ts';
import { openProjectionWaiter, type ProjectionWaiter } from '../../projections/await.ts';
import { start as startWorkers, type Workers } from '../../workers/main.ts';
import { type ApiStage, type Json, openStage, type TenantStage } from './stage.ts';
import { makeWorld, syncDevice, type World } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let workers: Workers | undefined;
let waiter: ProjectionWaiter;

before(async () => {
  stage = await openStage({ settings: { deletionGraceDays: '0', reviewIntervalSeconds: '1' } });
  waiter = await openProjectionWaiter(stage.deps);
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(async () => {
  await workers?.stop();
  await waiter.close();
  await stage.stop();
});

/** Waits for an event of the operator tenant, and until read models show it. */
const untilShown = async (fits: (event: StoredEvent) => boolean): Promise<StoredEvent> => {
  const found = new AbortController();
  const categories = ['tenant', 'deployment'];
  for await (const { events } of stage.deps.store.follow({ categories, signal: found.signal })) {
    const event = events.find((one) => one.tenantId === operatorTenantId && fits(one));
    if (!event) continue;
    found.abort();
    assert.ok(await waiter.reached(event.position, 60_000));
    return event;
  }
  throw new Error('the log ended');
};

const policy = {
  id: newId('pol'),
  name: 'Shop phones',
  policyType: 'device',
  platforms: ['android'],
  settings: { passcode: { required: true } },
};
const bundle = {
  id: newId('bdl'),
  name: 'Onboarding',
  platforms: ['android'],
  tasks: [{ type: 'assign-policy', parameters: { policyId: policy.id } }],
};
const compliance = { id: newId('cmp'), name: 'Shop rules', settings: { ios: [] } };
const content = {
  settings: { description: 'A shop', compliancePolicyId: compliance.id },
  policies: [policy],
  taskBundles: [bundle],
  compliancePolicies: [compliance],
  groups: [{ id: newId('grp'), name: 'Tills', compliancePolicyId: compliance.id }],
};
const names = ['Shop phones', 'Onboarding', 'Shop rules', 'Tills', 'description', 'compliancePolicyId'];

const preview = async (
  templateId: string,
  tenantIds: readonly string[],
  overwrite = false,
): Promise<Json[]> => {
  const { previewTemplateDeployment: page } = await stage.operator.query(
    `query($templateId: ID!, $tenantIds: [ID!], $overwrite: Boolean!) {
      previewTemplateDeployment(templateId: $templateId, tenantIds: $tenantIds, overwrite: $overwrite) {
        nodes { tenant { slug } counts { create revise unchanged conflicting drifted } items { name action applied } }
      } }`,
    { templateId, tenantIds, overwrite },
  );
  return page.nodes;
};

const countsOf = (plan: Json) => plan.counts;

const deploy = async (
  templateId: string,
  tenantIds: readonly string[],
  overwrite = false,
): Promise<string> => {
  const started = await stage.operator.mutate(
    'deployTemplate',
    { templateId, tenantIds, overwrite },
    'DeploymentPayload',
    'deployment { id status }',
  );
  assert.equal(started.deployment?.status, 'RUNNING', JSON.stringify(started));
  return started.deployment.id;
};

const resultsOf = async (id: string): Promise<Json> => {
  await untilShown(({ type, entityId }) => type === 'DeploymentFinished' && entityId === id);
  const { node } = await stage.operator.query(
    `query($id: ID!) { node(id: $id) { ... on Deployment { status doneCount failedCount skippedCount
      tenants { nodes { tenantId outcome code counts { create revise unchanged conflicting drifted } } } } } }`,
    { id },
  );
  return node;
};

const configured = `{ tenant { description compliancePolicy { name } }
  policies { nodes { id name settings version } } taskBundles { nodes { name tasks { parameters } } }
  groups { nodes { name compliancePolicy { name } } } }`;

let templateId: string;
let twins: readonly [TenantStage, TenantStage];
let world: World;

test('a template makes two tenants alike, each with ids of its own', async () => {
  const made = await stage.operator.mutate(
    'createTemplate',
    { name: 'Shops', content },
    'TemplatePayload',
    'template { id version }',
  );
  assert.equal(made.template?.version, 1, JSON.stringify(made));
  templateId = made.template.id;
  twins = [await stage.tenant('berlin', { templateId }), await stage.tenant('paris', { templateId })];
  const [berlin, paris] = await Promise.all(twins.map(({ client }) => client.query(configured)));
  assert.equal(berlin.tenant.description, 'A shop');
  assert.equal(berlin.tenant.compliancePolicy.name, 'Shop rules');
  assert.equal(berlin.groups.nodes[0].compliancePolicy.name, 'Shop rules');
  const [own] = berlin.policies.nodes;
  assert.deepEqual(berlin.taskBundles.nodes[0].tasks[0].parameters, { policyId: own.id });
  assert.notEqual(own.id, paris.policies.nodes[0].id);
  assert.deepEqual([own.name, own.version], ['Shop phones', 1]);
  const unchanged = { create: 0, revise: 0, unchanged: names.length, conflicting: 0, drifted: 0 };
  for (const plan of await preview(
    templateId,
    twins.map(({ tenantId }) => tenantId),
  ))
    assert.deepEqual(plan.counts, unchanged);
});

test('a preview is what happens then; what tenants changed or named alike stays', async () => {
  workers = await startWorkers(stage.config, stage.deps);
  // Berlin changes a policy by itself; Acme has a group by the name of one.
  const [berlin] = twins;
  const [{ id: policyId }] = (await berlin.client.query(configured)).policies.nodes;
  const settings = { passcode: { required: true, minimumLength: 9 } };
  await berlin.client.mutate('revisePolicy', { policyId, settings }, 'PolicyPayload', 'pending');
  await acme.client.mutate('createGroup', { name: 'Tills' }, 'DeviceGroupPayload', 'pending');
  const revised = { ...content, policies: [{ ...policy, settings: { passcode: { required: false } } }] };
  await stage.operator.mutate(
    'reviseTemplate',
    { templateId, content: revised, expectedVersion: 1 },
    'TemplatePayload',
    'pending',
  );
  const targets = [...twins, acme].map(({ tenantId }) => tenantId);
  const plans = await preview(templateId, targets);
  const of = (slug: string) => plans.find(({ tenant }) => tenant.slug === slug);
  assert.deepEqual(countsOf(of('berlin')), {
    create: 0,
    revise: 0,
    unchanged: 5,
    conflicting: 0,
    drifted: 1,
  });
  assert.deepEqual(countsOf(of('paris')), { create: 0, revise: 1, unchanged: 5, conflicting: 0, drifted: 0 });
  assert.deepEqual(countsOf(of('acme')), { create: 3, revise: 1, unchanged: 0, conflicting: 1, drifted: 1 });
  const before = await berlin.client.query(configured);
  const results = await resultsOf(await deploy(templateId, targets));
  assert.deepEqual([results.status, results.doneCount], ['FINISHED', 3]);
  for (const { tenantId, counts } of results.tenants.nodes) {
    const stagedAs = [...twins, acme].find((tenant) => tenant.tenantId === tenantId);
    assert.deepEqual(counts, countsOf(of(stagedAs?.slug as string)), stagedAs?.slug);
  }
  assert.deepEqual(await berlin.client.query(configured), before);
  const { templateDrift } = await stage.operator.query(
    'query($tenantId: ID!) { templateDrift(tenantId: $tenantId) { version items { name action } } }',
    { tenantId: berlin.tenantId },
  );
  assert.deepEqual(templateDrift, [{ version: 2, items: [{ name: 'Shop phones', action: 'DRIFTED' }] }]);
  await resultsOf(await deploy(templateId, [berlin.tenantId], true));
  const { policies } = await berlin.client.query(configured);
  assert.deepEqual(policies.nodes[0].settings, { passcode: { required: false } });
  assert.deepEqual((await other.client.query(configured)).groups.nodes, []);
});

test('a deployment that dies half way goes on where it was, and does nothing twice', async () => {
  await workers?.stop();
  const { store, clock } = stage.deps;
  let appends = 0;
  let stumble: () => void = () => {};
  const stumbled = new Promise<void>((resolve) => {
    stumble = resolve;
  });
  const breaking = {
    ...store,
    append: async (...args: Parameters<typeof store.append>) => {
      appends += 1;
      // The third append lands, and its acknowledgement is lost; then nothing works any more.
      const landed = appends <= 3 ? await store.append(...args) : undefined;
      if (landed !== undefined && appends < 3) return landed;
      stumble();
      throw new MusterError('dependency-unavailable', 'as if killed');
    },
  };
  const handler = openHandler({ store: breaking, clock, snapshots: noSnapshots });
  workers = await startWorkers(stage.config, { ...stage.deps, store: breaking, handler });
  const id = await deploy(templateId, [other.tenantId]);
  await stumbled;
  await workers.stop();
  workers = await startWorkers(stage.config, stage.deps);
  const results = await resultsOf(id);
  assert.equal(results.doneCount, 1, JSON.stringify(results));
  const { policies, groups } = await other.client.query(configured);
  assert.deepEqual([policies.nodes.length, policies.nodes[0].version, groups.nodes.length], [1, 1, 1]);
  const [plan] = await preview(templateId, [other.tenantId]);
  assert.deepEqual([plan.counts.create, plan.counts.revise], [0, 0]);
});

/** Tables outside the event store and the queues that hold `text` in any row; in the operator's rows it may be. */
const tablesWith = async (text: string): Promise<string[]> => {
  const { sql } = stage.deps;
  const tables = await sql<{ schema: string; name: string }[]>`
    select table_schema as schema, table_name as name from information_schema.tables
    where table_type = 'BASE TABLE' and (table_schema in ('vault', 'write_side') or table_schema ~ '_v[0-9]+$')`;
  assert.ok(tables.length > 20);
  const found: string[] = [];
  for (const { schema, name } of tables) {
    const [row] = await sql`
      select 1 from ${sql(`${schema}.${name}`)} t
      where t::text like ${`%${text}%`}
        and coalesce(to_jsonb(t)->>'tenant_id', '') <> ${operatorTenantId} limit 1`;
    if (row) found.push(`${schema}.${name}`);
  }
  return found;
};

test('a tenant that is deleted leaves nothing behind; the other one is untouched', async () => {
  const canary = 'Canary-7f3a';
  world = await makeWorld(stage, acme);
  await acme.client.mutate(
    'renameDevice',
    { deviceId: world.deviceId, name: canary },
    'DevicePayload',
    'pending',
  );
  assert.ok((await tablesWith(canary)).length > 1);
  const before = await other.client.query(configured);
  const { tenantId } = acme;
  const request = (confirmation: string) =>
    stage.operator.mutate(
      'requestTenantDeletion',
      { tenantId, confirmation },
      'TenantPayload',
      'tenant { status deletion { purgeAfter } }',
    );
  assert.equal((await request('Acme')).code, 'confirmation-wrong');
  await workers?.stop();
  const requested = await request('acme');
  assert.equal(requested.tenant.status, 'DELETED', JSON.stringify(requested));
  assert.equal((await acme.client.raw('{ viewer { name } }')).errors[0]?.extensions.code, 'unauthenticated');
  const shut = await syncDevice(stage, world.deviceToken, { checkInId: 'shut' });
  assert.ok([401, 410].includes(shut.status), String(shut.status));

  // Killed in the middle: some streams are gone, the record is not written.
  const { store } = stage.deps;
  let deletions = 0;
  let stumble: () => void = () => {};
  const stumbled = new Promise<void>((resolve) => {
    stumble = resolve;
  });
  const breaking = {
    ...store,
    async deleteStream(stream: string) {
      deletions += 1;
      if (deletions > 3) {
        stumble();
        throw new MusterError('dependency-unavailable', 'as if killed');
      }
      await store.deleteStream(stream);
    },
  };
  workers = await startWorkers(stage.config, { ...stage.deps, store: breaking });
  await stumbled;
  await workers.stop();
  workers = await startWorkers(stage.config, stage.deps);
  const { data } = await untilShown(({ type }) => type === 'TenantErased');
  assert.equal((data as { tenantId: string }).tenantId, tenantId);
  assert.ok((data as { streams: number }).streams > 10);

  assert.deepEqual(await tablesWith(canary), []);
  assert.deepEqual(await tablesWith(tenantId), []);
  const device = streamName('device', tenantId as TenantId, world.deviceId);
  await assert.rejects(
    async () => {
      for await (const _ of store.readStream(device, 0n)) assert.fail('still readable');
    },
    { code: 'stream-deleted' },
  );
  const gone = await syncDevice(stage, world.deviceToken, { checkInId: 'gone' });
  assert.ok([401, 410].includes(gone.status), JSON.stringify(gone));
  const { tenants } = await stage.operator.query('{ tenants { nodes { slug } } }');
  assert.ok(!JSON.stringify(tenants).includes('acme'));
  assert.deepEqual(await other.client.query(configured), before);
  const { deployments } = await stage.operator.query('{ deployments { nodes { status } } }');
  assert.ok(deployments.nodes.every(({ status }: Json) => status === 'FINISHED'));
});
