/**
 * Who may use which field: every root field of the schema for every kind of caller. A field that is missing here fails.
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
import type { ScopeName } from '../../api/graphql/scopes.ts';
import { type ApiStage, type Client, clientOf, openStage, signIn, type TenantStage } from './stage.ts';

const scopes: Readonly<Record<ScopeName, readonly string[]>> = {
  public: ['redeemLink', 'requestPasswordReset', 'signIn'],
  signedIn: ['viewer', 'changePassword', 'endSession', 'sessions', 'signInSettings', 'signOut'],
  operator: [
    'createTenant',
    'deadJobCount',
    'deadJobs',
    'discardDeadJob',
    'issueTenantAdministrator',
    'reactivateTenant',
    'renameTenant',
    'retryDeadJob',
    'suspendTenant',
    'tenants',
  ],
  administrator: [
    'accountSessions',
    'accounts',
    'alerts',
    'apps',
    'assignGroupCompliancePolicy',
    'assignPolicy',
    'assignTenantCompliancePolicy',
    'audit',
    'auditEventTypes',
    'cancelTask',
    'chooseSignInChallenge',
    'compliancePolicies',
    'complianceRules',
    'createAccount',
    'createCompliancePolicy',
    'createEnrolment',
    'createGroup',
    'createPolicy',
    'createTaskBundle',
    'deviceChanged',
    'deviceCounts',
    'devices',
    'disableAccount',
    'enableAccount',
    'endAccountSessions',
    'enrolments',
    'groups',
    'inviteAccount',
    'joinGroup',
    'node',
    'nodes',
    'openAlertCount',
    'policies',
    'policySettingsSchema',
    'proxies',
    'queueTask',
    'registerDevice',
    'registerProxy',
    'renameCompliancePolicy',
    'renameDevice',
    'renameGroup',
    'renamePolicy',
    'renameTaskBundle',
    'replaceProxyToken',
    'resetAccountPassword',
    'restrictSignInAddresses',
    'retireCompliancePolicy',
    'retirePolicy',
    'retireTaskBundle',
    'reviseCompliancePolicy',
    'revisePolicy',
    'reviseTaskBundle',
    'revokeEnrolment',
    'revokeProxy',
    'sendPasswordLink',
    'setMailAccess',
    'setPasswordPolicy',
    'setSessionPolicy',
    'taskBundles',
    'taskTypes',
    'tenant',
    'transferTaskBundle',
    'transfers',
    'unassignPolicy',
    'unenrolDevice',
  ],
};

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
let callers: Readonly<Record<'nobody' | 'newcomer' | 'administrator' | 'operator', () => Promise<Client>>>;

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  const created = await acme.client.mutate(
    'createAccount',
    { email: 'new@acme.example', name: 'New' },
    'AccountPasswordPayload',
    'oneTimePassword',
  );
  const session = async (slug: string, email: string, password: string) =>
    clientOf(stage.api.url, (await signIn(stage.nobody, slug, email, password)).token);
  callers = {
    nobody: async () => stage.nobody,
    newcomer: () => session('acme', 'new@acme.example', created.oneTimePassword),
    administrator: () => session('acme', acme.email, acme.password),
    operator: () => session('operator', 'operator@muster.local', 'correct horse battery staple'),
  };
});
after(() => stage.stop());

test('every root field is in this table, under the scope it declares', () => {
  const declared = Object.fromEntries(roots.map(([, field]) => [field.name, field.extensions['scope']]));
  const expected = Object.fromEntries(
    Object.entries(scopes).flatMap(([scope, names]) => names.map((name) => [name, scope])),
  );
  assert.ok(roots.length > 60);
  assert.deepEqual(Object.entries(declared).sort(), Object.entries(expected).sort());
});

const expectations: Readonly<
  Record<
    'nobody' | 'newcomer' | 'administrator' | 'operator',
    Readonly<Record<ScopeName, string | undefined>>
  >
> = {
  nobody: {
    public: undefined,
    signedIn: 'unauthenticated',
    administrator: 'unauthenticated',
    operator: 'unauthenticated',
  },
  newcomer: {
    public: undefined,
    signedIn: undefined,
    administrator: 'password-change-required',
    operator: 'password-change-required',
  },
  administrator: { public: undefined, signedIn: undefined, administrator: undefined, operator: 'forbidden' },
  operator: { public: undefined, signedIn: undefined, administrator: undefined, operator: undefined },
};

for (const [caller, expected] of Object.entries(expectations)) {
  test(`${caller}: every field answers as its scope says, whatever the arguments`, async () => {
    const client = await callers[caller as keyof typeof callers]();
    // Signing out comes last: it ends the session under test.
    const fields = [...roots].sort(
      ([, a], [, b]) => Number(a.name === 'signOut') - Number(b.name === 'signOut'),
    );
    for (const [kind, field] of fields) {
      const scope = field.extensions['scope'] as ScopeName;
      // Allowed subscriptions do not end; subscription.test.ts follows one.
      if (kind === 'subscription' && expected[scope] === undefined) continue;
      assert.equal(await faultOf(client, kind, field), expected[scope], field.name);
    }
  });
}

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
