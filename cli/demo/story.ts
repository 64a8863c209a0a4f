/**
 * The story of the demo: one tenant, three devices, one of which falls below the minimum OS. Every step is a real call
 * to the server and the proxy. Called by demo.ts.
 */
import { tenantId as tenantIdSchema } from '../../domain/ids.ts';
import type { EventStore } from '../../platform/event-store.ts';
import {
  type Admin,
  allDevices,
  createEnrolment,
  mutate,
  registerProxy,
  type ShownDevice,
} from '../admin.ts';
import { replay } from '../replay.ts';
import { enrolDevice, type SimulatedDevice } from '../simulated-device.ts';
import { askForMail } from './mail-client.ts';
import type { Narrator } from './narrator.ts';
import { type Person, people } from './people.ts';

/** What the story is played on. */
export interface Stage {
  readonly admin: Admin;
  readonly tenantId: string;
  readonly store: EventStore;
  readonly say: Narrator;
  /** Starts `muster proxy` once its certificate is registered; answers its address. */
  startProxy(register: (certificatePem: string) => Promise<unknown>): Promise<string>;
  /** Requests that reached the mail server. */
  readonly mailReached: readonly string[];
}

type Played = { readonly person: Person; readonly device: SimulatedDevice };

const denyMail = [{ action: 'deny-mail' }, { action: 'create-alert' }];
const rule = (name: string, parameters: object = {}) => ({ rule: name, parameters, actions: denyMail });
const common = [
  rule('managed'),
  rule('screen-lock'),
  rule('encryption'),
  rule('maximum-sync-gap', { minutes: 10_080 }),
];

/** Rules with a minimum Android version. */
const rulesWith = (minimumAndroid: string) => ({
  ios: [...common, rule('not-rooted'), rule('minimum-os-version', { version: '18.0' })],
  android: [...common, rule('not-rooted'), rule('minimum-os-version', { version: minimumAndroid })],
});

const setRules = async ({ admin, say }: Stage): Promise<string> => {
  const selection = 'CompliancePolicyPayload { compliancePolicy { id } }';
  const input = { name: 'Contoso baseline', settings: rulesWith('13') };
  const { compliancePolicy } = await mutate<{ compliancePolicy: { id: string } }>(
    admin,
    'createCompliancePolicy',
    input,
    selection,
  );
  const compliancePolicyId = compliancePolicy.id;
  await mutate(admin, 'assignTenantCompliancePolicy', { compliancePolicyId }, 'Effect { pending }');
  say.fact(
    'iOS at least 18.0, Android at least 13, screen lock, encryption, not rooted; a violation denies mail.',
  );
  return compliancePolicyId;
};

const enrolAll = async ({ admin, say }: Stage): Promise<Played[]> => {
  const played: Played[] = [];
  for (const person of people) {
    const { platform, name, inventory } = person.looks;
    const code = await createEnrolment(admin, { userEmail: person.email, platform: platform.toUpperCase() });
    const device = await enrolDevice(admin.client, code, person.looks);
    const reply = await device.checkIn({ batteryPercent: 80 });
    played.push({ person, device });
    say.fact(
      `${name} (${platform} ${inventory['osVersion']}) enrolled with code ${code}, checked in: ${reply.compliance.status}`,
    );
  }
  return played;
};

