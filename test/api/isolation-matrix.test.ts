/**
 * Every field, node, route and table of another tenant, probed under every role with ids that exist: nothing comes
 * back and nothing changes. Generated from the schema and the routes; an argument that names something and that this
 * file cannot fill fails.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLOutputType,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  isScalarType,
  isUnionType,
} from 'graphql';
import { adminRoutes } from '../../api/admin/main.ts';
import { schema } from '../../api/graphql/schema.ts';
import { type Role, roles } from '../../domain/account/roles.ts';
import { type ApiStage, type Client, enter, openStage, type TenantStage } from './stage.ts';
import { makeWorld, type World } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let world: World;
const clients = new Map<Role, Client>();
const ofTenants = (Object.keys(roles) as Role[]).filter((role) => role !== 'operator');
const password = 'a long password of a role';

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  world = await makeWorld(stage, acme);
  for (const role of ofTenants) {
    const email = `${role}@other.example`;
    const { oneTimePassword } = await other.client.mutate(
      'createAccount',
      { email, name: role, role },
      'AccountPasswordPayload',
      'oneTimePassword',
    );
    clients.set(role, await enter(stage.api.url, 'other', email, oneTimePassword, password));
  }
});
after(() => stage.stop());

/** What only the other tenant has: each of its ids, and its name. */
const canaries = (): string[] => [
  ...Object.entries(world).flatMap(([name, value]) => (name.endsWith('Id') ? [value as string] : [])),
  acme.tenantId,
  acme.accountId,
  'acme.example',
];

/** What is found of the other tenant in an answer, but for the ids that the question itself named. */
const leaksIn = (answer: string, question: string): string[] =>
  canaries().filter((canary) => answer.includes(canary) && !question.includes(canary));

/** Names of arguments and input fields → the id of the other tenant to put there. */
const idFor = (name: string): string | undefined => {
  const known: Readonly<Record<string, string>> = {
    id: world.deviceId,
    ids: world.deviceId,
    deviceIds: world.deviceId,
    userIds: world.userId,
    previewId: world.importId,
    tenantId: acme.tenantId,
    tenantIds: acme.tenantId,
    role: world.roleId,
    entityId: world.deviceId,
    actorId: acme.accountId,
    // Of the operator tenant alone: there is none to name.
    templateId: `tpl${'0'.repeat(26)}`,
    deploymentId: `dpl${'0'.repeat(26)}`,
    // Nobody's here: test/api/sign-in/passkey.test.ts tries that of another account.
    passkeyId: `pky${'0'.repeat(26)}`,
  };
  return known[name] ?? (world as unknown as Readonly<Record<string, string>>)[name];
};

/** A literal for an argument: ids of the other tenant where something is named, else whatever the type takes. */
const literal = (type: GraphQLInputType, name: string): string => {
  if (isNonNullType(type)) return literal(type.ofType, name);
  if (isListType(type)) return `[${literal(type.ofType, name)}]`;
  if (isEnumType(type)) return type.getValues()[0]?.name ?? '';
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter(
      (field) => isNonNullType(field.type) || idFor(field.name) !== undefined,
    );
    return `{ ${fields.map((field) => `${field.name}: ${literal(field.type, field.name)}`).join(' ')} }`;
  }
  if (type.name === 'ID') {
    const id = idFor(name);
    assert.ok(id, `no id is known for the argument ${name}: say which one in this file`);
    return JSON.stringify(id);
  }
  if (type.name === 'JSON') return '{}';
  if (type.name === 'Int') return '1';
  if (type.name === 'Boolean') return 'true';
  return JSON.stringify(idFor(name) ?? 'x');
};

const argumentsOf = (args: readonly GraphQLArgument[]): string => {
  const given = args.filter(
    (arg) =>
      (isNonNullType(arg.type) && arg.defaultValue === undefined) ||
      isInputObjectType(getNamedType(arg.type)) ||
      idFor(arg.name),
  );
  return given.length === 0
    ? ''
    : `(${given.map((arg) => `${arg.name}: ${literal(arg.type, arg.name)}`).join(' ')})`;
};

/** Everything that can be read below a type, `depth` levels down. */
const selectionOf = (type: GraphQLOutputType, depth: number): string => {
  const named = getNamedType(type);
  if (isScalarType(named) || isEnumType(named)) return '';
  if (isUnionType(named))
    return `{ __typename ${named
      .getTypes()
      .map((one) => `... on ${one.name} ${selectionOf(one, depth)}`)
      .join(' ')} }`;
  if (isInterfaceType(named)) return '{ __typename ... on Node { id } }';
  assert.ok(isObjectType(named));
  const fields = Object.values(named.getFields()).flatMap((field) => {
    const leads = isObjectType(getNamedType(field.type));
    if (field.args.some((arg) => isNonNullType(arg.type) && arg.defaultValue === undefined)) return [];
    if (!leads)
      return isUnionType(getNamedType(field.type)) ? [] : [`${field.name} ${selectionOf(field.type, 0)}`];
    return depth > 0 && field.name !== 'edges' ? [`${field.name} ${selectionOf(field.type, depth - 1)}`] : [];
  });
  return `{ __typename ${fields.join(' ')} }`;
};

