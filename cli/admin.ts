/**
 * What the commands ask of the server through GraphQL, as an administrator's program would.
 * Called by demo/story.ts, simulate.ts, the benches and end-to-end tests.
 */
import { MusterError } from '../platform/errors.ts';
import type { Client } from './client.ts';

/** A signed-in administrator or operator. */
export interface Admin {
  readonly client: Client;
  readonly token: string;
}

const capital = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

/** Runs one mutation; `selection` is what to read of its payload type. A refusal throws, naming code and field. */
export const mutate = async <Payload>(
  { client, token }: { readonly client: Client; readonly token?: string },
  name: string,
  input: Record<string, unknown>,
  selection: string,
): Promise<Payload> => {
  type Result = Payload & { __typename: string; code?: string; message?: string; field?: string };
  const { result } = await client.graphql<{ result: Result }>(
    `mutation ($input: ${capital(name)}Input!) {
      result: ${name}(input: $input) {
        __typename
        ... on Error { code message field }
        ... on ${selection}
      }
    }`,
    { input },
    token,
  );
  if (result.__typename !== 'Refusal' && result.__typename !== 'Fault') return result;
  const where = result.field ? ` (${result.field})` : '';
  throw new MusterError('internal', `${name}: ${result.code}${where}: ${result.message}`);
};

/** Signs in with tenant short name, e-mail and password. */
export const signIn = async (
  client: Client,
  who: { readonly tenantSlug: string; readonly email: string; readonly password: string },
): Promise<Admin & { readonly mustChangePassword: boolean }> => {
  const selection = 'SignInPayload { token mustChangePassword }';
  const { token, mustChangePassword } = await mutate<{ token: string; mustChangePassword: boolean }>(
    { client },
    'signIn',
    { ...who },
    selection,
  );
  return { client, token, mustChangePassword };
};

/** Signs in; a one-time password is changed to `chosen` on the way. */
export const signInFirst = async (
  client: Client,
  who: { readonly tenantSlug: string; readonly email: string; readonly password: string },
  chosen: string,
): Promise<Admin> => {
  const admin = await signIn(client, who);
  if (admin.mustChangePassword) {
    const input = { currentPassword: who.password, newPassword: chosen };
    const changed = await mutate<{ token: string }>(
      admin,
      'changePassword',
      input,
      'ChangePasswordPayload { token }',
    );
    return { client, token: changed.token };
  }
  return admin;
};

/** Who administers a tenant, and how to sign in as them. */
export interface TenantAccess {
  readonly tenantId: string;
  readonly tenantSlug: string;
  readonly email: string;
  readonly password: string;
}

/** Creates a tenant with seats and its first administrator, who chooses `password`; answers them signed in. */
export const createTenant = async (
  operator: Admin,
  tenant: {
    readonly name: string;
    readonly slug: string;
    readonly email: string;
    readonly password: string;
    readonly seats: number;
  },
): Promise<{ admin: Admin; access: TenantAccess }> => {
  const { name, slug, email, password, seats } = tenant;
  const created = await mutate<{ tenant: { id: string }; oneTimePassword: string }>(
    operator,
    'createTenant',
    {
      name,
      slug,
      administratorEmail: email,
      administratorName: 'Administrator',
      seats,
      edition: 'ADVANCED',
    },
    'TenantAdministratorPayload { tenant { id } oneTimePassword }',
  );
  const first = { tenantSlug: slug, email, password: created.oneTimePassword };
  const admin = await signInFirst(operator.client, first, password);
  return { admin, access: { tenantId: created.tenant.id, tenantSlug: slug, email, password } };
};

/** Makes a one-time enrolment code. */
export const createEnrolment = async (
  admin: Admin,
  input: {
    readonly userEmail?: string;
    readonly platform?: string;
    readonly ownership?: 'CORPORATE' | 'PERSONAL';
  },
): Promise<string> => {
  const { code } = await mutate<{ code: string }>(
    admin,
    'createEnrolment',
    input,
    'CreateEnrolmentPayload { code }',
  );
  return code;
};

/** Registers an EAS proxy by its certificate; answers its id. */
export const registerProxy = async (admin: Admin, name: string, certificatePem: string): Promise<string> => {
  const { proxy } = await mutate<{ proxy: { id: string } }>(
    admin,
    'registerProxy',
    { name, certificatePem },
    'ProxyPayload { proxy { id } }',
  );
  return proxy.id;
};

/** A device as the commands show it. */
export interface ShownDevice {
  readonly id: string;
  readonly name: string;
  readonly platform: string;
  readonly userEmail: string | null;
  readonly complianceStatus: string | null;
  readonly mailVerdict: 'ALLOW' | 'DENY';
  readonly mailReason: string;
  readonly lastCheckInAt: string | null;
  readonly inventory: { readonly osVersion: string | null; readonly batteryPercent: number | null };
  readonly policies: readonly { readonly policyId: string; readonly appliedVersion: number | null }[];
}

const deviceFields =
  'id name platform userEmail complianceStatus mailVerdict mailReason lastCheckInAt inventory { osVersion batteryPercent } policies { policyId appliedVersion }';

/** Every device of the tenant, page by page. */
export async function* allDevices({ client, token }: Admin): AsyncGenerator<ShownDevice> {
  let after: string | null = null;
  do {
    type Page = {
      devices: { nodes: ShownDevice[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } };
    };
    const page: Page = await client.graphql<Page>(
      `query ($after: String) { devices(first: 100, after: $after) { nodes { ${deviceFields} } pageInfo { hasNextPage endCursor } } }`,
      { after },
      token,
    );
    yield* page.devices.nodes;
    after = page.devices.pageInfo.hasNextPage ? page.devices.pageInfo.endCursor : null;
  } while (after !== null);
}
