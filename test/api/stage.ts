/**
 * A whole API over real servers, with an operator and tenants that call it as clients do: over HTTP.
 * Called by test/api/*.test.ts.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrapOperator } from '../../api/bootstrap.ts';
import { type RunningApi, start as startApi } from '../../api/main.ts';
import { explainMail } from '../../cli/explain-mail.ts';
import type { AccountId, TenantId } from '../../domain/ids.ts';
import type { Clock } from '../../platform/clock.ts';
import { readConfig, type ServerConfig, serverSettings } from '../../platform/config.ts';
import type { Deps } from '../../platform/deps.ts';
import { type Projector, start as startProjections } from '../../projections/main.ts';
import { allot, license } from '../support/licence.ts';
import { type Servers, startServers, testLog } from '../support/servers.ts';

/** Anything JSON: answers are looked into field by field. */
// biome-ignore lint/suspicious/noExplicitAny: an answer has the shape of its query, which only the test knows.
export type Json = any;

export interface GraphqlAnswer {
  readonly status: number;
  readonly data: Json;
  readonly errors: readonly { message: string; path?: unknown[]; extensions: Json }[];
}

/** Somebody who calls the API, with or without a session token. */
export interface Client {
  readonly token: string | undefined;
  /** The whole answer. */
  raw(query: string, variables?: object): Promise<GraphqlAnswer>;
  /** The data of an answer without errors. */
  query(query: string, variables?: object): Promise<Json>;
  /** Calls a mutation with its `input`; `... on` is chosen for the caller: what is asked, or the error's particulars. */
  mutate(name: string, input: object | undefined, type: string, fields: string): Promise<Json>;
}

/** A tenant with its signed-in administrator. */
export interface TenantStage {
  readonly tenantId: TenantId;
  readonly slug: string;
  readonly email: string;
  readonly password: string;
  readonly accountId: AccountId;
  readonly client: Client;
}

export interface ApiStage {
  readonly servers: Servers;
  readonly deps: Deps;
  readonly api: RunningApi;
  readonly config: ServerConfig;
  readonly nobody: Client;
  readonly operator: Client;
  /** Ends the projector alone: nothing becomes visible any more. */
  stopProjecting(): Promise<void>;
  /** Creates a tenant; `more` is said to createTenant besides. */
  tenant(slug: string, more?: object): Promise<TenantStage>;
  stop(): Promise<void>;
}

const error = '... on Error { __typename code message field advice }';

/** A client of the API at `url`; `headers` go with every request. */
export const clientOf = (
  url: string,
  token?: string,
  headers: Readonly<Record<string, string>> = {},
): Client => {
  const raw: Client['raw'] = async (query, variables = {}) => {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({ query, variables }),
    });
    const body = (await response.json()) as Json;
    return { status: response.status, data: body.data, errors: body.errors ?? [] };
  };
  return {
    token,
    raw,
    async query(query, variables) {
      const { data, errors } = await raw(query, variables);
      assert.deepEqual(errors, []);
      return data;
    },
    async mutate(name, input, type, fields) {
      const inputType = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
      const { data, errors } = await raw(
        `mutation($input: ${inputType}!) { ${name}(input: $input) { __typename ... on ${type} { ${fields} } ${error} } }`,
        { input },
      );
      assert.deepEqual(errors, []);
      return data[name];
    },
  };
};

/** Signs in; the answer is the mutation's. */
export const signIn = (client: Client, tenantSlug: string, email: string, password: string): Promise<Json> =>
  client.mutate(
    'signIn',
    { tenantSlug, email, password },
    'SignInPayload',
    'token expiresAt mustChangePassword',
  );

/** Signs in with a one-time password and changes it. */
export const enter = async (
  url: string,
  tenantSlug: string,
  email: string,
  oneTimePassword: string,
  password: string,
): Promise<Client> => {
  const first = await signIn(clientOf(url), tenantSlug, email, oneTimePassword);
  assert.equal(first.mustChangePassword, true, JSON.stringify(first));
  const client = clientOf(url, first.token);
  const changed = await client.mutate(
    'changePassword',
    { currentPassword: oneTimePassword, newPassword: password },
    'ChangePasswordPayload',
    'pending token',
  );
  assert.equal(changed.__typename, 'ChangePasswordPayload', JSON.stringify(changed));
  return clientOf(url, changed.token);
};

/** A key of its own, so that no test makes one in a data folder. */
export const secretKey = Buffer.alloc(32, 7).toString('base64');

/** Starts everything. `settings` override the configuration. */
export const openStage = async (
  options: { settings?: Record<string, string>; clock?: Clock } = {},
): Promise<ApiStage> => {
  const servers = await startServers(options.clock ? { clock: options.clock } : {});
  const { deps } = servers;
  const dataDir = mkdtempSync(join(tmpdir(), 'muster-api-'));
  const config = readConfig(
    serverSettings,
    { port: '0', proxyFeedPort: '0', dataDir, ...options.settings },
    {},
  );
  const projector: Projector = await startProjections(config, deps);
  const operator = await bootstrapOperator(deps);
  await license(deps);
  const api = await startApi(config, deps, { projections: projector, explainMail });
  const { url } = api;
  const operatorPassword = 'correct horse battery staple';
  const operatorClient = await enter(
    url,
    operator.tenantSlug,
    operator.email,
    operator.password as string,
    operatorPassword,
  );
  return {
    servers,
    deps,
    api,
    config,
    nobody: clientOf(url),
    operator: operatorClient,
    stopProjecting: () => projector.stop(),
    async tenant(slug, more = {}) {
      const email = `admin@${slug}.example`;
      const created = await operatorClient.mutate(
        'createTenant',
        { name: `Tenant ${slug}`, slug, administratorEmail: email, administratorName: 'Ada', ...more },
        'TenantAdministratorPayload',
        'tenant { id } administratorId oneTimePassword pending',
      );
      assert.equal(created.pending, false, JSON.stringify(created));
      await allot(deps, created.tenant.id);
      const password = `a long password of ${slug}`;
      return {
        tenantId: created.tenant.id,
        slug,
        email,
        password,
        accountId: created.administratorId,
        client: await enter(url, slug, email, created.oneTimePassword, password),
      };
    },
    async stop() {
      await api.stop();
      await projector.stop();
      await servers.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
};

export { testLog };
