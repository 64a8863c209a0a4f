/**
 * `muster simulate`: drives a fleet of devices through the server's real REST API, then proves that every acknowledged
 * check-in is an event in the log and shows in GraphQL.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Presets, SingleBar } from 'cli-progress';
import { Command, InvalidArgumentError } from 'commander';
import { readConfig, serverSettings } from '../platform/config.ts';
import { MusterError } from '../platform/errors.ts';
import { openLog } from '../platform/log.ts';
import { newSecret } from '../platform/new-id.ts';
import { type Admin, createTenant, signIn, signInFirst } from './admin.ts';
import { type Client, openClient } from './client.ts';
import { checkInAll, enrolAll, type FleetSize, type Rate } from './fleet/drive.ts';
import { verifyFleet } from './fleet/verify.ts';
import { throwAwayIssuer } from './licence/throw-away.ts';
import { startServer } from './server.ts';

interface Options extends FleetSize {
  readonly url?: string;
  readonly tenant?: string;
  readonly email?: string;
  readonly password?: string;
  readonly ca?: string;
  readonly json: boolean;
}

/** Where the fleet goes: a server somewhere, or one of its own that is thrown away afterwards. */
interface Target {
  readonly client: Client;
  readonly admin: Admin;
  close(): Promise<void>;
}

const existing = async (options: Options, url: string): Promise<Target> => {
  const { tenant: tenantSlug, email, password } = options;
  if (!tenantSlug || !email || !password) {
    throw new MusterError(
      'invalid-input',
      '--url needs --tenant, --email and --password of an administrator',
      { field: '--tenant' },
    );
  }
  const client = openClient(url, { connections: options.concurrency, caFile: options.ca });
  return {
    client,
    admin: await signIn(client, { tenantSlug, email, password }),
    close: () => client.close(),
  };
};

const ownServer = async (options: Options): Promise<Target> => {
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-simulate-'));
  const { licencePublicKeyFile, license } = throwAwayIssuer(dataDir);
  const config = readConfig(serverSettings, { dataDir, port: '0', licencePublicKeyFile });
  const server = await startServer(config, openLog({ level: 'error', name: 'simulate' }));
  const client = openClient(server.url, { connections: options.concurrency });
  const close = async () => {
    await client.close();
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  };
  try {
    const { tenantSlug, email, password = '' } = server.operator;
    const operator = await signInFirst(client, { tenantSlug, email, password }, newSecret());
    await license(operator, options.devices);
    const tenant = {
      name: 'Simulation',
      slug: 'simulation',
      email: 'admin@simulation.example',
      password: newSecret(),
      seats: options.devices,
    };
    return { client, admin: (await createTenant(operator, tenant)).admin, close };
  } catch (error) {
    await close();
    throw error;
  }
};

/** A progress bar on a terminal's standard error; one line per phase elsewhere. */
const progressOf = (label: string, total: number) => {
  if (!process.stderr.isTTY) {
    process.stderr.write(`${label}: ${total}\n`);
    return { advance: () => {}, stop: () => {} };
  }
  const bar = new SingleBar(
    { format: `${label.padEnd(10)} {bar} {value}/{total} {duration_formatted}` },
    Presets.shades_classic,
  );
  bar.start(total, 0);
  return { advance: () => bar.increment(), stop: () => bar.stop() };
};

const show = (label: string, { perSecond, p50Ms, p99Ms, count }: Rate): string =>
  `${label.padEnd(12)}${String(count).padStart(7)}   ${perSecond.toFixed(0).padStart(6)}/s   p50 ${p50Ms.toFixed(1)} ms   p99 ${p99Ms.toFixed(1)} ms`;

const simulate = async (options: Options): Promise<void> => {
  const target = await (options.url === undefined ? ownServer(options) : existing(options, options.url));
  try {
    const enrolling = progressOf('enrolling', options.devices);
    const enrolled = await enrolAll(target.admin, options, enrolling.advance);
    enrolling.stop();
    const checking = progressOf('check-ins', options.devices * options.checkIns);
    const checkedIn = await checkInAll(enrolled.devices, options, checking.advance);
    checking.stop();
    const proof = await verifyFleet(target.admin, enrolled.devices);
    const summary = { enrolments: enrolled.rate, checkIns: checkedIn, ...proof };
    if (options.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
    else {
      process.stdout.write(
        `${show('enrolments', enrolled.rate)}\n${show('check-ins', checkedIn)}\n` +
          `acknowledged ${proof.acknowledged}, in the log ${proof.inLog}, devices shown in GraphQL ${proof.shown} of ${options.devices}\n`,
      );
    }
    if (proof.missing.length > 0 || proof.shown !== options.devices) {
      throw new MusterError(
        'internal',
        `${proof.missing.length} acknowledged check-ins are not in the log; ${proof.shown} devices are shown`,
      );
    }
  } finally {
    await target.close();
  }
};

const bounded =
  (maximum: number) =>
  (text: string): number => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= 1 && value <= maximum) return value;
    throw new InvalidArgumentError(`must be a whole number from 1 to ${maximum}.`);
  };

/** The subcommand, for muster.ts. */
export const simulateCommand = (): Command =>
  new Command('simulate')
    .description(
      'Drive a fleet of devices through the real REST API, and prove that nothing acknowledged is missing.',
    )
    .option('--devices <number>', 'devices to enrol', bounded(100_000), 100)
    .option('--check-ins <number>', 'check-ins of each device', bounded(10_000), 5)
    .option('--concurrency <number>', 'devices that talk at once', bounded(1000), 32)
    .option('--url <url>', 'a running server; without it one is started and thrown away')
    .option('--tenant <short name>', 'tenant to enrol into (with --url)')
    .option('--email <address>', 'an administrator of it (with --url)')
    .option('--password <password>', 'the administrator’s password (with --url)')
    .option('--ca <file>', 'CA of the server’s certificate, PEM')
    .option('--json', 'print the summary as JSON', false)
    .action(simulate);
