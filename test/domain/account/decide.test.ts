/** Specifications of the account decider. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasSecondFactor } from '../../../domain/account/account.ts';
import { accountDecider } from '../../../domain/account/decide.ts';
import { casesOf, foldOn } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const ada = { email: 'ada@example.org', name: 'Ada', role: 'administrator' } as const;
const created = { type: 'AccountCreated', data: ada } as const;
const tenantId = idOf('ten', 1);
const entry = { tenantId, level: 'read', until: '2026-01-02T00:00:00.000Z' } as const;
const entered = { type: 'AccountEnteredTenant', data: entry } as const;
const disabled = { type: 'AccountDisabled', data: {} } as const;

const on = { type: 'AccountTotpEnabled', data: {} } as const;
const reset = { type: 'AccountSecondFactorReset', data: {} } as const;

const passkeyId = idOf('pky', 1);
const added = { type: 'AccountPasskeyAdded', data: { passkeyId, name: 'Laptop' } } as const;
const manyPasskeys = Array.from({ length: 20 }, (_, n) => ({
  type: 'AccountPasskeyAdded' as const,
  data: { passkeyId: idOf('pky', n + 1), name: 'Laptop' },
}));

const identity = { issuer: 'https://id.example', subject: 'ada' } as const;
const another = { ...identity, subject: 'eve' } as const;
const bound = { type: 'AccountIdentityBound', data: identity } as const;
const moved = { issuer: 'https://new.example', subject: '17' } as const;

const cases = casesOf(accountDecider, {
  CreateAccount: {
    accepts: [{ given: [], when: { type: 'CreateAccount', ...ada }, events: [created] }],
    refuses: [
      {
        given: [created],
        when: { type: 'CreateAccount', ...ada, email: 'eve@example.org' },
        refused: 'account-exists',
      },
    ],
  },
  ChangeAccountRole: {
    accepts: [
      {
        given: [created],
        when: { type: 'ChangeAccountRole', role: 'helpdesk' },
        events: [{ type: 'AccountRoleChanged', data: { role: 'helpdesk' } }],
      },
      {
        given: [created],
        when: { type: 'ChangeAccountRole', role: idOf('rol', 1) },
        events: [{ type: 'AccountRoleChanged', data: { role: idOf('rol', 1) } }],
      },
    ],
    refuses: [
      { given: [], when: { type: 'ChangeAccountRole', role: 'helpdesk' }, refused: 'account-missing' },
    ],
  },
  ChangeAccountPassword: {
    accepts: [
      {
        given: [created],
        when: { type: 'ChangeAccountPassword', mustChange: false },
        events: [{ type: 'AccountPasswordChanged', data: { mustChange: false } }],
        again: 'every change of a password is a fact of its own',
      },
    ],
    refuses: [
      { given: [], when: { type: 'ChangeAccountPassword', mustChange: true }, refused: 'account-missing' },
      {
        given: [created, disabled],
        when: { type: 'ChangeAccountPassword', mustChange: true },
        refused: 'account-disabled',
      },
    ],
  },
  DisableAccount: {
    accepts: [{ given: [created], when: { type: 'DisableAccount', last: false }, events: [disabled] }],
    refuses: [
      { given: [], when: { type: 'DisableAccount', last: false }, refused: 'account-missing' },
      {
        given: [created],
        when: { type: 'DisableAccount', last: true },
        refused: 'last-administrator',
        field: 'accountId',
      },
    ],
  },
  EnterTenant: {
    accepts: [
      {
        given: [created],
        when: { type: 'EnterTenant', ...entry },
        events: [entered],
        again: 'every entering is a fact of its own',
      },
    ],
    refuses: [
      { given: [created, disabled], when: { type: 'EnterTenant', ...entry }, refused: 'account-disabled' },
    ],
  },
  LeaveTenant: {
    accepts: [
      {
        given: [created, entered],
        when: { type: 'LeaveTenant', tenantId, reason: 'left' },
        events: [{ type: 'AccountLeftTenant', data: { tenantId, reason: 'left' } }],
      },
    ],
    refuses: [
      { given: [], when: { type: 'LeaveTenant', tenantId, reason: 'left' }, refused: 'account-missing' },
    ],
  },
  EnableAccount: {
    accepts: [
      {
        given: [created, disabled],
        when: { type: 'EnableAccount' },
        events: [{ type: 'AccountEnabled', data: {} }],
      },
    ],
    refuses: [{ given: [], when: { type: 'EnableAccount' }, refused: 'account-missing' }],
  },
  EnableTotp: {
    accepts: [{ given: [created], when: { type: 'EnableTotp' }, events: [on] }],
    refuses: [{ given: [], when: { type: 'EnableTotp' }, refused: 'account-missing' }],
  },
  DisableTotp: {
    accepts: [
      {
        given: [created, on],
        when: { type: 'DisableTotp' },
        events: [{ type: 'AccountTotpDisabled', data: {} }],
      },
    ],
    refuses: [{ given: [], when: { type: 'DisableTotp' }, refused: 'account-missing' }],
  },
  UseRecoveryCode: {
    accepts: [
      {
        given: [created, on],
        when: { type: 'UseRecoveryCode', left: 9 },
        events: [{ type: 'AccountRecoveryCodeUsed', data: { left: 9 } }],
        again: 'every use of a code is a fact of its own',
      },
    ],
    refuses: [
      { given: [created], when: { type: 'UseRecoveryCode', left: 9 }, refused: 'second-factor-off' },
      {
        given: [created, on, reset],
        when: { type: 'UseRecoveryCode', left: 9 },
        refused: 'second-factor-off',
      },
    ],
  },
  RenewRecoveryCodes: {
    accepts: [
      {
        given: [created, on],
        when: { type: 'RenewRecoveryCodes' },
        events: [{ type: 'AccountRecoveryCodesRenewed', data: {} }],
        again: 'every renewal is a fact of its own',
      },
    ],
    refuses: [{ given: [created], when: { type: 'RenewRecoveryCodes' }, refused: 'second-factor-off' }],
  },
  AddPasskey: {
    accepts: [{ given: [created], when: { type: 'AddPasskey', passkeyId, name: 'Laptop' }, events: [added] }],
    refuses: [
      { given: [], when: { type: 'AddPasskey', passkeyId, name: 'Laptop' }, refused: 'account-missing' },
      {
        given: [created, ...manyPasskeys],
        when: { type: 'AddPasskey', passkeyId: idOf('pky', 99), name: 'Laptop' },
        refused: 'too-many-passkeys',
      },
    ],
  },
  RenamePasskey: {
    accepts: [
      {
        given: [created, added],
        when: { type: 'RenamePasskey', passkeyId, name: 'Key ring' },
        events: [{ type: 'AccountPasskeyRenamed', data: { passkeyId, name: 'Key ring' } }],
      },
    ],
    refuses: [
      {
        given: [created],
        when: { type: 'RenamePasskey', passkeyId, name: 'Key ring' },
        refused: 'passkey-missing',
        field: 'passkeyId',
      },
    ],
  },
  RemovePasskey: {
    accepts: [
      {
        given: [created, added],
        when: { type: 'RemovePasskey', passkeyId },
        events: [{ type: 'AccountPasskeyRemoved', data: { passkeyId } }],
      },
    ],
    refuses: [{ given: [], when: { type: 'RemovePasskey', passkeyId }, refused: 'account-missing' }],
  },
  SuspectPasskey: {
    accepts: [
      {
        given: [created, added],
        when: { type: 'SuspectPasskey', passkeyId },
        events: [{ type: 'AccountPasskeySuspected', data: { passkeyId } }],
        again: 'every refusal of a copy is a fact of its own',
      },
    ],
    refuses: [
      {
        given: [created],
        when: { type: 'SuspectPasskey', passkeyId },
        refused: 'passkey-missing',
        field: 'passkeyId',
      },
    ],
  },
  BindAccountIdentity: {
    accepts: [
      { given: [created], when: { type: 'BindAccountIdentity', identity }, events: [bound] },
      {
        given: [created, bound],
        when: { type: 'BindAccountIdentity', identity: moved },
        events: [{ type: 'AccountIdentityBound', data: moved }],
      },
      {
        given: [created, bound, { type: 'AccountIdentityUnbound', data: {} }],
        when: { type: 'BindAccountIdentity', identity: another },
        events: [{ type: 'AccountIdentityBound', data: another }],
      },
    ],
    refuses: [
      {
        given: [created, bound],
        when: { type: 'BindAccountIdentity', identity: another },
        refused: 'identity-bound',
      },
      {
        given: [created, disabled],
        when: { type: 'BindAccountIdentity', identity },
        refused: 'account-disabled',
      },
    ],
  },
  UnbindAccountIdentity: {
    accepts: [
      {
        given: [created, bound],
        when: { type: 'UnbindAccountIdentity' },
        events: [{ type: 'AccountIdentityUnbound', data: {} }],
      },
    ],
    refuses: [{ given: [], when: { type: 'UnbindAccountIdentity' }, refused: 'account-missing' }],
  },
  ResetSecondFactor: {
    accepts: [{ given: [created, on], when: { type: 'ResetSecondFactor' }, events: [reset] }],
    refuses: [{ given: [], when: { type: 'ResetSecondFactor' }, refused: 'account-missing' }],
  },
});

for (const [name, run] of cases) test(name, run);

test('an account whose second factor somebody else turned off is trusted from then on alone', () => {
  const at = '2026-03-01T00:00:00.000Z';
  const own = foldOn(accountDecider, accountDecider.initial, [created, { ...on, at }]);
  const foreign = foldOn(accountDecider, own, [{ ...reset, at }]);
  assert.ok(own.status !== 'none' && foreign.status !== 'none');
  assert.deepEqual([hasSecondFactor(own), own.trustedSince === at], [true, false]);
  assert.deepEqual([hasSecondFactor(foreign), foreign.trustedSince], [false, at]);
  const withKey = foldOn(accountDecider, accountDecider.initial, [created, added]);
  assert.ok(withKey.status !== 'none' && hasSecondFactor(withKey));
  const without = foldOn(accountDecider, withKey, [{ ...reset, at }]);
  assert.ok(without.status !== 'none' && !hasSecondFactor(without));
});
