/**
 * Every field, node, subscription, route and feed of another tenant, probed under every role and kind of credential
 * with ids that exist: nothing comes back and nothing changes. Generated from the schema and the routes; an argument
 * that names something and that this file cannot fill fails. Some 2,500 probes and 16 followers load the machine.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
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
import { schema } from '../../api/graphql/schema.ts';
import { routes } from '../../api/routes.ts';
import type { KeyPairPem } from '../../platform/pki.ts';
import { type Caller, castOf, everybody, forAll, proxyTls } from './cast.ts';
import { openReading, type Reading } from './lines.ts';
import { type ApiStage, type Client, clientOf, openStage, type TenantStage } from './stage.ts';
import { enrolDevice, makeProxyIdentity, makeWorld, proxyReport, type World } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let world: World;
let ownDeviceId: string;
let ownProxy: KeyPairPem;
let cast: ReadonlyMap<Caller, string | undefined>;
/** The operator is another test's subject: isolation.test.ts and tenants.test.ts. */
const callers = everybody.filter((caller) => caller !== 'operator');
const as = (caller: Caller): Client => clientOf(stage.api.url, cast.get(caller));

/** What the credentials of the other tenant are of; nothing in it is called as anything of the first one. */
const makeHolders = async ({ client }: TenantStage) => {
  const email = 'own@other.example';
  const { user } = await client.mutate('createUser', { email, name: 'Own' }, 'UserPayload', 'user { id }');
  const { code } = await client.mutate('createEnrolment', {}, 'CreateEnrolmentPayload', 'code');
  const { deviceId, deviceToken } = await enrolDevice(stage, code);
  const proxyIdentity = makeProxyIdentity();
  const input = { name: 'Own', certificatePem: proxyIdentity.certificate };
  await client.mutate('registerProxy', input, 'ProxyPayload', 'pending');
  return { userId: user.id, deviceId, deviceToken, proxyIdentity };
};

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  world = await makeWorld(stage, acme);
  const holders = await makeHolders(other);
  ownDeviceId = holders.deviceId;
  ownProxy = holders.proxyIdentity;
  cast = await castOf(stage, other, holders);
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
  // A probe that let sessions idle for a minute only would end its own on a slow machine.
  if (type.name === 'Int') return name === 'idleMinutes' ? '60' : '1';
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

const rootFields = (kind: 'query' | 'mutation' | 'subscription'): GraphQLField<unknown, unknown>[] => {
  const types = {
    query: schema.getQueryType(),
    mutation: schema.getMutationType(),
    subscription: schema.getSubscriptionType(),
  };
  const type = types[kind];
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

const tally = { fields: 0, nodes: 0, subscriptions: 0, routes: 0, probes: 0, leaks: 0 };

const found = (leaks: readonly string[], where: string): void => {
  tally.probes += 1;
  tally.leaks += leaks.length;
  assert.deepEqual(leaks, [], where);
};

const historyOf = async (tenant: TenantStage): Promise<string> =>
  JSON.stringify(await tenant.client.query('{ audit(first: 1) { nodes { position } } }'));

/** Ids in the addresses of routes, by the noun before them. */
const idIn = (path: string): string | undefined => {
  const [, , , noun = ''] = path.split('/');
  return { imports: world.importId, handouts: world.handoutId }[noun];
};

const nonce = 'a-nonce-of-one-connection';

/** What a device or program of the other tenant may say to claim something of the first. */
const bodies: Readonly<Record<string, () => { readonly type: string; readonly body: string }>> = {
  '/graphql': () => ({
    type: 'application/json',
    body: JSON.stringify({ query: `{ node(id: "${world.deviceId}") { id } }` }),
  }),
  '/proxy/v1/status': () => ({ type: 'application/json', body: JSON.stringify(proxyReport()) }),
  '/admin/v1/imports': () => ({ type: 'text/csv', body: `email,name\n${world.userId}@x.example,X` }),
  '/device/v1/sync': () => ({
    type: 'application/json',
    body: JSON.stringify({
      checkInId: 'probe',
      taskResults: [{ taskId: world.taskId, status: 'completed' }],
      appliedPolicies: [{ policyId: world.policyId, version: 1 }],
    }),
  }),
  // The EAS id of the other tenant's device.
  '/proxy/v1/ask': () => ({
    type: 'application/json',
    body: JSON.stringify({ easDeviceIds: ['EAS1'], nonce }),
  }),
  '/device/v1/enroll': () => ({
    type: 'application/json',
    body: JSON.stringify({ code: world.enrolmentId, requestId: world.enrolmentId, platform: 'ios' }),
  }),
};

/** What routes need in the rest of their address. */
const queries: Readonly<Record<string, string>> = {
  '/admin/v1/imports': '?kind=users',
  '/proxy/v1/feed': `?nonce=${nonce}`,
};

/** Where a feed has told everything there is. */
const toldAll: Readonly<Record<string, (piece: string, last: string) => boolean>> = {
  '/events/v1/feed': (piece, last) => piece === `id: ${last}`,
  '/proxy/v1/feed': (piece) => piece.includes('"snapshot":"last"'),
};

/** Reads an answer to its end, or a feed until it has told everything. */
const readAll = async (path: string, reading: Reading, last: string): Promise<string> => {
  const over = reading.status === 200 ? toldAll[path] : undefined;
  const seen: string[] = [];
  for (let piece = await reading.next(); piece !== undefined; piece = await reading.next()) {
    seen.push(piece);
    if (over?.(piece, last)) break;
  }
  reading.close();
  return seen.join('\n');
};

const positionOf = async (tenant: TenantStage): Promise<string> =>
  (await tenant.client.query('{ audit(first: 1) { nodes { position } } }')).audit.nodes[0].position;

/** Refused every field that is not public: permissions.test.ts calls each as them. */
const refusedEverywhere: readonly Caller[] = ['nobody', 'newcomer', 'factorless', 'device', 'proxy'];

for (const caller of callers.filter((one) => !refusedEverywhere.includes(one)))
  test(`${caller} of another tenant: no field shows or changes anything`, async () => {
    const client = as(caller);
    const before = await historyOf(acme);
    await forAll(documents, async ({ name, document }) => {
      const asked = document();
      const answer = await client.raw(asked);
      assert.notDeepEqual(
        answer.errors.map(({ extensions }) => extensions.code),
        ['GRAPHQL_VALIDATION_FAILED'],
        `${name}: ${JSON.stringify(answer.errors)}`,
      );
      found(leaksIn(JSON.stringify(answer.data ?? null), asked), `${caller} ${name}`);
    });
    assert.equal(await historyOf(acme), before, 'the other tenant’s history is as it was');
  });

for (const caller of callers) {
  test(`${caller} of another tenant: every id is missing`, async () => {
    const client = as(caller);
    const ids = canaries().filter((canary) => /^[a-z]{3}[0-9a-z]{26}$/.test(canary));
    tally.nodes = ids.length;
    await forAll(ids, async (id) => {
      const { data } = await client.raw('query($id: ID!) { node(id: $id) { __typename } }', { id });
      found(data?.node ? [id] : [], `${caller} node ${id}`);
    });
  });

  test(`${caller} of another tenant: no route answers with anything`, async () => {
    const token = cast.get(caller);
    const before = await historyOf(acme);
    const last = await positionOf(other);
    tally.routes = routes.length;
    for (const { methods, path, access } of routes) {
      const id = idIn(path);
      const { type, body } = bodies[path]?.() ?? {};
      assert.ok(methods[0] !== 'POST' || body, `no body is known for ${path}: say which one in this file`);
      const query = queries[path] ?? '';
      const isOfProxies = access === 'proxy';
      const base = isOfProxies ? stage.api.proxyFeed?.url : stage.api.url;
      const url = `${path.replace(':id', id ?? '')}${query}`;
      const reading = await openReading(`${base}${url}`, {
        method: methods[0] as string,
        ...(isOfProxies ? { tls: proxyTls(stage, caller === 'proxy' ? ownProxy : undefined) } : {}),
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(type === undefined ? {} : { 'content-type': type }),
          ...(path === '/events/v1/feed' ? { 'last-event-id': '0' } : {}),
        },
        ...(body === undefined ? {} : { body }),
      });
      const text = await readAll(path, reading, last);
      if (path.includes(':id'))
        assert.ok([401, 403, 404].includes(reading.status), `${caller} ${url}: ${reading.status}`);
      found(leaksIn(text, `${url}${body ?? ''}`), `${caller} ${url}`);
    }
    assert.equal(await historyOf(acme), before, 'the other tenant’s history is as it was');
  });
}

