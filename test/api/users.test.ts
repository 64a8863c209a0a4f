/**
 * Users and user groups over GraphQL, and tables up and down over REST, for two tenants side by side.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newId } from '../../platform/new-id.ts';
import { type ApiStage, type Client, openStage, type TenantStage } from './stage.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());

const createUser = async (client: Client, email: string, name = email): Promise<string> => {
  const made = await client.mutate('createUser', { email, name }, 'UserPayload', 'user { id }');
  assert.ok(made.user, JSON.stringify(made));
  return made.user.id;
};
const register = async (client: Client, name: string): Promise<string> =>
  (await client.mutate('registerDevice', { name, platform: 'IOS' }, 'DevicePayload', 'device { id }')).device
    .id;

const rest = (client: Client, path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${stage.api.url}${path}`, {
    ...init,
    headers: {
      ...(client.token === undefined ? {} : { authorization: `Bearer ${client.token}` }),
      ...init.headers,
    },
  });
const upload = (client: Client, query: string, body: string | Uint8Array<ArrayBuffer>, type = 'text/csv') =>
  rest(client, `/admin/v1/imports?${query}`, { method: 'POST', headers: { 'content-type': type }, body });

test('an e-mail is one user’s in a tenant, and another’s in another', async () => {
  const id = await createUser(acme.client, 'Ann@Acme.example', 'Ann');
  const again = { email: 'ann@acme.example', name: 'Impostor' };
  const refused = await acme.client.mutate('createUser', again, 'UserPayload', 'user { id }');
  assert.deepEqual([refused.code, refused.field], ['name-taken', 'email']);
  await createUser(other.client, 'ann@acme.example');
  const { users } = await acme.client.query('{ users(search: "ANN") { nodes { id email source status } } }');
  assert.deepEqual(users.nodes, [{ id, email: 'ann@acme.example', source: 'INTERNAL', status: 'ACTIVE' }]);
  const races = await Promise.all(
    Array.from({ length: 5 }, () =>
      acme.client.mutate(
        'createUser',
        { email: 'race@acme.example', name: 'R' },
        'UserPayload',
        'user { id }',
      ),
    ),
  );
  assert.equal(races.filter(({ __typename }) => __typename === 'UserPayload').length, 1);
});

test('a device shows its user and a user the devices; removal is refused, forced, and gives the address back', async () => {
  const userId = await createUser(acme.client, 'dev@acme.example', 'Dev');
  const deviceId = await register(acme.client, 'Dev’s phone');
  const given = await acme.client.mutate(
    'assignDeviceUser',
    { deviceId, userId },
    'DeviceUserPayload',
    'device { userEmail user { id deviceCount devices { nodes { id } } } }',
  );
  assert.deepEqual(given.device, {
    userEmail: 'dev@acme.example',
    user: { id: userId, deviceCount: 1, devices: { nodes: [{ id: deviceId }] } },
  });
  const refused = await acme.client.mutate('removeUser', { userId }, 'UserPayload', 'user { id }');
  assert.deepEqual([refused.code, refused.field], ['user-has-devices', 'userId']);
  const removed = await acme.client.mutate(
    'removeUser',
    { userId, force: true },
    'UserPayload',
    'pending user { id }',
  );
  assert.deepEqual([removed.pending, removed.user], [false, null]);
  const { node } = await acme.client.query(
    'query($id: ID!) { node(id: $id) { ... on Device { userEmail user { id } } } }',
    { id: deviceId },
  );
  assert.deepEqual(node, { userEmail: null, user: null });
  assert.notEqual(await createUser(acme.client, 'dev@acme.example'), userId);
});

test('members come and go; a removed user is a member no more', async () => {
  const [one, two] = [
    await createUser(acme.client, 'm1@acme.example'),
    await createUser(acme.client, 'm2@acme.example'),
  ];
  const made = await acme.client.mutate(
    'createUserGroup',
    { name: 'Crew' },
    'UserGroupPayload',
    'userGroup { id }',
  );
  const userGroupId = made.userGroup.id;
  const change = (name: string, userIds: string[]) =>
    acme.client.mutate(
      name,
      { userGroupId, userIds },
      'UserGroupPayload',
      'userGroup { memberCount members { nodes { id } } }',
    );
  const added = await change('addUsersToGroup', [one, two, one]);
  assert.deepEqual(added.userGroup, { memberCount: 2, members: { nodes: [{ id: one }, { id: two }] } });
  await acme.client.mutate('removeUser', { userId: one }, 'UserPayload', 'pending');
  const left = await change('addUsersToGroup', [two]);
  assert.deepEqual(left.userGroup, { memberCount: 1, members: { nodes: [{ id: two }] } });
  const gone = await change('removeUsersFromGroup', [two]);
  assert.deepEqual(gone.userGroup, { memberCount: 0, members: { nodes: [] } });
});

test('device groups are described, filled and deleted once empty', async () => {
  const made = await acme.client.mutate(
    'createGroup',
    { name: 'Vans', description: 'Drivers' },
    'DeviceGroupPayload',
    'group { id description }',
  );
  assert.equal(made.group.description, 'Drivers');
  const groupId = made.group.id;
  const deviceIds = [await register(acme.client, 'V1'), await register(acme.client, 'V2')];
  const moved = await acme.client.mutate(
    'moveDevicesToGroup',
    { groupId, deviceIds },
    'DeviceGroupPayload',
    'group { devices { nodes { name } } }',
  );
  assert.deepEqual(moved.group.devices.nodes, [{ name: 'V1' }, { name: 'V2' }]);
  const full = await acme.client.mutate('deleteGroup', { groupId }, 'DeviceGroupPayload', 'pending');
  assert.equal(full.code, 'group-not-empty');
  for (const deviceId of deviceIds)
    await acme.client.mutate('joinGroup', { deviceId }, 'DevicePayload', 'pending');
  const deleted = await acme.client.mutate('deleteGroup', { groupId }, 'DeviceGroupPayload', 'group { id }');
  assert.equal(deleted.group, null, JSON.stringify(deleted));
  const late = await acme.client.mutate(
    'joinGroup',
    { deviceId: deviceIds[0], groupId },
    'DevicePayload',
    'pending',
  );
  assert.equal(late.code, 'group-missing');
});

test('a preview tells row by row what an import would do', async () => {
  await createUser(acme.client, 'old@acme.example');
  const csv =
    '\ufeffE-Mail;Full name;Shoe\r\nnew@acme.example;"Doe; Jane";1\r\n\r\nold@acme.example;Old;2\r\nnew@acme.example;Twice;3\r\nnobody;;4\r\na@b.example;A;5;6\r\n';
  const response = await upload(acme.client, 'kind=users&mode=create&fileName=people.csv', csv);
  const preview = (await response.json()) as {
    importId: string;
    faults: { row: number; column: string; code: string; advice: string }[];
  };
  assert.equal(response.status, 201, JSON.stringify(preview));
  const { importId, faults, ...rest } = preview;
  assert.deepEqual(rest, {
    rows: 5,
    columns: ['email', 'name'],
    ignored: ['Shoe'],
    delimiter: ';',
    create: 1,
    update: 0,
    skip: 0,
    fail: 4,
  });
  assert.deepEqual(
    faults.map(({ row, column, code }) => [row, column, code]),
    [
      [4, 'email', 'user-exists'],
      [5, 'email', 'duplicate-row'],
      [6, 'email', 'invalid-input'],
      [6, 'name', 'invalid-input'],
      [7, null, 'invalid-input'],
    ],
  );
  assert.ok(faults.every(({ advice }) => advice.length > 10));
  const stolen = await other.client.mutate(
    'importUsers',
    { previewId: importId },
    'ImportPayload',
    'import { id }',
  );
  assert.equal(stolen.code, 'import-missing');
  for (const [mode, field] of [
    ['update', 'update'],
    ['skip', 'skip'],
  ] as const) {
    const again = (await (await upload(acme.client, `kind=users&mode=${mode}`, csv)).json()) as Record<
      string,
      number
    >;
    assert.equal(again[field], 1);
  }
  const small = await acme.client.mutate(
    'previewDeviceImport',
    { csv: 'name\tplatform\tgroup\nA\tios\tNowhere' },
    'ImportPreview',
    'create fail faults { row column code }',
  );
  assert.deepEqual(
    [small.create, small.fail, small.faults],
    [0, 1, [{ row: 2, column: 'group', code: 'group-missing' }]],
  );
});

test('files that are no tables are refused, saying why', async () => {
  const cases: readonly (readonly [string, string | Uint8Array<ArrayBuffer>, number, string, string?])[] = [
    ['kind=users', 'name\nx', 422, 'invalid-csv'],
    ['kind=users', '', 422, 'invalid-csv'],
    ['kind=users', 'email,name\n"a,b', 422, 'invalid-csv'],
    ['kind=users', new Uint8Array([0xff, 0xfe, 0x41]), 422, 'invalid-csv'],
    ['kind=users', `email,name\n${'a@b.example,A\n'.repeat(20_001)}`, 422, 'invalid-csv'],
    ['kind=users', `email,name\n${'x'.repeat(5_000_001)}`, 413, 'body-too-large'],
    ['kind=shoes', 'email,name', 422, 'invalid-input'],
    ['kind=users&tenantId=x', 'email,name', 422, 'invalid-input'],
    ['kind=users&mapping=[', 'email,name', 422, 'invalid-input'],
    ['kind=users', 'email,name', 415, 'unsupported-media-type', 'application/json'],
  ];
  for (const [query, body, status, code, type] of cases) {
    const response = await upload(acme.client, query, body, type);
    const problem = (await response.json()) as { type: string };
    assert.deepEqual(
      [response.status, problem.type],
      [status, `/errors#${code}`],
      `${query} ${String(body).slice(0, 20)}`,
    );
    assert.equal(response.headers.get('content-type'), 'application/problem+json');
  }
});

test('exports hold the own tenant’s rows, with formulas made harmless', async () => {
  await createUser(acme.client, 'evil@acme.example', '=cmd|calc!A1');
  await createUser(acme.client, 'plus@acme.example', '+1');
  const response = await rest(acme.client, '/admin/v1/exports/users.csv');
  assert.match(response.headers.get('content-type') ?? '', /^text\/csv/);
  const text = await response.text();
  assert.match(text, /^email,name,external id,department,phone,status,devices\r\n/);
  assert.match(text, /evil@acme\.example,'=cmd\|calc!A1,/);
  assert.match(text, /plus@acme\.example,'\+1,/);
  assert.doesNotMatch(await (await rest(other.client, '/admin/v1/exports/users.csv')).text(), /evil@/);
  const devices = await (await rest(acme.client, '/admin/v1/exports/devices.csv')).text();
  assert.match(devices, /\r\nV1,ios,corporate,,,,registered,,/);
  assert.doesNotMatch(await (await rest(other.client, '/admin/v1/exports/devices.csv')).text(), /V1/);
});

test('another tenant’s imports and handouts cannot be downloaded, nor can those that never were', async () => {
  const made = await acme.client.mutate(
    'importUsers',
    { csv: 'email,name\nx@acme.example,X' },
    'ImportPayload',
    'import { id status rows }',
  );
  assert.deepEqual([made.import.status, made.import.rows], ['RUNNING', 1]);
  const path = (id: string) => `/admin/v1/imports/${id}/results.csv`;
  assert.equal((await rest(acme.client, path(made.import.id))).status, 200);
  for (const id of [made.import.id, newId('imp'), 'nonsense', '..%2f..'])
    assert.equal((await rest(other.client, path(id))).status, 404, id);
  for (const id of [newId('hnd'), made.import.id])
    assert.equal((await rest(acme.client, `/admin/v1/handouts/${id}/codes.csv`)).status, 404, id);
});
