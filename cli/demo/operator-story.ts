/**
 * The operator's story of the demo: two tenants from one template, seats, a second factor, an API key, and what keeps
 * the tenants apart. Every step is a real call, by the ids of the server's own documents. Called by demo.ts.
 */
import { TOTP } from 'otpauth';
import { MusterError } from '../../platform/errors.ts';
import { newId, newSecret } from '../../platform/new-id.ts';
import type { Admin } from '../admin.ts';
import type { Client } from '../client.ts';
import { type Appearance, enrolDevice } from '../simulated-device.ts';
import type { Narrator } from './narrator.ts';

/** What the story is played on. */
export interface OperatorStage {
  readonly client: Client;
  readonly operator: Admin;
  /** Which story of its data folder it is, from 1: tenants of earlier ones stay. */
  readonly story: number;
  readonly say: Narrator;
}

/** Seats that one story takes of the licence. */
export const operatorStorySeats = 3;

const codeStepMs = 30_000;

/** Runs a mutation of our own documents; a refusal ends the story. */
const act = async <Payload>(
  client: Client,
  name: string,
  input: object,
  token?: string,
): Promise<Payload> => {
  type Result = { readonly __typename: string; readonly code: string; readonly message: string };
  const { result } = await client.run<{ result: Result & Payload }>(name, { input }, token);
  if (result.__typename === 'Refusal' || result.__typename === 'Fault')
    throw new MusterError('internal', `${name}: ${result.code}: ${result.message}`);
  return result;
};

/** A shop as the template describes it. Its ids are the template's own; every tenant gets new ones. */
const shopTemplate = () => {
  const compliance = {
    id: newId('cmp'),
    name: 'Shop rules',
    settings: {
      android: [{ rule: 'screen-lock', parameters: {}, actions: [{ action: 'deny-mail' }] }],
      ios: [{ rule: 'screen-lock', parameters: {}, actions: [{ action: 'deny-mail' }] }],
    },
  };
  const policy = {
    id: newId('pol'),
    name: 'Six digits',
    policyType: 'device',
    platforms: ['android', 'ios'],
    settings: { passcode: { required: true, minimumLength: 6 } },
  };
  return {
    settings: { description: 'A shop', compliancePolicyId: compliance.id },
    compliancePolicies: [compliance],
    policies: [policy],
    taskBundles: [],
    groups: [{ id: newId('grp'), name: 'Tills', compliancePolicyId: compliance.id }],
  };
};

/** A tenant of the story and the one-time password of its administrator. */
interface Shop {
  readonly slug: string;
  readonly name: string;
  readonly seats: number;
  readonly email: string;
  readonly oneTimePassword: string;
}

const openShops = async ({ client, operator, story, say }: OperatorStage): Promise<[Shop, Shop]> => {
  const { template } = await act<{ template: { id: string; version: number } }>(
    client,
    'CreateTemplate',
    { name: `Shop ${story}`, content: shopTemplate() },
    operator.token,
  );
  say.fact('template "Shop": rules of compliance, a passcode policy, a group "Tills"');
  const open = async (city: string, seats: number): Promise<Shop> => {
    const slug = story === 1 ? city.toLowerCase() : `${city.toLowerCase()}-${story}`;
    const email = `admin@${slug}.example`;
    const { oneTimePassword } = await act<{ oneTimePassword: string }>(
      client,
      'CreateTenant',
      {
        name: `Shop ${city}`,
        slug,
        administratorEmail: email,
        administratorName: 'Administrator',
        templateId: template.id,
        seats,
      },
      operator.token,
    );
    return { slug, name: `Shop ${city}`, seats, email, oneTimePassword };
  };
  return [await open('Berlin', 2), await open('Paris', 1)];
};

