/**
 * The licence of a running server: over GraphQL as an operator, or beside the server through its stores, for whoever
 * may read its data folder. Called by cli/licence.ts.
 */
import { licenceDecider } from '../../domain/licence/decide.ts';
import { validityAt } from '../../domain/licence/entitlement.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { isoTime } from '../../platform/clock.ts';
import { readConfig, serverSettings } from '../../platform/config.ts';
import { openDeps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import { readIssuers, theLicence, verifyLicenceKey } from '../../platform/licence.ts';
import { openLog } from '../../platform/log.ts';
import { newUuid } from '../../platform/new-id.ts';
import { type Admin, mutate, signIn } from '../admin.ts';
import { openClient } from '../client.ts';
import { findRunning } from '../running.ts';

/** Where the server is, and as whom to speak to it. */
export interface Reach {
  readonly dataDir?: string;
  readonly url?: string;
  readonly token?: string;
  readonly email?: string;
  readonly password?: string;
  readonly ca?: string;
}

/** The licence, as GraphQL shows it. */
export interface ShownLicence {
  readonly installationId: string;
  readonly kind: string;
  readonly state: string;
  readonly daysLeft: number;
  readonly expiresAt: string;
  readonly edition: string;
  readonly seats: number;
  readonly allotted: number;
  readonly licensee: string | null;
  readonly registrationEmail: string | null;
}

export interface LicenceAccess {
  read(): Promise<ShownLicence>;
  /** A refusal throws, naming its code. */
  activate(key: string): Promise<void>;
  close(): Promise<void>;
}

const fields =
  'installationId kind state daysLeft expiresAt edition seats allotted licensee registrationEmail';

const overGraphql = (admin: Admin): LicenceAccess => ({
  async read() {
    const { client, token } = admin;
    return (await client.graphql<{ licence: ShownLicence }>(`{ licence { ${fields} } }`, {}, token)).licence;
  },
  async activate(key) {
    await mutate(admin, 'activateLicence', { key }, 'LicencePayload { pending }');
  },
  close: () => admin.client.close(),
});

const remote = async ({ url = '', token, email, password, ca }: Reach): Promise<LicenceAccess> => {
  const client = openClient(url, { connections: 1, caFile: ca });
  if (token !== undefined) return overGraphql({ client, token });
  if (email === undefined || password === undefined)
    throw new MusterError('invalid-input', '--url needs --token, or --email and --password', {
      field: '--token',
    });
  return overGraphql(await signIn(client, { tenantSlug: 'operator', email, password }));
};

const beside = async (reach: Reach): Promise<LicenceAccess> => {
  const config = readConfig(serverSettings, { dataDir: reach.dataDir });
  const running = findRunning(config.dataDir);
  if (running?.databaseUrl === undefined)
    throw new MusterError(
      'dependency-unavailable',
      `No server runs on ${config.dataDir}: start it with muster serve, or name one with --url.`,
    );
  const issuers = await readIssuers(config.licencePublicKeyFile);
  const { databaseUrl, eventStoreUrl } = running;
  const deps = await openDeps({ databaseUrl, eventStoreUrl }, openLog({ level: 'error', name: 'licence' }));
  const refused = (code: string, detail = ''): MusterError =>
    new MusterError('invalid-input', `activateLicence: ${code}: ${detail}`);
  return {
    async read() {
      const { state } = await deps.handler.load(licenceDecider, theLicence);
      if (state.status === 'none' || state.grant === null) throw refused('licence-missing');
      const { installationId, registrationEmail, allotted, grant } = state;
      const { kind, edition, key, seats, expiresAt } = grant;
      const validity = validityAt(grant, isoTime(deps.clock()));
      return {
        installationId,
        registrationEmail,
        allotted,
        seats,
        expiresAt,
        daysLeft: validity.daysLeft,
        state: validity.state.toUpperCase(),
        kind: kind.toUpperCase(),
        edition: edition.toUpperCase(),
        licensee: key?.licensee ?? null,
      };
    },
    async activate(key) {
      const claims = await verifyLicenceKey(key, issuers);
      if (isRefusal(claims)) throw refused(claims.refused, claims.detail);
      const handled = await deps.handler.handle(
        licenceDecider,
        theLicence,
        (now) => ({ type: 'ActivateLicence' as const, now, claims }),
        { actor: { kind: 'system', id: 'muster-licence' }, commandId: newUuid() },
      );
      if (isRefusal(handled)) throw refused(handled.refused, handled.detail);
    },
    close: deps.close,
  };
};

/** Opens access to the licence of a server: the named one, or the one that runs on the data folder. */
export const openLicenceAccess = (reach: Reach): Promise<LicenceAccess> =>
  reach.url === undefined ? beside(reach) : remote(reach);
