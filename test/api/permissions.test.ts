/**
 * Who may use which field: every root field of the schema for every role, held against the matrix in the documentation.
 */
import assert from 'node:assert/strict';
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
import { type Caller, castOf, documented, everybody, forAll, hire, needsOf, promisedTo } from './cast.ts';
import { type ApiStage, type Client, clientOf, openStage, type TenantStage } from './stage.ts';
import { makeWorld } from './world.ts';

type Kind = 'query' | 'mutation' | 'subscription';
type Root = readonly [Kind, GraphQLField<unknown, unknown>];
const roots: readonly Root[] = (
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

const scopeFaults = ['unauthenticated', 'forbidden', 'password-change-required', 'second-factor-required'];

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
let cast: ReadonlyMap<Caller, string | undefined>;
const as = (caller: Caller): Client => clientOf(stage.api.url, cast.get(caller));

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  cast = await castOf(stage, acme, await makeWorld(stage, acme));
});
after(() => stage.stop());

test('the matrix of the documentation has every root field, as it is declared', () => {
  const declared = roots.map(([kind, field]) => [`${kind} ${field.name}`, [field.extensions['access']]]);
  assert.ok(roots.length > 60);
  assert.deepEqual(declared.sort(), [...documented.fields].map(([name, row]) => [name, needsOf(row)]).sort());
});

/** The fault that the documentation promises; undefined where the caller may go on. */
const promised = (caller: Caller, kind: Kind, { name }: { name: string }): string | undefined => {
  const row = documented.fields.get(`${kind} ${name}`);
  const [access = ''] = needsOf(row);
  const form = access.includes('.') ? 'field: a permission' : `field: \`${access}\``;
  const outcome = promisedTo(caller, row, documented.kinds.get(form));
  assert.ok(outcome, `${caller} ${name}: the documentation says nothing`);
  return outcome === 'yes' ? undefined : outcome;
};

/** Ends the session under test. */
const ends = ['signOut', 'signOutOfPortal'];

let asked = 0;
for (const caller of everybody) {
  test(`${caller}: every field answers as the matrix says, whatever the arguments`, async () => {
    const client = as(caller);
    const call = async ([kind, field]: Root): Promise<void> => {
      const expected = promised(caller, kind, field);
      // Allowed subscriptions do not end; subscription.test.ts follows one.
      if (kind === 'subscription' && expected === undefined) return;
      assert.equal(await faultOf(client, kind, field), expected, field.name);
      asked += 1;
    };
    await forAll(
      roots.filter(([, { name }]) => !ends.includes(name)),
      call,
    );
    const isAllowed = ([kind, field]: Root): boolean => promised(caller, kind, field) === undefined;
    const ending = roots.filter(([, { name }]) => ends.includes(name));
    // What it may end comes last.
    for (const root of ending.sort((a, b) => Number(isAllowed(a)) - Number(isAllowed(b)))) await call(root);
  });
}

test('the matrix of roles is complete', (t) => {
  assert.ok(asked > 2000);
  t.diagnostic(
    `matrix: permissions: ${roots.length} fields for ${everybody.length} kinds of caller, ${asked} calls answered as documented`,
  );
});

test('nobody gives a role that allows more than the own', async () => {
  const { token } = await hire(stage, acme, 'deputy', 'limited-administrator');
  const limited = clientOf(stage.api.url, token);
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