const showSeats = async ({ client, operator, say }: OperatorStage, shops: readonly Shop[]): Promise<void> => {
  type Seats = {
    licence: { seats: number; allotted: number; daysLeft: number };
    seatUses: { nodes: { allotted: number; taken: number; tenant: { slug: string; name: string } }[] };
  };
  const { licence, seatUses } = await client.run<Seats>('Seats', {}, operator.token);
  say.fact(
    `the licence has ${licence.seats} seats, ${licence.allotted} of them allotted, ${licence.daysLeft} days left`,
  );
  const rows = seatUses.nodes.filter(({ tenant }) => shops.some(({ slug }) => slug === tenant.slug));
  say.table([
    ['TENANT', 'SEATS', 'TAKEN'],
    ...rows.map(({ tenant, allotted, taken }) => [tenant.name, String(allotted), String(taken)]),
  ]);
};

type SignedIn = { token: string; mustChangePassword: boolean; step: string; pendingToken: string };

/** Signs in with the one-time password and chooses one; answers both. */
const firstSignIn = async (
  client: Client,
  { slug, email, oneTimePassword }: Shop,
): Promise<{ token: string; password: string }> => {
  const password = newSecret();
  const who = { tenantSlug: slug, email };
  const first = await act<SignedIn>(client, 'SignIn', { ...who, password: oneTimePassword });
  const { token } = await act<{ token: string }>(
    client,
    'ChangePassword',
    { currentPassword: oneTimePassword, newPassword: password },
    first.token,
  );
  return { token, password };
};

const showSetUp = async ({ client, say }: OperatorStage, token: string): Promise<void> => {
  type SetUp = {
    tenant: { compliancePolicy: { name: string } };
    groups: { nodes: { name: string }[] };
    policies: { nodes: { name: string; version: number }[] };
  };
  const { tenant, groups, policies } = await client.run<SetUp>('TenantSetUp', {}, token);
  const names = [...policies.nodes, ...groups.nodes].map(({ name }) => `"${name}"`).join(', ');
  say.fact(`finds what the template brought: ${names}, "${tenant.compliancePolicy.name}" in force`);
};

/** Turns the second factor on and signs in anew with it. */
const withSecondFactor = async (
  { client, say }: OperatorStage,
  { slug, email }: Shop,
  first: { readonly token: string; readonly password: string },
): Promise<string> => {
  const { secret } = await act<{ secret: string }>(
    client,
    'BeginTotp',
    { currentPassword: first.password },
    first.token,
  );
  const app = new TOTP({ secret });
  const { recoveryCodes } = await act<{ recoveryCodes: string[] }>(
    client,
    'ConfirmTotp',
    { code: app.generate() },
    first.token,
  );
  say.fact(`an authenticator app is set up; ${recoveryCodes.length} recovery codes are to be printed`);
  const signIn = { tenantSlug: slug, email, password: first.password };
  const pending = await act<SignedIn>(client, 'SignIn', signIn);
  say.fact(`signs in anew: the password alone ends at step ${pending.step}`);
  // No code counts twice: the next one is good already, as clocks of phones are allowed to be fast.
  const code = app.generate({ timestamp: Date.now() + codeStepMs });
  const { token } = await act<SignedIn>(client, 'SignInWithCode', {
    pendingToken: pending.pendingToken,
    code,
  });
  say.fact('with the code of the app the session is open');
  return token;
};

const phone: Appearance = {
  platform: 'android',
  name: 'Till 1',
  inventory: { model: 'Pixel 10', osVersion: '16', rooted: false, screenLock: true, encrypted: true },
  apps: [],
};

const enrol = async (client: Client, token: string, userEmail: string, name: string): Promise<string> => {
  const enrolment = { userEmail, platform: 'ANDROID' };
  const { code } = await act<{ code: string }>(client, 'CreateEnrolment', enrolment, token);
  return (await enrolDevice(client, code, { ...phone, name })).deviceId;
};

/** Tries to enrol one device more than there are seats. */
const enrolBeyondSeats = async ({ client, say }: OperatorStage, token: string): Promise<void> => {
  const enrolment = { userEmail: 'till2@paris.example', platform: 'ANDROID' };
  const { code } = await act<{ code: string }>(client, 'CreateEnrolment', enrolment, token);
  const { status, body } = await client.post<{ type: string; detail: string }>('/device/v1/enroll', {
    code,
    requestId: newSecret(),
    platform: phone.platform,
    name: 'Till 2',
  });
  say.fact(`a second one in Paris: HTTP ${status} ${body.type.replace('/errors#', '')}`);
};

