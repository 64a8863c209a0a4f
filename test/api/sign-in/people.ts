/**
 * Callers at addresses of their own: the stage trusts loopback as a balancer and believes its X-Forwarded-For.
 * Called by test/api/sign-in/*.test.ts.
 */
import { type ApiStage, type Client, clientOf, type Json, type TenantStage } from '../stage.ts';

/** Settings under which `at` works. */
export const behindBalancer = { trustedProxies: '127.0.0.1' } as const;

/** A caller at an address. */
export const at = (stage: ApiStage, address: string, token?: string): Client =>
  clientOf(stage.api.url, token, { 'x-forwarded-for': address });

const fields = `step token expiresAt clientToken mustChangePassword passwordDue challenge { provider siteKey }`;

/** Signs in; `more` is the rest of the input. */
export const tryIn = (
  client: Client,
  { slug, email, password }: Pick<TenantStage, 'slug' | 'email' | 'password'>,
  more: object = {},
): Promise<Json> =>
  client.mutate('signIn', { tenantSlug: slug, email, password, ...more }, 'SignInPayload', fields);

/** Events of a type in a tenant's audit trail, the latest first. */
export const audited = async (client: Client, type: string): Promise<Json[]> => {
  const { audit } = await client.query(
    'query($type: String!) { audit(first: 100, type: $type) { nodes { type actor { kind id } entityId data } } }',
    { type },
  );
  return audit.nodes;
};

/** Asks again until a condition holds of the answer: the server tells nobody when it has told the log. */
export const until = async <T>(ask: () => Promise<T>, holds: (answer: T) => boolean): Promise<T> => {
  for (let asked = 0; asked < 1000; asked += 1) {
    const answer = await ask();
    if (holds(answer)) return answer;
  }
  throw new Error('it never came true');
};
