/**
 * Every HTTP route for every kind of caller, held against the matrix in the documentation, and with credentials that
 * claim another tenant. A route that is in service without being declared fails, and so does one that this file cannot
 * call.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type AppParts, openApp } from '../../api/app.ts';
import { routes } from '../../api/routes.ts';
import { type Caller, castOf, documented, everybody, needsOf, promisedTo, proxyTls } from './cast.ts';
import { openReading } from './lines.ts';
import { type ApiStage, type Json, openStage, type TenantStage } from './stage.ts';
import { makeWorld, proxyReport, type World } from './world.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;
let world: World;
let cast: ReadonlyMap<Caller, string | undefined>;
const strangers = ['nobody', 'user', 'device', 'key'] as const;

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
  world = await makeWorld(stage, acme);
  cast = await castOf(stage, acme, world);
});
after(() => stage.stop());

type Route = (typeof routes)[number];
const nameOf = ({ methods, path }: Route): string => `${methods.join(', ')} ${path}`;

const nonce = 'a-nonce-of-one-connection';

/** What makes a good request of a route beside its token: the rest of the address, the body, and its type. */
const requests: Readonly<
  Record<
    string,
    () => Promise<{ id?: string; query?: string; type?: string; body?: string; status?: number }>
  >
> = {
  '/graphql': async () => ({ type: 'application/json', body: '{"query":"{ __typename }"}' }),
  '/admin/v1/imports': async () => ({
    query: '?kind=users',
    type: 'text/csv',
    body: 'email,name\nz@acme.example,Z',
  }),
  '/admin/v1/imports/:id/results.csv': async () => ({ id: world.importId }),
  '/admin/v1/exports/users.csv': async () => ({}),
  '/admin/v1/exports/devices.csv': async () => ({}),
  '/admin/v1/handouts/:id/codes.csv': async () => ({ id: world.handoutId }),
  '/events/v1/feed': async () => ({}),
  '/proxy/v1/feed': async () => ({ query: `?nonce=${nonce}` }),
  '/proxy/v1/ask': async () => ({
    type: 'application/json',
    body: JSON.stringify({ easDeviceIds: ['EAS1'], nonce }),
  }),
  '/proxy/v1/status': async () => ({ type: 'application/json', body: JSON.stringify(proxyReport()) }),
  '/device/v1/sync': async () => ({ type: 'application/json', body: '{"checkInId":"routes"}' }),
  '/device/v1/enroll': async () => {
    const { code } = await acme.client.mutate('createEnrolment', {}, 'CreateEnrolmentPayload', 'code');
    const body = JSON.stringify({ code, requestId: code, platform: 'ios' });
    return { type: 'application/json', body };
  },
  '/device/v1/openapi.json': async () => ({}),
  // Nobody has begun to sign in here, and there is no such tenant: the same answer to everybody.
  '/sign-in/oidc/callback': async () => ({ status: 404 }),
  '/sign-in/oidc/:tenantSlug': async () => ({ id: 'nowhere', status: 404 }),
  '/healthz': async () => ({}),
  '/readyz': async () => ({}),
  '/errors': async () => ({}),
};

/** Calls a route, as a proxy with its certificate; the beginning of the answer is enough. */
const call = async (
  route: Route,
  caller: Caller,
  over: { method?: string; path?: string; token?: string } = {},
): Promise<{ status: number; code: string | undefined }> => {
  const request = requests[route.path];
  assert.ok(request, `no request is known for ${nameOf(route)}: say which one in this file`);
  const { id = '', query = '', type, body } = await request();
  const { method = route.methods[0] as string, path = route.path, token = cast.get(caller) } = over;
  const isOfProxies = route.access === 'proxy';
  const base = isOfProxies ? stage.api.proxyFeed?.url : stage.api.url;
  const reading = await openReading(`${base}${path.replace(/:\w+/, id)}${query}`, {
    method,
    ...(isOfProxies ? { tls: proxyTls(stage, caller === 'proxy' ? world.proxyIdentity : undefined) } : {}),
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(type === undefined ? {} : { 'content-type': type }),
    },
    ...(body === undefined || method === 'GET' || method === 'HEAD' ? {} : { body }),
  });
  const { status, headers } = reading;
  const isProblem = headers['content-type']?.startsWith('application/problem+json') && method !== 'HEAD';
  const code = isProblem
    ? /#(.+)$/.exec((JSON.parse((await reading.next()) ?? '{}') as Json).type)?.[1]
    : undefined;
  // Feeds do not end by themselves.
  reading.close();
  return { status, code };
};
/** What a route that anybody may call answers to everybody, where that is no success. */
const usual = async ({ path }: Route): Promise<number | undefined> => (await requests[path]?.())?.status;

