/**
 * Who may use which field: every root field of the schema for every role, held against the matrix in the documentation.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import {
  type GraphQLField,
  type GraphQLInputType,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql';
import { schema } from '../../api/graphql/schema.ts';
import { type Role, roles } from '../../domain/account/roles.ts';
import { type ApiStage, type Client, clientOf, enter, openStage, signIn, type TenantStage } from './stage.ts';

const columns = ['nobody', 'newcomer', ...Object.keys(roles)] as const;
type Caller = (typeof columns)[number];

/** The matrix in docs/reference/permissions.md: root field → what it needs, and the roles that have it. */
const documented = new Map(
  [
    ...readFileSync('docs/reference/permissions.md', 'utf8').matchAll(
      /^\| (?:query|mutation|subscription) (\w+) \| `([\w.-]+)` \|(.*)\|$/gm,
    ),
  ].map(([, name, access, cells]) => [
    name as string,
    {
      access: access as string,
      allowed: (cells as string).split('|').map((cell) => cell.trim() === 'yes'),
    },
  ]),
);

type Kind = 'query' | 'mutation' | 'subscription';
const roots: readonly (readonly [Kind, GraphQLField<unknown, unknown>])[] = (
  [
    ['query', schema.getQueryType()],
    ['mutation', schema.getMutationType()],
    ['subscription', schema.getSubscriptionType()],
  ] as const
).flatMap(([kind, type]) => Object.values(type?.getFields() ?? {}).map((field) => [kind, field] as const));

/** A literal that GraphQL takes and validation refuses where it can: the guard must answer before it. */
const literal = (type: GraphQLInputType): string => {
  if (isNonNullType(type)) return literal(type.ofType);
  if (isListType(type)) return `[${literal(type.ofType)}]`;
  if (isEnumType(type)) return type.getValues()[0]?.name ?? '';
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter((field) => isNonNullType(field.type));
    return `{ ${fields.map((field) => `${field.name}: ${literal(field.type)}`).join(' ')} }`;
  }
  if (type.name === 'JSON') return '{}';
  return type.name === 'Int' ? '0' : type.name === 'Boolean' ? 'false' : '""';
};

const documentOf = (kind: Kind, field: GraphQLField<unknown, unknown>): string => {
  const args = field.args.filter((arg) => isNonNullType(arg.type));
  const given =
    args.length === 0 ? '' : `(${args.map((arg) => `${arg.name}: ${literal(arg.type)}`).join(' ')})`;
  const named = getNamedType(field.type);
  const inner = isObjectType(named) ? '{ __typename }' : '';
  const fields =
    'getFields' in named || 'getTypes' in named
      ? inner || '{ __typename ... on Error { code message } }'
      : '';
  return `${kind} { ${field.name}${given} ${named.name === 'Node' ? '{ __typename }' : fields} }`;
};

const scopeFaults = ['unauthenticated', 'forbidden', 'password-change-required'];

/** The scope fault that a caller meets; undefined when the guard let the call pass, whatever came of it. */
const faultOf = async (client: Client, kind: Kind, field: GraphQLField<unknown, unknown>) => {
  const answer = await client.raw(documentOf(kind, field));
  const [error] = answer.errors;
  const [typed] = Object.values((answer.data ?? {}) as Record<string, { code?: string; message?: string }>);
  const code = error?.extensions.code ?? typed?.code;
  const message = error?.message ?? typed?.message ?? '';
  const wrongPassword = /password is wrong/.test(message);
  return scopeFaults.includes(code) && !wrongPassword ? code : undefined;
};

let stage: ApiStage;
let acme: TenantStage;
const password = 'a long password of a role';
const clients = new Map<Caller, () => Promise<Client>>();