const rootFields = (kind: 'query' | 'mutation'): GraphQLField<unknown, unknown>[] => {
  const type = kind === 'query' ? schema.getQueryType() : schema.getMutationType();
  return Object.values(type?.getFields() ?? {});
};

/** Changes the caller's own session or rights, and so what every later probe may do; none of them names anything. */
const endsTheProbe = ['signOut', 'changePassword', 'signOutOfPortal', 'requireSecondFactor'];

const documents = (['query', 'mutation'] as const).flatMap((kind) =>
  rootFields(kind)
    .filter(({ name }) => !endsTheProbe.includes(name))
    .map((field) => ({
      name: field.name,
      document: (): string =>
        `${kind} { ${field.name}${argumentsOf(field.args)} ${selectionOf(field.type, kind === 'query' ? 2 : 1)} }`,
    })),
);

const tally = { fields: 0, nodes: 0, routes: 0, probes: 0, leaks: 0 };

const found = (leaks: readonly string[], where: string): void => {
  tally.probes += 1;
  tally.leaks += leaks.length;
  assert.deepEqual(leaks, [], where);
};

const historyOf = async (tenant: TenantStage): Promise<string> =>
  JSON.stringify(await tenant.client.query('{ audit(first: 1) { nodes { position } } }'));

for (const role of ofTenants) {
  test(`${role} of another tenant: no field shows or changes anything`, async () => {
    const client = clients.get(role) as Client;
    const before = await historyOf(acme);
    for (const { name, document } of documents) {
      const asked = document();
      const answer = await client.raw(asked);
      assert.notDeepEqual(
        answer.errors.map(({ extensions }) => extensions.code),
        ['GRAPHQL_VALIDATION_FAILED'],
        `${name}: ${JSON.stringify(answer.errors)}`,
      );
      found(leaksIn(JSON.stringify(answer.data ?? null), asked), `${role} ${name}`);
    }
    assert.equal(await historyOf(acme), before, 'the other tenant’s history is as it was');
  });

  test(`${role} of another tenant: every id is missing`, async () => {
    const client = clients.get(role) as Client;
    const ids = canaries().filter((canary) => /^[a-z]{3}[0-9a-z]{26}$/.test(canary));
    tally.nodes = ids.length;
    for (const id of ids) {
      const { node } = await client.query('query($id: ID!) { node(id: $id) { __typename } }', { id });
      found(node === null ? [] : [id], `${role} node ${id}`);
    }
  });

  test(`${role} of another tenant: no route answers with anything`, async () => {
    const { token } = clients.get(role) as Client;
    const ids: Readonly<Record<string, string>> = { imports: world.importId, handouts: world.handoutId };
    tally.routes = adminRoutes.length;
    for (const { method, path } of adminRoutes) {
      const [, , , noun = ''] = path.split('/');
      const url = path.replace(':id', ids[noun] ?? '');
      const response = await fetch(`${stage.api.url}${url}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(method === 'POST' ? { 'content-type': 'text/csv' } : {}),
        },
        ...(method === 'POST' ? { body: '' } : {}),
      });
      const text = await response.text();
      if (path.includes(':id'))
        assert.ok([403, 404].includes(response.status), `${role} ${url}: ${response.status}`);
      found(leaksIn(text, url), `${role} ${url}`);
    }
  });
}

test('the probes are able to find: the own tenant shows what they look for', async () => {
  const asked = documents.filter(({ name }) => ['devices', 'groups', 'users', 'accounts'].includes(name));
  const answers = await Promise.all(asked.map(({ document }) => acme.client.raw(document())));
  assert.deepEqual(
    answers.flatMap(({ errors }) => errors),
    [],
  );
  const seen = JSON.stringify(answers.map(({ data }) => data));
  for (const id of [world.deviceId, world.groupId, world.userId, world.accountId])
    assert.ok(seen.includes(id), id);
});

test('the matrix is complete', (t) => {
  tally.fields = documents.length;
  assert.ok(tally.probes > 1_000);
  const counts = Object.entries(tally).map(([what, count]) => `${count} ${what}`);
  t.diagnostic(`matrix: isolation of tenants under ${ofTenants.length} roles: ${counts.join(', ')}`);
});
