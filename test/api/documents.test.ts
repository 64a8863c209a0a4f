/**
 * Documents of our own programs, sent by their ids: each one valid and within the limits, and what a session kept as a
 * cookie may run where the operator allows own documents alone.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parse, specifiedRules, validate } from 'graphql';
import { documentId, ownDocuments } from '../../api/graphql/documents.ts';
import { limitDocument } from '../../api/graphql/limits.ts';
import { schema } from '../../api/graphql/schema.ts';
import { type ApiStage, type Json, openStage, type TenantStage } from './stage.ts';

let stage: ApiStage;
let acme: TenantStage;
let other: TenantStage;

before(async () => {
  stage = await openStage({ settings: { graphqlDocuments: 'own' } });
  acme = await stage.tenant('acme');
  other = await stage.tenant('other');
});
after(() => stage.stop());

const post = async (body: object, headers: Record<string, string>): Promise<Json> => {
  const response = await fetch(`${stage.api.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const cookies = response.headers.getSetCookie();
  return { status: response.status, cookies, ...((await response.json()) as object) };
};
const by = ({ client }: TenantStage) => ({ authorization: `Bearer ${client.token}` });
const ours = (): Record<string, string> => ({ origin: stage.api.url, 'x-muster-request': '1' });

test('every own document is valid and within the limits, and none has the name of another', () => {
  assert.ok(ownDocuments.length >= 18);
  for (const { name, text } of ownDocuments)
    assert.deepEqual(validate(schema, parse(text), [...specifiedRules, limitDocument]), [], name);
  assert.equal(new Set(ownDocuments.map(({ name }) => name)).size, ownDocuments.length);
});

test('an id runs its document, for the tenant of the credential', async () => {
  for (const tenant of [acme, other]) {
    const { data } = await post({ documentId: documentId('Viewer') }, by(tenant));
    assert.equal(data.viewer.email, tenant.email);
  }
});

test('an unknown id, and an id beside a document, are refused by field', async () => {
  const unknown = await post({ documentId: `sha256:${'0'.repeat(64)}` }, by(acme));
  assert.deepEqual(
    [unknown.status, unknown.type, unknown.field],
    [404, '/errors#document-unknown', 'documentId'],
  );
  const odd = await post({ documentId: ['sha256'] }, by(acme));
  assert.equal(odd.type, '/errors#document-unknown');
  const both = await post({ documentId: documentId('Viewer'), query: '{ viewer { email } }' }, by(acme));
  assert.deepEqual([both.status, both.field], [422, 'documentId']);
});

test('a session kept as a cookie runs own documents alone; a token runs any', async () => {
  const { slug, email, password } = acme;
  const input = { tenantSlug: slug, email, password, cookie: true };
  const signedIn = await post({ documentId: documentId('SignIn'), variables: { input } }, ours());
  const cookie = signedIn.cookies.map((text: string) => text.split(';')[0]).join('; ');
  const query = '{ viewer { email } }';
  const refused = await post({ query }, { ...ours(), cookie });
  assert.deepEqual([refused.status, refused.type], [403, '/errors#document-not-own']);
  const own = await post({ documentId: documentId('Viewer') }, { ...ours(), cookie });
  assert.equal(own.data.viewer.email, email);
  assert.equal((await post({ query }, by(acme))).data.viewer.email, email);
});
