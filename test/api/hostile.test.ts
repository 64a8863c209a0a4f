/**
 * Hostile and careless requests over raw HTTP: limits of documents and bodies, odd text, wrong routes and methods.
 */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type ApiStage, type Json, openStage, type TenantStage } from './stage.ts';

let stage: ApiStage;
let acme: TenantStage;

before(async () => {
  stage = await openStage();
  acme = await stage.tenant('acme');
});
after(() => stage.stop());

const post = async (
  body: string | Buffer,
  headers: Record<string, string> = { 'content-type': 'application/json' },
) => {
  const response = await fetch(`${stage.api.url}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${acme.client.token}`, ...headers },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  });
  const text = await response.text();
  return { response, status: response.status, body: JSON.parse(text) as Json };
};
const problemCode = ({ body }: { body: Json }) => String(body.type).replace('/errors#', '');
const codeOf = (answer: { errors: readonly Json[] }) => answer.errors[0]?.extensions?.code;

test('bodies that are no GraphQL request are problems, each with its code', async () => {
  const json = 'application/json';
  const cases: readonly (readonly [string | Buffer, Record<string, string>, number, string])[] = [
    ['{', { 'content-type': json }, 400, 'invalid-json'],
    ['', { 'content-type': json }, 422, 'invalid-input'],
    ['[]', { 'content-type': json }, 422, 'invalid-input'],
    ['[{"query":"{ viewer { email } }"}]', { 'content-type': json }, 422, 'invalid-input'],
    ['{}', { 'content-type': json }, 422, 'invalid-input'],
    ['{"query":5}', { 'content-type': json }, 422, 'invalid-input'],
    [
      'query={viewer{email}}',
      { 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'unsupported-media-type',
    ],
    ['{"query":"{ viewer { email } }"}', { 'content-type': 'text/plain' }, 415, 'unsupported-media-type'],
    ['{ viewer { email } }', { 'content-type': 'application/graphql' }, 415, 'unsupported-media-type'],
    ['{"query":"{a}"}', { 'content-type': json, 'content-encoding': 'zstd' }, 415, 'unsupported-encoding'],
    ['not gzip', { 'content-type': json, 'content-encoding': 'gzip' }, 400, 'invalid-json'],
    [
      JSON.stringify({ query: '{ viewer { email } }', variables: { x: 'y'.repeat(1_000_001) } }),
      { 'content-type': json },
      413,
      'body-too-large',
    ],
    [
      gzipSync(JSON.stringify({ query: '{a}', variables: { x: 'y'.repeat(3_000_000) } })),
      { 'content-type': json, 'content-encoding': 'gzip' },
      413,
      'body-too-large',
    ],
    [
      `{"query":"{a}","variables":{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`,
      { 'content-type': json },
      400,
      'body-too-deep',
    ],
    [
      JSON.stringify({ query: `{ viewer { email } } #${'x'.repeat(33_000)}` }),
      { 'content-type': json },
      400,
      'query-too-complex',
    ],
  ];
  for (const [body, headers, status, code] of cases) {
    const answer = await post(body, headers);
    const shown = String(body).slice(0, 60);
    assert.deepEqual([answer.status, problemCode(answer)], [status, code], shown);
    assert.equal(answer.response.headers.get('content-type'), 'application/problem+json', shown);
    assert.equal(answer.response.headers.get('x-request-id'), answer.body.requestId, shown);
  }
});

test('gzip is taken', async () => {
  const body = gzipSync(JSON.stringify({ query: '{ viewer { email } }' }));
  const answer = await post(body, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
  assert.equal(answer.body.data.viewer.email, acme.email);
});

test('documents that ask for too much are refused before anything is read', async () => {
  const aliases = Array.from({ length: 16 }, (_, index) => `a${index}: openAlertCount`).join(' ');
  const nested = `${'devices { nodes { group { '.repeat(4)}name${' } } }'.repeat(4)}`;
  const fragments = Array.from(
    { length: 30 },
    (_, index) =>
      `fragment f${index} on Query { ${index === 29 ? 'a: openAlertCount' : `...f${index + 1} ...f${index + 1}`} }`,
  ).join(' ');
  const documents = {
    aliases: `{ ${aliases} }`,
    depth: `{ groups { nodes { ${nested} } } }`,
    rows: '{ devices(first: 100) { nodes { tasks(first: 100) { nodes { id } } } } }',
    'rows by a variable':
      'query($n: Int!) { devices(first: $n) { nodes { tasks(first: $n) { nodes { id } } } } }',
    'fragments that double': `{ ...f0 } ${fragments}`,
    directives: `{ openAlertCount ${'@skip(if: false) '.repeat(21)} }`,
  };
  for (const [name, query] of Object.entries(documents)) {
    const answer = await acme.client.raw(query, { n: 100 });
    assert.ok(answer.data === undefined || answer.data === null, name);
    assert.ok(
      answer.errors.some(({ extensions }) => extensions?.code === 'query-too-complex'),
      `${name}: ${JSON.stringify(answer.errors)}`,
    );
  }
  const cycle = await acme.client.raw('{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }');
  assert.match(cycle.errors[0]?.message ?? '', /Cannot spread fragment/);
  const tokens = await acme.client.raw(`{ ${'openAlertCount '.repeat(2100)} }`);
  assert.match(tokens.errors[0]?.message ?? '', /2000 tokens/);
});

test('pages hold 1 to 100 rows', async () => {
  for (const first of [0, -1, 101, 2_000_000_000]) {
    const answer = await acme.client.raw('query($n: Int!) { devices(first: $n) { nodes { id } } }', {
      n: first,
    });
    assert.deepEqual([codeOf(answer), answer.errors[0]?.extensions.field], ['invalid-input', 'first']);
  }
});

test('the schema is shown to accounts, not to strangers', async () => {
  const ask = '{ __schema { queryType { name } } }';
  assert.equal((await acme.client.query(ask)).__schema.queryType.name, 'Query');
  assert.equal(codeOf(await stage.nobody.raw(ask)), 'unauthenticated');
  const hidden = '{ ...s } fragment s on Query { __type(name: "Device") { name } }';
  assert.equal(codeOf(await stage.nobody.raw(hidden)), 'unauthenticated');
});

test('text that is unsafe to store is refused, naming the field', async () => {
  const bad = ['', '   ', 'a\u0000b', 'a\nb', 'a\u001bb', '\ud800', 'x\udfff', 'a\u2028b', 'x'.repeat(121)];
  for (const name of bad) {
    const answer = await acme.client.mutate('createGroup', { name }, 'DeviceGroupPayload', 'pending');
    assert.deepEqual(
      [answer.__typename, answer.code, answer.field],
      ['Fault', 'invalid-input', 'name'],
      JSON.stringify(name),
    );
  }
  for (const search of ['\u0000', '\ud800', 'x'.repeat(201)]) {
    const answer = await acme.client.raw(
      'query($s: String) { devices(filter: { search: $s }) { nodes { id } } }',
      { s: search },
    );
    assert.deepEqual(
      [codeOf(answer), answer.errors[0]?.extensions.field],
      ['invalid-input', 'filter.search'],
    );
  }
});

test('text that only looks dangerous is kept as it is', async () => {
  for (const name of [
    "'; drop table read.devices; --",
    '{{7*7}}',
    '<script>',
    '../../etc',
    '__proto__',
    '%00',
    '👩🏽‍💻',
  ]) {
    const made = await acme.client.mutate('createGroup', { name }, 'DeviceGroupPayload', 'group { name }');
    assert.equal(made.group.name, name);
  }
});

test('keys that reach for prototypes are unknown keys', async () => {
  const body = `{"query":"mutation($input: CreatePolicyInput!) { createPolicy(input: $input) { __typename ... on Error { code field } } }",
    "variables":{"input":{"name":"X","platforms":["IOS"],"settings":{"passcode":{"required":true,"__proto__":{"polluted":true}}}}}}`;
  const answer = await post(body);
  assert.deepEqual(answer.body.data.createPolicy, {
    __typename: 'Fault',
    code: 'invalid-input',
    field: 'settings.passcode',
  });
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

test('wrong types in variables are refused by GraphQL itself', async () => {
  const query = 'mutation($input: CreateGroupInput!) { createGroup(input: $input) { __typename } }';
  for (const input of [{ name: 5 }, { name: null }, {}, { name: 'X', colour: 'red' }, 'X', [], null])
    assert.equal(codeOf(await acme.client.raw(query, { input })), 'invalid-input', JSON.stringify(input));
});

test('an unexpected error is masked and carries the request’s id', async () => {
  const { sql } = stage.deps;
  await sql`alter view read.groups rename to groups_away`;
  try {
    const answer = await acme.client.raw('{ groups { nodes { id } } }');
    assert.equal(codeOf(answer), 'internal');
    assert.match(answer.errors[0]?.extensions.requestId, /^[0-9a-f-]{36}$/);
    assert.ok(!JSON.stringify(answer).includes('relation'), JSON.stringify(answer));
  } finally {
    await sql`alter view read.groups_away rename to groups`;
  }
});

test('no query can be sent by GET, and no route but the known ones exists', async () => {
  // Not by fetch, which would tidy the path up.
  const ask = (method: string, path: string) =>
    new Promise<{ status: number; code: string; allow: string | undefined }>((resolve, reject) => {
      request({ host: '127.0.0.1', port: stage.api.port, method, path, agent: false }, (res) => {
        let text = '';
        res.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        res.on('end', () =>
          resolve({
            status: res.statusCode ?? 0,
            code: problemCode({ body: JSON.parse(text) }),
            allow: res.headers.allow,
          }),
        );
      })
        .on('error', reject)
        .end();
    });
  const get = await ask('GET', '/graphql?query=%7Bviewer%7Bemail%7D%7D');
  assert.deepEqual([get.status, get.code], [405, 'method-not-allowed']);
  assert.match(get.allow ?? '', /POST/);
  for (const [method, path, allow] of [
    ['POST', '/healthz', 'GET, HEAD'],
    ['DELETE', '/readyz', 'GET, HEAD'],
    ['PUT', '/events/v1/feed', 'GET'],
    ['POST', '/sign-in/oidc/acme', 'GET'],
    ['PUT', '/sign-in/oidc/callback', 'GET'],
  ] as const) {
    const { status, allow: allowed } = await ask(method, path);
    assert.deepEqual([status, allowed], [405, allow], path);
  }
  for (const path of [
    '/',
    '/admin',
    '/graphql/x',
    '/.;/graphql',
    '/%2e%2e/graphql',
    '/device/v2/sync',
    '/%',
    '//',
    '/healthz/..%2f',
    '/GraphQL',
    '/graphql/',
    '/HEALTHZ',
  ]) {
    const { status, code } = await ask('GET', path);
    assert.deepEqual([status, code], [404, 'not-found'], path);
  }
});

test('answers carry safe headers and no version of the server', async () => {
  const { headers } = await fetch(`${stage.api.url}/healthz`);
  assert.equal(headers.get('x-powered-by'), null);
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'/);
  const { headers: cross } = await fetch(`${stage.api.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: 'https://evil.example' },
    body: '{"query":"{ viewer { email } }"}',
  });
  assert.equal(cross.get('access-control-allow-origin'), null);
});