test('no subscription tells of another tenant, asked for it or not', async () => {
  const fields = rootFields('subscription');
  tally.subscriptions = fields.length;
  const queries = fields.flatMap(({ name, args, type }) =>
    [argumentsOf(args), ''].map((given) => `subscription { ${name}${given} ${selectionOf(type, 1)} }`),
  );
  const open: { caller: Caller; query: string; feed: Reading }[] = [];
  for (const caller of callers)
    for (const query of queries) {
      const feed = await openReading(`${stage.api.url}/graphql`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'text/event-stream',
          ...(cast.get(caller) === undefined ? {} : { authorization: `Bearer ${cast.get(caller)}` }),
        },
        body: JSON.stringify({ query }),
        separator: '\n\n',
      });
      // Yoga begins with a line that means nothing; who may not follow is told so next.
      await feed.next();
      open.push({ caller, query, feed });
    }
  const rename = (tenant: TenantStage, deviceId: string, name: string) =>
    tenant.client.mutate('renameDevice', { deviceId, name }, 'DevicePayload', 'pending');
  let told = false;
  // A subscription tells of what happens once it follows, and does not say when it does: so it goes on happening.
  const renaming = (async () => {
    for (let n = 1; !told; n += 1) {
      await rename(acme, world.deviceId, `Renamed ${n}`);
      await rename(other, ownDeviceId, `Renamed ${n}`);
      // Rarely enough that no follower falls behind.
      await pause(500);
    }
  })();
  let followed = 0;
  for (const { caller, query, feed } of open) {
    // Whoever asks for the other tenant’s device waits in vain, and is looked at when it is over.
    if (query.includes(world.deviceId)) continue;
    const seen = await feed.until((piece) => (piece.includes('data: {') ? piece : undefined));
    if (seen.includes(ownDeviceId)) followed += 1;
    found(leaksIn(seen, ''), `${caller} ${query}`);
  }
  told = true;
  await renaming;
  for (const { caller, query, feed } of open) {
    feed.close();
    const rest: string[] = [];
    for (let piece = await feed.next(); piece !== undefined; piece = await feed.next()) rest.push(piece);
    found(leaksIn(rest.join('\n'), query), `${caller} ${query}`);
  }
  assert.ok(followed > 5, 'those who may follow are told of the own tenant');
});

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
  assert.ok(tally.probes > 2_000);
  const counts = Object.entries(tally).map(([what, count]) => `${count} ${what}`);
  t.diagnostic(`matrix: isolation of tenants under ${callers.length} kinds of caller: ${counts.join(', ')}`);
});
