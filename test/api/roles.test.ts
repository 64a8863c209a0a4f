/**
 * Roles of a tenant's own, and who may give what to whom: nobody rises above the own permissions.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiStage, type Client, enter, openStage, type TenantStage } from './stage.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());

const makeRole = async (
  name: string,
  permissions: readonly string[],
  maker = acme.client,
): Promise<string> => {
  const made = await maker.mutate(
    'createRole',
    { name, description: 'Of a test.', permissions },
    'RolePayload',
    'role { id permissions builtIn retired }',
  );
  assert.equal(made.__typename, 'RolePayload', JSON.stringify(made));
  return made.role.id;
};

let people = 0;
const signedInAs = async (role: string): Promise<Client & { readonly accountId: string }> => {
  people += 1;
  const email = `person${people}@acme.example`;
  const made = await acme.client.mutate(
    'createAccount',
    { email, name: `Person ${people}`, role },
    'AccountPasswordPayload',
    'oneTimePassword account { id role { id name } }',
  );
  assert.equal(made.account.role.id, role);
  const client = await enter(stage.api.url, 'acme', email, made.oneTimePassword, 'a long password of a test');
  return { ...client, accountId: made.account.id };
};

test('a role of the own allows what it lists, and reading what it may change', async () => {
  const role = await makeRole('Groups', ['GROUP_MANAGE']);
  const person = await signedInAs(role);
  const { viewer } = await person.query('{ viewer { role { id name builtIn } permissions } }');
  assert.deepEqual(viewer, {
    role: { id: role, name: 'Groups', builtIn: false },
    permissions: ['GROUP_MANAGE', 'GROUP_READ'],
  });
  const made = await person.mutate('createGroup', { name: 'G' }, 'DeviceGroupPayload', 'group { id }');
  assert.equal(made.__typename, 'DeviceGroupPayload');
  const { data, errors } = await person.raw('{ groups { nodes { name devices { nodes { id } } } } }');
  assert.equal(data, null);
  assert.deepEqual(
    errors.map(({ extensions }) => extensions.code),
    ['forbidden'],
  );
  const query = 'query($id: ID!) { node(id: $id) { id } }';
  assert.deepEqual(await person.query(query, { id: acme.accountId }), { node: null });
});

test('a changed role counts for its accounts within seconds, without signing in again', async () => {
  const role = await makeRole('Changing', ['DEVICE_READ']);
  const person = await signedInAs(role);
  assert.equal((await person.raw('{ policies { nodes { id } } }')).errors[0]?.extensions.code, 'forbidden');
  await acme.client.mutate(
    'changeRolePermissions',
    { roleId: role, permissions: ['POLICY_READ'] },
    'RolePayload',
    'pending',
  );
  for (;;) {
    const { errors } = await person.raw('{ policies { nodes { id } } }');
    if (errors.length === 0) break;
  }
  assert.equal((await person.raw('{ devices { nodes { id } } }')).errors[0]?.extensions.code, 'forbidden');
});

test('nobody gives, changes or takes over what allows more than the own role', async () => {
  const keeper = await signedInAs(
    await makeRole('Keeper', ['ACCOUNT_MANAGE', 'ROLE_MANAGE', 'API_KEY_MANAGE']),
  );
  const strong = await makeRole('Strong', ['DEVICE_WIPE']);
  const refused = async (name: string, input: object, field: string) => {
    const answer = await keeper.mutate(name, input, 'Effect', 'pending');
    assert.deepEqual([answer.code, answer.field], ['forbidden', field], name);
  };
  const person = { email: 'p@acme.example', name: 'P' };
  await refused('createAccount', { ...person, role: 'administrator' }, 'role');
  await refused('createAccount', { ...person, role: strong }, 'role');
  await refused('createRole', { name: 'R', description: 'R', permissions: ['DEVICE_WIPE'] }, 'permissions');
  await refused('changeRolePermissions', { roleId: strong, permissions: ['ACCOUNT_READ'] }, 'roleId');
  await refused('createApiKey', { name: 'K', permissions: ['DEVICE_READ'] }, 'permissions');
  await refused('resetAccountPassword', { accountId: acme.accountId }, 'accountId');
  await refused('resetSecondFactor', { accountId: acme.accountId }, 'accountId');
  await refused('disableAccount', { accountId: acme.accountId }, 'accountId');
  await refused('changeAccountRole', { accountId: acme.accountId, role: 'api' }, 'accountId');
  const own = await keeper.mutate(
    'changeAccountRole',
    { accountId: keeper.accountId, role: 'administrator' },
    'Effect',
    'pending',
  );
  assert.deepEqual([own.code, own.field], ['invalid-input', 'accountId']);
});

test('another role ends the sessions of an account', async () => {
  const person = await signedInAs('helpdesk');
  await acme.client.mutate(
    'changeAccountRole',
    { accountId: person.accountId, role: 'reporting' },
    'AccountPayload',
    'account { role { id } }',
  );
  assert.equal((await person.raw('{ viewer { email } }')).errors[0]?.extensions.code, 'unauthenticated');
});

test('a role in use is not retired; a retired one is not given', async () => {
  const role = await makeRole('Short', ['DEVICE_READ']);
  const person = await signedInAs(role);
  const inUse = await acme.client.mutate('retireRole', { roleId: role }, 'RolePayload', 'pending');
  assert.equal(inUse.code, 'role-in-use');
  const input = { accountId: person.accountId, role: 'helpdesk' };
  await acme.client.mutate('changeAccountRole', input, 'AccountPayload', 'pending');
  const retired = await acme.client.mutate('retireRole', { roleId: role }, 'RolePayload', 'role { retired }');
  assert.deepEqual(retired.role, { retired: true });
  const given = await acme.client.mutate(
    'changeAccountRole',
    { ...input, role },
    'AccountPayload',
    'pending',
  );
  assert.deepEqual([given.code, given.field], ['role-retired', 'role']);
});

test('each tenant sees the built-in roles and its own', async () => {
  const query = '{ builtInRoles { id builtIn } roles { nodes { id } } permissions { name allows } }';
  const mine = await acme.client.query(query);
  const theirs = await other.client.query(query);
  assert.deepEqual(theirs.builtInRoles, mine.builtInRoles);
  assert.ok(!mine.builtInRoles.some(({ id }: { id: string }) => id === 'operator'));
  assert.equal(mine.builtInRoles.length, 8);
  assert.ok(mine.roles.nodes.length > 0);
  assert.deepEqual(theirs.roles.nodes, []);
  assert.ok(!theirs.permissions.some(({ name }: { name: string }) => name.startsWith('OPERATOR')));
});
