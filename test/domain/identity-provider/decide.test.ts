/** Specifications of the identity provider decider, and what its settings refuse. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identityProviderDecider } from '../../../domain/identity-provider/decide.ts';
import {
  type IdentityProviderSettings,
  identityProviderSettings,
  isClosedToPasswords,
  isWayBack,
} from '../../../domain/identity-provider/identity-provider.ts';
import { casesOf, foldOn } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const [helper, anybody] = [idOf('acc', 1), idOf('acc', 2)];
const settings: IdentityProviderSettings = {
  issuer: 'https://id.example.org',
  clientId: 'muster',
  scopes: ['email'],
  caCertificate: null,
  portals: ['admin'],
  firstSignIn: 'verified-email',
  provisionRole: null,
  provisionUsers: false,
  trustSecondFactor: false,
  secondFactorAcr: [],
  required: false,
  passwordAccounts: [],
};
const strict = { ...settings, required: true, passwordAccounts: [helper] };
const configured = { type: 'IdentityProviderConfigured', data: { settings } } as const;
const closed = { type: 'IdentityProviderConfigured', data: { settings: strict } } as const;

const cases = casesOf(identityProviderDecider, {
  ConfigureIdentityProvider: {
    accepts: [
      {
        given: [],
        when: { type: 'ConfigureIdentityProvider', settings, wayBack: false },
        events: [configured],
      },
      {
        given: [configured],
        when: { type: 'ConfigureIdentityProvider', settings: strict, wayBack: true },
        events: [closed],
      },
    ],
    refuses: [
      {
        given: [configured],
        when: { type: 'ConfigureIdentityProvider', settings: strict, wayBack: false },
        refused: 'password-account-missing',
        field: 'settings.passwordAccounts',
      },
    ],
  },
  ChangeIdentityProviderSecret: {
    accepts: [
      {
        given: [configured],
        when: { type: 'ChangeIdentityProviderSecret' },
        events: [{ type: 'IdentityProviderSecretChanged', data: {} }],
        again: 'every change of a secret is a fact of its own',
      },
    ],
    refuses: [
      { given: [], when: { type: 'ChangeIdentityProviderSecret' }, refused: 'identity-provider-missing' },
    ],
  },
  RemoveIdentityProvider: {
    accepts: [
      {
        given: [configured],
        when: { type: 'RemoveIdentityProvider' },
        events: [{ type: 'IdentityProviderRemoved', data: {} }],
      },
    ],
    refuses: 'removing what is not there changes nothing',
  },
});

for (const [name, run] of cases) test(name, run);

test('passwords are closed at the portals of a required provider alone, and never to the way back', () => {
  const state = foldOn(identityProviderDecider, identityProviderDecider.initial, [closed]);
  assert.equal(isClosedToPasswords(state, 'admin', anybody), true);
  assert.equal(isClosedToPasswords(state, 'admin', helper), false);
  assert.equal(isClosedToPasswords(state, 'self-service', null), false);
  assert.deepEqual([isWayBack(state, helper), isWayBack(state, anybody)], [true, false]);
  const open = foldOn(identityProviderDecider, identityProviderDecider.initial, [configured]);
  assert.deepEqual([isClosedToPasswords(open, 'admin', anybody), isWayBack(open, helper)], [false, false]);
});

test('an issuer is an https address without query, fragment or credentials, and nothing else is a setting', () => {
  for (const issuer of [
    'http://id.example.org',
    'https://id.example.org?x=1',
    'https://id.example.org#x',
    'https://user@id.example.org',
    'ldap://id.example.org',
    'id.example.org',
  ])
    assert.ok(!identityProviderSettings.safeParse({ ...settings, issuer }).success, issuer);
  assert.ok(
    identityProviderSettings.safeParse({ ...settings, issuer: 'https://id.example.org/a/b' }).success,
  );
  assert.ok(!identityProviderSettings.safeParse({ ...settings, clientSecret: 'x' }).success);
  assert.ok(!identityProviderSettings.safeParse({ ...settings, scopes: ['two words'] }).success);
});