/** Reads devices until `wanted` holds: read models follow the log within milliseconds, but follow it. */
const devicesWhere = async (
  admin: Admin,
  wanted: (devices: readonly ShownDevice[]) => boolean,
): Promise<ShownDevice[]> => {
  for (;;) {
    const devices: ShownDevice[] = [];
    for await (const device of allDevices(admin)) devices.push(device);
    if (wanted(devices)) return devices;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

const showDevices = ({ say }: Stage, devices: readonly ShownDevice[]): void =>
  say.table([
    ['DEVICE', 'OS', 'COMPLIANCE', 'MAIL', 'WHY'],
    ...devices.map(({ name, inventory, complianceStatus, mailVerdict, mailReason }) => [
      name,
      inventory.osVersion ?? '',
      complianceStatus ?? '',
      mailVerdict,
      mailReason,
    ]),
  ]);

const tryMail = async (
  { say, mailReached }: Stage,
  proxyUrl: string,
  played: readonly Played[],
  refused: readonly Person[],
): Promise<void> => {
  for (const { person } of played) {
    const before = mailReached.length;
    const expected = refused.includes(person) ? 403 : 200;
    let answer = await askForMail(proxyUrl, person.email, person.easDeviceId);
    // The proxy hears of a verdict some milliseconds after it was reached.
    while (answer.status !== expected) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      answer = await askForMail(proxyUrl, person.email, person.easDeviceId);
    }
    const outcome =
      mailReached.length > before ? 'reached the mail server' : `refused by rule "${answer.rule}"`;
    say.fact(`${person.looks.name.padEnd(16)} HTTP ${answer.status}  ${outcome}`);
  }
};

const assignPolicy = async ({ admin, say }: Stage, ben: Played): Promise<void> => {
  const input = {
    name: 'Six digits',
    platforms: ['ANDROID'],
    settings: { passcode: { required: true, minimumLength: 6 } },
  };
  const { policy } = await mutate<{ policy: { id: string } }>(
    admin,
    'createPolicy',
    input,
    'PolicyPayload { policy { id } }',
  );
  await mutate(
    admin,
    'assignPolicy',
    { deviceId: ben.device.deviceId, policyId: policy.id },
    'Effect { pending }',
  );
  const received = await ben.device.checkIn();
  say.fact(
    `at its next sync ${ben.person.looks.name} received ${JSON.stringify(received.policies[0]?.settings)}`,
  );
  await ben.device.checkIn();
  const devices = await devicesWhere(admin, (all) =>
    all.some(({ policies }) => policies.some(({ appliedVersion }) => appliedVersion === 1)),
  );
  const applied = devices.flatMap(({ policies }) => policies)[0];
  say.fact(`and confirmed it: policy ${applied?.policyId} is applied at version ${applied?.appliedVersion}`);
};

const auditTrail = async ({ store, tenantId, say }: Stage, carla: Played): Promise<void> => {
  const lines: Record<string, unknown>[] = [];
  await replay(store, { tenant: tenantIdSchema.parse(tenantId), state: true }, async (line) => {
    lines.push(line as Record<string, unknown>);
  });
  const hers = lines.filter((line) => String(line['stream']).endsWith(carla.device.deviceId));
  for (const { position, at, type, actor } of hers) {
    if (type !== undefined)
      say.fact(`${position}  ${at}  ${String(type).padEnd(24)}  ${(actor as { kind: string }).kind}`);
  }
  const state = hers.at(-1)?.['state'] as {
    verdict: { status: string; violations: { why: string; since: string }[] };
  };
  const violation = state.verdict.violations[0];
  say.fact(`folds to: ${state.verdict.status}, since ${violation?.since}: ${violation?.why}`);
};

/** Plays the story; every wait in it ends as soon as the effect it waits for is there. */
export const play = async (stage: Stage): Promise<void> => {
  const { admin, say } = stage;
  say.step('The administrator sets the rules of compliance.');
  const compliancePolicyId = await setRules(stage);
  say.step(
    'The EAS proxy is registered and started: a process of its own, between phones and the mail server.',
  );
  const proxyUrl = await stage.startProxy((certificate) =>
    registerProxy(admin, 'Contoso mail gate', certificate),
  );
  say.fact(`phones use ${proxyUrl}; the mail server stays behind it`);
  say.step('Three devices enrol with one-time codes and check in.');
  const played = await enrolAll(stage);
  const enrolled = await devicesWhere(
    admin,
    (all) => all.length === 3 && all.every(({ mailVerdict }) => mailVerdict === 'ALLOW'),
  );
  showDevices(stage, enrolled);
  say.step('Each asks for its mail through the proxy.');
  await tryMail(stage, proxyUrl, played, []);
  const [, ben, carla] = played as [Played, Played, Played];
  say.step(
    'The administrator raises the minimum Android version to 16: Carla’s phone falls below it, without doing anything.',
  );
  const revision = { compliancePolicyId, settings: rulesWith('16') };
  await mutate(
    admin,
    'reviseCompliancePolicy',
    revision,
    'CompliancePolicyPayload { compliancePolicy { id } }',
  );
  showDevices(
    stage,
    await devicesWhere(admin, (all) => all.some(({ mailVerdict }) => mailVerdict === 'DENY')),
  );
  say.step('What does not pass muster gets no mail.');
  await tryMail(stage, proxyUrl, played, [carla.person]);
  say.step('The administrator assigns a policy to Ben’s phone.');
  await assignPolicy(stage, ben);
  say.step('An auditor replays what happened to Carla’s phone, from the log alone.');
  await auditTrail(stage, carla);
};
