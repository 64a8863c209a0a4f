/**
 * Approvals: one person alone cannot lose a fleet; a second one whose account is old enough decides.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiStage, type Client, clientOf, enter, openStage, signIn, type TenantStage } from './stage.ts';

let now = Date.parse('2026-01-10T12:00:00.000Z');
const dayMs = 86_400_000;
const password = 'a long password of a second';
let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let second: Client;

const signedIn = async (email: string, secret: string, slug = 'acme'): Promise<Client> =>
  clientOf(stage.api.url, (await signIn(stage.nobody, slug, email, secret)).token);

before(async () => {
  stage = await openStage({ clock: () => now });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  const { oneTimePassword } = await acme.client.mutate(
    'createAccount',
    { email: 'second@acme.example', name: 'Second', role: 'administrator' },
    'AccountPasswordPayload',
    'oneTimePassword',
  );
  second = await enter(stage.api.url, 'acme', 'second@acme.example', oneTimePassword, password);
});
after(() => stage.stop());

const register = async (count: number, groupId: string): Promise<string[]> => {
  const ids: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const made = await acme.client.mutate(
      'registerDevice',
      { name: `Phone ${n}`, platform: 'ANDROID', groupId },
      'DevicePayload',
      'device { id }',
    );
    ids.push(made.device.id);
  }
  return ids;
};

const approvalIn = (answer: { code?: string; message?: string }): string => {
  assert.equal(answer.code, 'approval-required', JSON.stringify(answer));
  return /apr\w{26}/.exec(answer.message ?? '')?.[0] as string;
};

const standing = async (id: string) => {
  const { node } = await acme.client.query(
    'query($id: ID!) { node(id: $id) { ... on Approval { status devices requestedBy { id } decidedBy { id } } } }',
    { id },
  );
  return node;
};

test('a bundle that wipes a large group waits; another administrator, a day old, carries it out', async () => {
  const { group } = await acme.client.mutate(
    'createGroup',
    { name: 'Vans' },
    'DeviceGroupPayload',
    'group { id }',
  );
  await register(11, group.id);
  const { taskBundle } = await acme.client.mutate(
    'createTaskBundle',
    { name: 'End', platforms: ['ANDROID'], tasks: [{ type: 'WIPE', parameters: {} }] },
    'TaskBundlePayload',
    'taskBundle { id }',
  );
  const transfer = { taskBundleId: taskBundle.id, groupId: group.id };
  const id = approvalIn(
    await acme.client.mutate('transferTaskBundle', transfer, 'TransferPayload', 'pending'),
  );
  assert.deepEqual(await standing(id), {
    status: 'OPEN',
    devices: 11,
    requestedBy: { id: acme.accountId },
    decidedBy: null,
  });
  const approve = (client: Client) =>
    client.mutate('approve', { approvalId: id }, 'ApprovalPayload', 'approval { status }');
  assert.equal((await approve(acme.client)).code, 'approval-own');
  assert.equal((await approve(second)).code, 'approver-too-new');
  assert.equal((await approve(other.client)).code, 'approval-missing');
  const transfers = async () =>
    (await acme.client.query('{ transfers { nodes { groupId } } }')).transfers.nodes;
  assert.deepEqual(await transfers(), []);

  now += dayMs - 60_000;
  const late = approvalIn(
    await (await signedIn(acme.email, acme.password)).mutate(
      'transferTaskBundle',
      transfer,
      'TransferPayload',
      'pending',
    ),
  );
  now += 120_000;
  const [mine, older] = [
    await signedIn(acme.email, acme.password),
    await signedIn('second@acme.example', password),
  ];
  assert.equal((await approve(older)).code, 'approval-expired');
  const done = await older.mutate(
    'approve',
    { approvalId: late },
    'ApprovalPayload',
    'approval { status decidedBy { id } }',
  );
  assert.equal(done.approval.status, 'CARRIED_OUT', JSON.stringify(done));
  const { transfers: made } = await mine.query('{ transfers { nodes { groupId } } }');
  assert.deepEqual(made.nodes, [{ groupId: group.id }]);
  const again = await older.mutate(
    'refuseApproval',
    { approvalId: late, reason: 'Too late' },
    'ApprovalPayload',
    'pending',
  );
  assert.equal(again.code, 'approval-decided');
});

test('single devices count towards the hour, of each person alone; what loses nothing never waits', async () => {
  const client = await signedIn(acme.email, acme.password);
  const { group } = await client.mutate(
    'createGroup',
    { name: 'Desk' },
    'DeviceGroupPayload',
    'group { id }',
  );
  const ids: string[] = [];
  for (let n = 0; n < 11; n += 1)
    ids.push(
      (
        await client.mutate(
          'registerDevice',
          { name: `Desk ${n}`, platform: 'ANDROID', groupId: group.id },
          'DevicePayload',
          'device { id }',
        )
      ).device.id,
    );
  const unenrol = (deviceId: string | undefined) =>
    client.mutate('unenrolDevice', { deviceId }, 'DevicePayload', 'pending');
  for (const id of ids.slice(0, 10)) assert.notEqual((await unenrol(id)).code, 'approval-required');
  const waiting = approvalIn(await unenrol(ids[10]));
  const colleague = await signedIn('second@acme.example', password);
  const refused = await colleague.mutate(
    'refuseApproval',
    { approvalId: waiting, reason: 'Not today.' },
    'ApprovalPayload',
    'approval { status reason }',
  );
  assert.deepEqual(refused.approval, { status: 'REFUSED', reason: 'Not today.' });
  now += 3_600_001;
  const later = await signedIn(acme.email, acme.password);
  const free = await later.mutate('unenrolDevice', { deviceId: ids[10] }, 'DevicePayload', 'pending');
  assert.notEqual(free.code, 'approval-required');
});

test('the limit is lowered alone and raised by two', async () => {
  const client = await signedIn(acme.email, acme.password);
  const set = (devicesPerHour: number) =>
    client.mutate('setSafeguard', { devicesPerHour }, 'SafeguardPayload', 'safeguard { devicesPerHour }');
  assert.deepEqual((await set(3)).safeguard, { devicesPerHour: 3 });
  const id = approvalIn(await set(100));
  const colleague = await signedIn('second@acme.example', password);
  const done = await colleague.mutate(
    'approve',
    { approvalId: id },
    'ApprovalPayload',
    'approval { status }',
  );
  assert.deepEqual(done.approval, { status: 'CARRIED_OUT' }, JSON.stringify(done));
  const elsewhere = await signedIn(other.email, other.password, 'other');
  assert.deepEqual(await client.query('{ safeguard { devicesPerHour } }'), {
    safeguard: { devicesPerHour: 100 },
  });
  assert.deepEqual(await elsewhere.query('{ safeguard { devicesPerHour } }'), {
    safeguard: { devicesPerHour: 10 },
  });
});

test('wiping needs the permission, whatever else allows to send tasks', async () => {
  const client = await signedIn(acme.email, acme.password);
  const { oneTimePassword } = await client.mutate(
    'createAccount',
    { email: 'desk@acme.example', name: 'Desk', role: 'helpdesk' },
    'AccountPasswordPayload',
    'oneTimePassword',
  );
  const desk = await enter(stage.api.url, 'acme', 'desk@acme.example', oneTimePassword, password);
  const { devices } = await client.query('{ devices(first: 1) { nodes { id } } }');
  const queue = (type: string) =>
    desk.mutate(
      'queueTask',
      { deviceId: devices.nodes[0].id, task: { type, parameters: {} } },
      'DevicePayload',
      'pending',
    );
  assert.equal((await queue('WIPE')).code, 'forbidden');
  assert.equal((await queue('UNENROL')).code, 'forbidden');
  assert.notEqual((await queue('REFRESH')).code, 'forbidden');
});
