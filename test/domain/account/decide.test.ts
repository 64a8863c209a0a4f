/** Specifications of the account decider. */
import { test } from 'node:test';
import { accountDecider } from '../../../domain/account/decide.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const ada = { email: 'ada@example.org', name: 'Ada', role: 'administrator' } as const;
const created = { type: 'AccountCreated', data: ada } as const;
const tenantId = idOf('ten', 1);
const entry = { tenantId, level: 'read', until: '2026-01-02T00:00:00.000Z' } as const;
const entered = { type: 'AccountEnteredTenant', data: entry } as const;
const disabled = { type: 'AccountDisabled', data: {} } as const;

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
});

for (const [name, run] of cases) test(name, run);
