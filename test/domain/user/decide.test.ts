/** Specifications of the user decider. */
import { test } from 'node:test';
import { userDecider } from '../../../domain/user/decide.ts';
import { casesOf } from '../../support/given.ts';

const details = { name: 'Ada', externalId: null, department: 'Sales', phone: null };
const source = { kind: 'internal' } as const;
const data = { email: 'ada@example.org', source, ...details };
const created = { type: 'UserCreated', data } as const;
const disabled = { type: 'UserDisabled', data: { reason: null } } as const;
const removed = { type: 'UserRemoved', data: {} } as const;
const ldap = { kind: 'ldap', dn: 'uid=ada,dc=example', guid: 'g1' } as const;

const identity = { issuer: 'https://id.example', subject: 'ann' } as const;
const bound = { type: 'UserIdentityBound', data: identity } as const;

const cases = casesOf(userDecider, {
  CreateUser: {
    accepts: [{ given: [], when: { type: 'CreateUser', ...data }, events: [created] }],
    refuses: [
      {
        given: [created],
        when: { type: 'CreateUser', ...data, email: 'eve@example.org' },
        refused: 'user-exists',
        field: 'email',
      },
      {
        given: [created, removed],
        when: { type: 'CreateUser', ...data },
        refused: 'user-exists',
        field: 'email',
      },
    ],
  },
  ChangeUserDetails: {
    accepts: [
      {
        given: [created],
        when: { type: 'ChangeUserDetails', changes: { name: 'Ada', department: null, phone: '1' } },
        events: [{ type: 'UserDetailsChanged', data: { changes: { department: null, phone: '1' } } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'ChangeUserDetails', changes: { name: 'Eve' } },
        refused: 'user-missing',
        field: 'userId',
      },
      {
        given: [created, removed],
        when: { type: 'ChangeUserDetails', changes: { name: 'Eve' } },
        refused: 'user-removed',
        field: 'userId',
      },
    ],
  },
  ChangeUserSource: {
    accepts: [
      {
        given: [created],
        when: { type: 'ChangeUserSource', source: ldap },
        events: [{ type: 'UserSourceChanged', data: { source: ldap } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'ChangeUserSource', source },
        refused: 'user-missing',
        field: 'userId',
      },
    ],
  },
  DisableUser: {
    accepts: [{ given: [created], when: { type: 'DisableUser', reason: null }, events: [disabled] }],
    refuses: [
      {
        given: [created, removed],
        when: { type: 'DisableUser', reason: null },
        refused: 'user-removed',
        field: 'userId',
      },
    ],
  },
  EnableUser: {
    accepts: [
      {
        given: [created, disabled],
        when: { type: 'EnableUser' },
        events: [{ type: 'UserEnabled', data: {} }],
      },
    ],
    refuses: [{ given: [], when: { type: 'EnableUser' }, refused: 'user-missing', field: 'userId' }],
  },
  BindUserIdentity: {
    accepts: [{ given: [created], when: { type: 'BindUserIdentity', identity }, events: [bound] }],
    refuses: [
      {
        given: [created, bound],
        when: { type: 'BindUserIdentity', identity: { ...identity, subject: 'eve' } },
        refused: 'identity-bound',
      },
      {
        given: [created, disabled],
        when: { type: 'BindUserIdentity', identity },
        refused: 'user-disabled',
        field: 'userId',
      },
    ],
  },
  UnbindUserIdentity: {
    accepts: [
      {
        given: [created, bound],
        when: { type: 'UnbindUserIdentity' },
        events: [{ type: 'UserIdentityUnbound', data: {} }],
      },
    ],
    refuses: [{ given: [], when: { type: 'UnbindUserIdentity' }, refused: 'user-missing', field: 'userId' }],
  },
  RemoveUser: {
    accepts: [{ given: [created], when: { type: 'RemoveUser', devices: 0 }, events: [removed] }],
    refuses: [
      {
        given: [created],
        when: { type: 'RemoveUser', devices: 2 },
        refused: 'user-has-devices',
        field: 'userId',
      },
      { given: [], when: { type: 'RemoveUser', devices: 0 }, refused: 'user-missing', field: 'userId' },
    ],
  },
});

for (const [name, run] of cases) test(name, run);
