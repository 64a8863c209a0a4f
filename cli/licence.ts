/**
 * `muster licence`: makes, reads and activates licence keys. keygen, issue and inspect work offline; activate and
 * status ask a running server, over the network as an operator or beside it through its data folder.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Edition, edition, type LicenceClaims } from '../domain/licence/licence.ts';
import { isRefusal, type Refusal } from '../domain/refusals.ts';
import { readConfig, serverSettings } from '../platform/config.ts';
import { describeCode, MusterError } from '../platform/errors.ts';
import {
  type Issuers,
  issueLicenceKey,
  newIssuer,
  readIssuers,
  readLicenceKey,
  verifyLicenceKey,
} from '../platform/licence.ts';
import { newUuid } from '../platform/new-id.ts';
import { openLicenceAccess, type Reach, type ShownLicence } from './licence/access.ts';

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const show = (rows: readonly (readonly [string, string | number | null])[]): void => {
  for (const [label, value] of rows) if (value !== null) say(`${label.padEnd(14)}${value}`);
};

/** A refusal as the fault that ends the command. */
const faultOf = ({ refused, detail }: Refusal): MusterError => {
  const { title, advice } = describeCode(refused);
  return new MusterError('invalid-input', `${refused}: ${title}${detail ? `: ${detail}` : ''}. ${advice}`);
};

const accepted = <T extends object>(outcome: T | Refusal): T => {
  if (isRefusal(outcome)) throw faultOf(outcome);
  return outcome as T;
};

const keygen = ({ out }: { readonly out: string }): void => {
  const { privateKey, publicKey } = newIssuer();
  // Neither may replace a key pair that licence keys were signed with.
  writeFileSync(`${out}.key`, privateKey, { mode: 0o600, flag: 'wx' });
  writeFileSync(`${out}.pub`, publicKey, { flag: 'wx' });
  say(`private key   ${out}.key   keep it secret: whoever has it can issue licences`);
  say(`public key    ${out}.pub   name it in MUSTER_LICENCE_PUBLIC_KEY`);
};

interface IssueOptions {
  readonly privateKey: string;
  readonly installation: string;
  readonly licensee: string;
  readonly edition: Edition;
  readonly seats: number;
  readonly expires: string;
}

const issue = async (options: IssueOptions): Promise<void> => {
  const { installation: installationId, licensee, seats, expires: expiresAt } = options;
  const issuedAt = new Date().toISOString();
  const licence = { keyId: newUuid(), installationId, licensee, edition: options.edition, seats };
  say(await issueLicenceKey({ ...licence, issuedAt, expiresAt }, readFileSync(options.privateKey, 'utf8')));
};

const claimRows = (claims: LicenceClaims) =>
  [
    ['key', claims.keyId],
    ['issuer', claims.issuer],
    ['installation', claims.installationId],
    ['licensee', claims.licensee],
    ['edition', claims.edition],
    ['seats', claims.seats],
    ['issued', claims.issuedAt],
    ['expires', claims.expiresAt],
  ] as const;

/** Issuers to verify with: those of the settings and, given, of one more file. */
const issuersFor = async (publicKey: string | undefined): Promise<Issuers> => {
  const { licencePublicKeyFile } = readConfig(serverSettings);
  return new Map([...(await readIssuers(licencePublicKeyFile)), ...(await readIssuers(publicKey))]);
};

const inspect = async (key: string, options: { readonly publicKey?: string }): Promise<void> => {
  const claims = accepted(readLicenceKey(key));
  show(claimRows(claims));
  const verified = await verifyLicenceKey(key, await issuersFor(options.publicKey));
  const expired = claims.expiresAt <= new Date().toISOString() ? ', expired' : '';
  if (!isRefusal(verified)) return show([['signature', `verified${expired}`]]);
  show([['signature', `not verified (${verified.refused})${expired}`]]);
  if (verified.refused !== 'licence-key-untrusted') throw faultOf(verified);
};

const statusRows = (licence: ShownLicence) =>
  [
    ['installation', licence.installationId],
    ['licence', licence.kind.toLowerCase()],
    ['state', `${licence.state.toLowerCase()}, ${licence.daysLeft} days left`],
    ['expires', licence.expiresAt],
    ['edition', licence.edition.toLowerCase()],
    ['seats', `${licence.seats}, ${licence.allotted} allotted to tenants`],
    ['licensee', licence.licensee],
    ['registered to', licence.registrationEmail ?? (licence.kind === 'TRIAL' ? 'nobody yet' : null)],
  ] as const;

/** Runs `task` with access to the licence of a running server, and shows the licence afterwards. */
const onServer = async (
  reach: Reach,
  task: (access: Awaited<ReturnType<typeof openLicenceAccess>>) => Promise<unknown> = async () => {},
): Promise<void> => {
  const access = await openLicenceAccess(reach);
  try {
    await task(access);
    show(statusRows(await access.read()));
  } finally {
    await access.close();
  }
};

const wholeNumber = (text: string): number => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError('must be a whole number from 1.');
};

/** A day counts to its end. */
const timeOf = (text: string): string => {
  const ms = Date.parse(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T23:59:59.000Z` : text);
  if (Number.isNaN(ms)) throw new InvalidArgumentError('must be a date (2027-12-31) or an ISO 8601 time.');
  return new Date(ms).toISOString();
};

/** The options that say where the server is. */
const reaching = (command: Command): Command =>
  command
    .option('--data-dir <folder>', 'data folder of a server that runs here (MUSTER_DATA_DIR)')
    .option('--url <url>', 'a server anywhere; needs an operator: --token, or --email and --password')
    .option('--token <token>', 'a session of an operator')
    .option('--email <address>', 'an operator')
    .option('--password <password>', 'the operator’s password')
    .option('--ca <file>', 'CA of the server’s certificate, PEM');

/** The subcommand, for muster.ts. */
export const licenceCommand = (): Command => {
  const licence = new Command('licence').description('Make, read and activate licence keys.');
  licence
    .command('keygen')
    .description('Make the key pair of an issuer of licence keys.')
    .requiredOption('--out <path>', 'writes <path>.key and <path>.pub')
    .action(keygen);
  licence
    .command('issue')
    .description('Issue a licence key for an installation.')
    .requiredOption('--private-key <file>', 'of the issuer, from keygen')
    .requiredOption('--installation <id>', 'from muster licence status')
    .requiredOption('--licensee <name>', 'who it is made out to')
    .requiredOption('--seats <number>', 'users with devices, and devices without a user', wholeNumber)
    .requiredOption('--expires <date>', 'last day, or time', timeOf)
    .addOption(new Option('--edition <edition>', 'edition').choices(edition.options).default('standard'))
    .action(issue);
  licence
    .command('inspect <key>')
    .description('Tell what a licence key says and whether a trusted issuer signed it.')
    .option('--public-key <file>', 'of one more issuer to trust')
    .action(inspect);
  reaching(licence.command('activate <key>'))
    .description('Put a licence key into force, in place of the trial or the present key.')
    .action((key: string, reach: Reach) => onServer(reach, (access) => access.activate(key)));
  reaching(licence.command('status'))
    .description('Show the installation id and the licence in force.')
    .action((reach: Reach) => onServer(reach));
  return licence;
};