/** A session of its own each time: signing out is among what is called. */
const session = (slug: string, email: string, secret: string) => async () =>
  clientOf(stage.api.url, (await signIn(stage.nobody, slug, email, secret)).token);

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  clients.set('nobody', async () => stage.nobody);
  for (const role of Object.keys(roles) as Role[]) {
    const [maker, slug] = role === 'operator' ? [stage.operator, 'operator'] : [acme.client, 'acme'];
    const email = `${role}@${slug}.example`;
    const { oneTimePassword } = await maker.mutate(
      'createAccount',
      { email, name: role, role },
      'AccountPasswordPayload',
      'oneTimePassword',
    );
    await enter(stage.api.url, slug, email, oneTimePassword, password);
    clients.set(role, session(slug, email, password));
  }
  const email = 'new@acme.example';
  const created = await acme.client.mutate(
    'createAccount',
    { email, name: 'New', role: 'administrator' },
    'AccountPasswordPayload',
    'oneTimePassword',
  );
  clients.set('newcomer', session('acme', email, created.oneTimePassword));
});
after(() => stage.stop());

test('the matrix of the documentation has every root field, as it is declared', () => {
  const declared = roots.map(([, field]) => [field.name, field.extensions['access']]);
  assert.ok(roots.length > 60);
  assert.deepEqual(declared.sort(), [...documented].map(([name, { access }]) => [name, access]).sort());
});

/** The fault that the documentation promises; undefined where the caller may go on. */
const promised = (caller: Caller, name: string): string | undefined => {
  const { access, allowed } = documented.get(name) as { access: string; allowed: readonly boolean[] };
  if (access === 'public') return undefined;
  if (caller === 'nobody') return 'unauthenticated';
  if (access === 'signedIn') return undefined;
  if (caller === 'newcomer') return 'password-change-required';
  return allowed[Object.keys(roles).indexOf(caller)] ? undefined : 'forbidden';
};

let asked = 0;
for (const caller of columns) {
  test(`${caller}: every field answers as the matrix says, whatever the arguments`, async () => {
    const client = await (clients.get(caller) as () => Promise<Client>)();
    // Signing out comes last: it ends the session under test.
    const fields = [...roots].sort(
      ([, a], [, b]) => Number(a.name === 'signOut') - Number(b.name === 'signOut'),
    );
    for (const [kind, field] of fields) {
      const expected = promised(caller, field.name);
      // Allowed subscriptions do not end; subscription.test.ts follows one.
      if (kind === 'subscription' && expected === undefined) continue;
      assert.equal(await faultOf(client, kind, field), expected, field.name);
      asked += 1;
    }
  });
}

test('the matrix of roles is complete', (t) => {
  assert.ok(asked > 500);
  t.diagnostic(
    `matrix: permissions: ${roots.length} fields for ${columns.length} kinds of caller, ${asked} calls answered as documented`,
  );
});

test('nobody gives a role that allows more than the own', async () => {
  const limited = await (clients.get('limited-administrator') as () => Promise<Client>)();
  const input = { email: 'x@acme.example', name: 'X', role: 'operator' };
  for (const client of [acme.client, limited]) {
    const refused = await client.mutate('createAccount', input, 'AccountPasswordPayload', 'oneTimePassword');
    assert.equal(refused.code, 'forbidden');
  }
});

test('an operator sees tenants as such, and nothing that is in them', async () => {
  const device = await acme.client.mutate(
    'registerDevice',
    { name: 'Phone', platform: 'IOS' },
    'DevicePayload',
    'device { id }',
  );
  const { tenant, node, devices } = await stage.operator.query(
    `query($tenant: ID!, $device: ID!) {
      tenant: node(id: $tenant) { ... on Tenant { slug compliancePolicy { id } } }
      node(id: $device) { id }
      devices { nodes { id } }
    }`,
    { tenant: acme.tenantId, device: device.device.id },
  );
  assert.deepEqual(tenant, { slug: 'acme', compliancePolicy: null });
  assert.equal(node, null);
  assert.deepEqual(devices.nodes, []);
});