/** The name of a device by its id; null when the caller's tenant has none of that id. */
const nameOf = async (client: Client, id: string, token: string): Promise<string | null> =>
  (await client.run<{ node: { name: string } | null }>('Device', { id }, token)).node?.name ?? null;

/** Waits until a read model shows the device: it follows the log within milliseconds, but follows it. */
const untilShown = async (client: Client, id: string, token: string): Promise<void> => {
  while ((await nameOf(client, id, token)) === null) await new Promise((resolve) => setTimeout(resolve, 50));
};

/** Why a read was refused. */
const refusalOf = async (reading: Promise<unknown>): Promise<string> =>
  reading.then(
    () => 'answered',
    (error: Error) => error.message.replace(/^GraphQL at \S+ /, ''),
  );

/** Plays the story. */
export const playOperator = async (stage: OperatorStage): Promise<void> => {
  const { client, operator, say } = stage;
  say.step('The operator describes a shop once, and opens two tenants from that template.');
  const shops = await openShops(stage);
  const [berlin, paris] = shops;
  say.fact(
    `tenants "${berlin.slug}" and "${paris.slug}", each with an administrator and a one-time password`,
  );

  say.step('The licence’s seats are split between them.');
  await showSeats(stage, shops);

  say.step('Berlin’s administrator signs in, changes the one-time password and adds a second factor.');
  const first = await firstSignIn(client, berlin);
  await showSetUp(stage, first.token);
  const token = await withSecondFactor(stage, berlin, first);

  say.step('Each shop enrols a device; Paris has one seat and tries a second.');
  const inBerlin = await enrol(client, token, 'till1@berlin.example', 'Till 1 in Berlin');
  const { token: parisToken } = await firstSignIn(client, paris);
  const inParis = await enrol(client, parisToken, 'till1@paris.example', 'Till 1 in Paris');
  await untilShown(client, inBerlin, token);
  await untilShown(client, inParis, parisToken);
  say.fact('one device enrolled in each');
  await enrolBeyondSeats(stage, parisToken);
  await showSeats(stage, shops);

  say.step('Berlin’s administrator makes an API key that reads devices, for 30 days.');
  const made = await act<{ token: string; apiKey: { id: string; permissions: string[]; expiresAt: string } }>(
    client,
    'CreateApiKey',
    { name: 'Inventory', permissions: ['DEVICE_READ'], days: 30 },
    token,
  );
  say.fact(`key ${made.apiKey.id} may ${made.apiKey.permissions.join(', ')} until ${made.apiKey.expiresAt}`);
  const shown = await client.run<{ devices: { nodes: { name: string }[] } }>('Devices', {}, made.token);
  say.fact(`it lists: ${shown.devices.nodes.map(({ name }) => name).join(', ')}`);

  say.step('With it, somebody asks for what is not theirs.');
  say.fact(`the device of Paris, by its id: ${await nameOf(client, inParis, made.token)}`);
  say.fact(`the audit trail of Berlin: ${await refusalOf(client.run('Audit', {}, made.token))}`);
  say.fact(`the operator asks for Berlin’s device: ${await nameOf(client, inBerlin, operator.token)}`);

  say.step('The refusal is in Berlin’s audit trail, with who asked and from where.');
  type Trail = { audit: { nodes: { at: string; type: string; actor: { id: string }; data: object }[] } };
  for (;;) {
    const filter = { type: 'AccessDenied', actorId: made.apiKey.id };
    const [denial] = (await client.run<Trail>('Audit', filter, token)).audit.nodes;
    if (denial) {
      say.fact(`${denial.at}  ${denial.type}  ${denial.actor.id}`);
      say.fact(JSON.stringify(denial.data));
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
