/**
 * `muster demo`: everything on embedded defaults, one tenant's story with real calls, then the addresses; stays up.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { z } from 'zod';
import type { FeedInfo } from '../api/proxy/main.ts';
import { environmentWith, readConfig, serverSettings } from '../platform/config.ts';
import { MusterError } from '../platform/errors.ts';
import { openLog } from '../platform/log.ts';
import { newSecret } from '../platform/new-id.ts';
import { writePrivateFile } from '../platform/private-file.ts';
import { makeIdentity } from '../proxy/identity.ts';
import { instanceDir } from '../proxy/instance.ts';
import { type Admin, createTenant, signInFirst, type TenantAccess } from './admin.ts';
import { type Child, startChild } from './child.ts';
import { type Client, openClient } from './client.ts';
import { startMailServer } from './demo/mail-server.ts';
import { type Narrator, narrate } from './demo/narrator.ts';
import { operatorStorySeats, playOperator } from './demo/operator-story.ts';
import { people } from './demo/people.ts';
import { play } from './demo/story.ts';
import { freePort } from './free-port.ts';
import { type ThrowAwayIssuer, throwAwayIssuer } from './licence/throw-away.ts';
import { type RunningServer, startServer } from './server.ts';
import { stopSignal } from './signals.ts';

interface Options {
  readonly dataDir: string;
  readonly port?: string;
  /** False: end after the story. */
  readonly stay: boolean;
  readonly story: 'tenant' | 'operator';
}

/** What a later demo in the same folder needs of an earlier one. */
const memory = z.object({
  operatorPassword: z.string(),
  /** Stories of a tenant, and of the operator, that were told. */
  stories: z.int(),
  operatorStories: z.int().default(0),
});
type Memory = z.infer<typeof memory>;

const memoryFile = (dataDir: string) => join(dataDir, 'demo.json');

const recall = (dataDir: string): Memory | undefined =>
  existsSync(memoryFile(dataDir))
    ? memory.parse(JSON.parse(readFileSync(memoryFile(dataDir), 'utf8')))
    : undefined;

const remember = (dataDir: string, value: Memory): void =>
  writeFileSync(memoryFile(dataDir), JSON.stringify(value), { mode: 0o600 });

/** Signs the operator in; at the first demo of a folder with the one-time password, which is changed. */
const operatorOf = async (
  server: RunningServer,
  client: Client,
  dataDir: string,
): Promise<{ operator: Admin; memory: Memory }> => {
  const { tenantSlug, email, password: oneTime } = server.operator;
  const known = recall(dataDir) ?? { operatorPassword: newSecret(), stories: 0, operatorStories: 0 };
  // Remembered before it is set: a demo that is interrupted between the two can be repeated.
  remember(dataDir, known);
  const password = oneTime ?? known.operatorPassword;
  const operator = await signInFirst(client, { tenantSlug, email, password }, known.operatorPassword);
  return { operator, memory: known };
};

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const showAddresses = (
  server: RunningServer,
  access: TenantAccess,
  token: string,
  proxyUrl: string,
  dataDir: string,
): void => {
  const rows = [
    ['GraphQL', `${server.url}/graphql`],
    ['  tenant', access.tenantSlug],
    ['  e-mail', access.email],
    ['  password', access.password],
    ['  token', token],
    ['Device REST', `${server.url}/device/v1/openapi.json`],
    ['Events', `${server.url}/events/v1/feed`],
    ['EAS proxy', proxyUrl],
    ['History', `npx muster replay --data-dir ${dataDir} --tenant ${access.tenantSlug}`],
  ];
  say(`\nMuster is up.\n`);
  for (const [name, value] of rows) say(`  ${name?.padEnd(12)} ${value}`);
};

/** Seats of all stories told so far: tenants of earlier ones keep theirs. */
const seatsOf = ({ stories, operatorStories }: Memory): number =>
  stories * people.length + operatorStories * operatorStorySeats;

const tellOperatorStory = async (
  server: RunningServer,
  client: Client,
  dataDir: string,
  license: ThrowAwayIssuer['license'],
): Promise<void> => {
  const { operator, memory: before } = await operatorOf(server, client, dataDir);
  const known = { ...before, operatorStories: before.operatorStories + 1 };
  await license(operator, seatsOf(known));
  remember(dataDir, known);
  await playOperator({ client, operator, story: known.operatorStories, say: narrate(say) });
  say(`\nMuster is up: ${server.url}/graphql`);
};

