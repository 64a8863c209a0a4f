/** Specifications of the directory decider, and what its settings refuse. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { directoryDecider } from '../../../domain/directory/decide.ts';
import {
  type DirectorySettings,
  directorySettings,
  directoryUrl,
} from '../../../domain/directory/directory.ts';
import { casesOf, foldOn } from '../../support/given.ts';

const settings: DirectorySettings = {
  urls: ['ldaps://ldap.example.org'],
  startTls: false,
  unsafeWithoutTls: false,
  caCertificate: null,
  certificateSha256: null,
  baseDns: ['dc=example,dc=org'],
  bindDn: 'cn=muster,dc=example,dc=org',
  userFilter: '(objectClass=person)',
  loginAttributes: ['uid', 'mail'],
  attributes: {
    email: 'mail',
    name: 'cn',
    guid: 'entryUUID',
    externalId: null,
    department: null,
    phone: null,
  },
  syncIntervalHours: 24,
};
const at = '2026-01-01T00:00:00.000Z';
const configured = { type: 'DirectoryConfigured', data: { settings } } as const;
const counts = { found: 3, updated: 1, disabled: 1 };
const synced = { type: 'DirectorySynced', data: { startedAt: at, ...counts } } as const;
const failed = { type: 'DirectorySyncFailed', data: { startedAt: at, reason: 'away' } } as const;

const cases = casesOf(directoryDecider, {
  ConfigureDirectory: {
    accepts: [{ given: [], when: { type: 'ConfigureDirectory', settings }, events: [configured] }],
    refuses: 'settings are checked by their schema',
  },
  ChangeDirectoryPassword: {
    accepts: [
      {
        given: [configured],
        when: { type: 'ChangeDirectoryPassword' },
        events: [{ type: 'DirectoryPasswordChanged', data: {} }],
        again: 'every password is a fact of its own',
      },
    ],
    refuses: [{ given: [], when: { type: 'ChangeDirectoryPassword' }, refused: 'directory-missing' }],
  },
  RecordDirectorySync: {
    accepts: [
      {
        given: [configured],
        when: { type: 'RecordDirectorySync', startedAt: at, ...counts },
        events: [synced],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'RecordDirectorySync', startedAt: at, ...counts },
        refused: 'directory-missing',
      },
    ],
  },
  RecordDirectorySyncFailure: {
    accepts: [
      {
        given: [configured],
        when: { type: 'RecordDirectorySyncFailure', startedAt: at, reason: 'away' },
        events: [failed],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'RecordDirectorySyncFailure', startedAt: at, reason: 'away' },
        refused: 'directory-missing',
      },
    ],
  },
  RemoveDirectory: {
    accepts: [
      {
        given: [configured],
        when: { type: 'RemoveDirectory' },
        events: [{ type: 'DirectoryRemoved', data: {} }],
      },
    ],
    refuses: 'a directory that is not there is removed already',
  },
});

for (const [name, run] of cases) test(name, run);

test('the next sync is due after the interval, and never without one', () => {
  const due = (events: Parameters<typeof foldOn<unknown, unknown, typeof configured>>[2]) => {
    const state = foldOn(directoryDecider, directoryDecider.initial, events as never, at);
    return state.status === 'configured' ? state.syncDueAt : undefined;
  };
  assert.equal(due([configured]), '2026-01-02T00:00:00.000Z');
  assert.equal(
    due([configured, { ...failed, at: '2026-01-02T00:00:00.000Z' } as never]),
    '2026-01-03T00:00:00.000Z',
  );
  const never = { type: 'DirectoryConfigured', data: { settings: { ...settings, syncIntervalHours: null } } };
  assert.equal(due([never as never]), null);
});

test('addresses of directories hold neither credentials nor paths nor other protocols', () => {
  for (const good of ['ldaps://a.example', 'ldap://10.0.0.1:389', 'ldaps://[2001:db8::1]:636'])
    assert.ok(directoryUrl.safeParse(good).success, good);
  for (const bad of [
    'http://a.example',
    'ldaps://user:secret@a.example',
    'ldaps://a.example/dc=x',
    'ldaps://a.example?x',
    'ldapi:///var/run/slapd',
    'ldaps://a.example\n',
    'ldaps://',
  ])
    assert.ok(!directoryUrl.safeParse(bad).success, bad);
  assert.ok(directorySettings.safeParse(settings).success);
  assert.ok(!directorySettings.safeParse({ ...settings, bindPassword: 'x' }).success);
});