interface Layer {
  readonly slash: boolean;
  readonly route?: { readonly path: string };
}

test('what is in service is declared, and documented as declared', () => {
  const app = openApp({ graphiql: false, secure: false } as AppParts);
  const layers = (app.router as unknown as { stack: readonly Layer[] }).stack;
  // What has no path sees every request; anything mounted below one would hide its routes from here.
  assert.deepEqual(
    layers.filter(({ route, slash }) => !route && !slash),
    [],
  );
  const served = layers.flatMap(({ route }) => (route ? [route.path] : []));
  assert.deepEqual(
    served.sort(),
    routes
      .map(({ path }) => path)
      .filter((path) => !path.startsWith('/device/v1/'))
      // Those of the listener for proxies are its own table: api/proxy/main.ts.
      .filter((path) => !path.startsWith('/proxy/v1/'))
      .sort(),
  );
  assert.deepEqual([...documented.routes.keys()], routes.map(nameOf));
  for (const route of routes)
    assert.deepEqual(needsOf(documented.routes.get(nameOf(route))), [route.access].flat(), nameOf(route));
});

let asked = 0;
for (const caller of everybody) {
  test(`${caller}: every route answers as the matrix says`, async () => {
    for (const route of routes) {
      const name = nameOf(route);
      const expected = promisedTo(caller, documented.routes.get(name), documented.kinds.get(name));
      assert.ok(expected, `${caller} ${name}: the documentation says nothing`);
      const { status, code } = await call(route, caller);
      // What is asked for is of one tenant: in another it is missing, even for whoever may ask.
      const missing = status === 404 && caller === 'operator' && route.path.includes(':id');
      const said = `${caller} ${name}: ${status} ${code}`;
      if (expected === 'yes') assert.ok(status < 300 || missing || status === (await usual(route)), said);
      else assert.equal(code, expected, `${caller} ${name}: ${status}`);
      asked += 1;
    }
  });
}

test('every route has its methods and one spelling, whoever calls', async () => {
  for (const route of routes) {
    const wrong = route.methods.includes('GET') ? 'DELETE' : 'GET';
    // The listener for proxies tells strangers nothing.
    const known: readonly Caller[] = route.access === 'proxy' ? ['proxy'] : ['nobody', 'administrator'];
    for (const caller of known)
      assert.equal((await call(route, caller, { method: wrong })).status, 405, nameOf(route));
    const path = route.path.toUpperCase();
    assert.equal((await call(route, known.at(-1) as Caller, { path })).status, 404, nameOf(route));
  }
});

test('a credential that claims another tenant is nobody’s on every route', async () => {
  const forged = strangers.flatMap((caller) => {
    const token = cast.get(caller);
    return token?.includes(acme.tenantId) ? [[caller, token.replace(acme.tenantId, other.tenantId)]] : [];
  }) as [string, string][];
  assert.deepEqual(
    forged.map(([caller]) => caller),
    ['device', 'key'],
  );
  for (const [caller, token] of forged)
    for (const route of routes) {
      const expected = documented.kinds.get(nameOf(route))?.get('nobody');
      const { status, code } = await call(route, 'nobody', { token });
      if (expected === 'yes')
        assert.ok(status < 300 || status === (await usual(route)), `${caller} ${nameOf(route)}: ${status}`);
      else assert.equal(code, expected, `${caller} ${nameOf(route)}`);
      asked += 1;
    }
});

test('the matrix of routes is complete', (t) => {
  assert.ok(asked > 200);
  t.diagnostic(
    `matrix: routes: ${routes.length} routes for ${everybody.length} kinds of caller, ${asked} calls answered as documented`,
  );
});