const tellStory = async (
  server: RunningServer,
  client: Client,
  dataDir: string,
  license: ThrowAwayIssuer['license'],
  keep: (part: { stop(): Promise<void> }) => void,
): Promise<void> => {
  const voice: Narrator = narrate(say);
  const { operator, memory: known } = await operatorOf(server, client, dataDir);
  const story = known.stories + 1;
  await license(operator, seatsOf({ ...known, stories: story }));
  const slug = story === 1 ? 'contoso' : `contoso-${story}`;
  voice.step(`The operator of this installation creates the tenant "${slug}".`);
  const tenant = {
    name: 'Contoso',
    slug,
    email: 'admin@contoso.example',
    password: newSecret(),
    seats: people.length,
  };
  const { admin, access } = await createTenant(operator, tenant);
  remember(dataDir, { ...known, stories: story });
  voice.fact(`it has ${people.length} seats of a licence that this demo issued to itself`);
  voice.fact(`its administrator ${access.email} signed in and chose a password`);
  const mail = await startMailServer();
  keep(mail);
  let proxyUrl = '';
  const startProxy = async (register: (certificatePem: string) => Promise<unknown>): Promise<string> => {
    const port = await freePort();
    const configFile = join(dataDir, `proxy-${slug}.json`);
    const { url: serverUrl, pin: serverPin } = server.proxyFeed as FeedInfo;
    const instance = {
      name: slug,
      listenPort: port,
      publicUrl: `http://127.0.0.1:${port}`,
      backend: { url: mail.url },
    };
    const stateDir = join(dataDir, 'proxy');
    const config = { serverUrl, serverPin, stateDir, log: { level: 'error' }, instances: [instance] };
    writePrivateFile(configFile, JSON.stringify(config));
    await register(makeIdentity(instanceDir(config, slug), slug, new Date()).certificate);
    const child: Child = await startChild(
      ['proxy', '--config', configFile],
      environmentWith({}),
      /listens on (\S+)/,
    );
    keep(child);
    proxyUrl = child.ready[1] as string;
    return proxyUrl;
  };
  await play({
    admin,
    tenantId: access.tenantId,
    store: server.deps.store,
    say: voice,
    startProxy,
    mailReached: mail.reached,
  });
  showAddresses(server, access, admin.token, proxyUrl, dataDir);
};

const demo = async (options: Options): Promise<void> => {
  const port = options.port ?? String(await freePort(8420));
  const { licencePublicKeyFile, license } = throwAwayIssuer(options.dataDir);
  const config = readConfig(serverSettings, {
    dataDir: options.dataDir,
    port,
    proxyFeedPort: '0',
    licencePublicKeyFile,
  });
  if (config.tlsCertificateFile)
    throw new MusterError('config-invalid', 'MUSTER_TLS_CERT: the demo serves plain HTTP on loopback');
  const log = openLog({ level: 'error', name: 'demo' });
  const stopped = stopSignal();
  say('Starting PostgreSQL, event store, projections, workers and API …');
  const server = await startServer(config, log);
  const client = openClient(server.url);
  const parts: { stop(): Promise<void> }[] = [];
  try {
    if (options.story === 'operator') await tellOperatorStory(server, client, config.dataDir, license);
    else await tellStory(server, client, config.dataDir, license, (part) => parts.push(part));
    if (!options.stay) return;
    say('\nPress Ctrl-C to stop.');
    const reason = await Promise.race([stopped, server.failed]);
    if (reason instanceof Error) throw reason;
  } finally {
    for (const part of parts.reverse()) await part.stop();
    await client.close();
    await server.stop();
  }
};

/** The subcommand, for muster.ts. */
export const demoCommand = (): Command =>
  new Command('demo')
    .description(
      'Start everything on embedded defaults, tell a story of one tenant or of the operator with real calls, and stay up.',
    )
    .addOption(
      new Option('--story <whose>', 'the story to tell').choices(['tenant', 'operator']).default('tenant'),
    )
    .option('--data-dir <folder>', 'where the demo keeps its data', './data/demo')
    .option('--port <number>', 'port of the API (default: 8420, or a free one)')
    .option('--no-stay', 'end after the story')
    .action(demo);
