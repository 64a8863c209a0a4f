/** Specifications of the sign-in decider, and of what a password must be like. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signInDecider } from '../../../domain/sign-in/decide.ts';
import { commonForms, passwordFault } from '../../../domain/sign-in/password.ts';
import {
  addressRanges,
  initialSignIn,
  passwordPolicy,
  sessionPolicy,
} from '../../../domain/sign-in/sign-in.ts';
import { casesOf, foldOn } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const strict = {
  minimumLength: 14,
  classes: 3,
  refuseCommon: true,
  refuseBreached: true,
  history: 5,
  expiryDays: 90,
};
const office = ['192.0.2.0/24'];
const recaptcha = { provider: 'recaptcha', afterFailures: 3, siteKey: 'site' } as const;
const failed = {
  type: 'SignInsFailed',
  data: { accountId: idOf('acc', 1), address: '192.0.2.1', failures: 1 },
} as const;

const cases = casesOf(signInDecider, {
  SetPasswordPolicy: {
    accepts: [
      {
        given: [],
        when: { type: 'SetPasswordPolicy', policy: strict, breachedListThere: true },
        events: [{ type: 'PasswordPolicySet', data: strict }],
      },
    ],
    refuses: [
      {
        given: [],
        when: { type: 'SetPasswordPolicy', policy: strict, breachedListThere: false },
        refused: 'breached-list-missing',
        field: 'refuseBreached',
      },
    ],
  },
  SetSessionPolicy: {
    accepts: [
      {
        given: [],
        when: {
          type: 'SetSessionPolicy',
          portal: 'self-service',
          policy: { idleMinutes: 5, absoluteHours: 1 },
        },
        events: [
          { type: 'SessionPolicySet', data: { portal: 'self-service', idleMinutes: 5, absoluteHours: 1 } },
        ],
      },
    ],
    refuses: 'every policy within the bounds of its schema is fine',
  },
  RestrictSignInAddresses: {
    accepts: [
      {
        given: [],
        when: {
          type: 'RestrictSignInAddresses',
          portal: 'admin',
          ranges: office,
          excludesCaller: false,
          force: false,
        },
        events: [{ type: 'SignInAddressesRestricted', data: { portal: 'admin', ranges: office } }],
      },
      {
        given: [],
        when: {
          type: 'RestrictSignInAddresses',
          portal: 'admin',
          ranges: office,
          excludesCaller: true,
          force: true,
        },
        events: [{ type: 'SignInAddressesRestricted', data: { portal: 'admin', ranges: office } }],
      },
    ],
    refuses: [
      {
        given: [],
        when: {
          type: 'RestrictSignInAddresses',
          portal: 'admin',
          ranges: office,
          excludesCaller: true,
          force: false,
        },
        refused: 'own-address-excluded',
        field: 'ranges',
      },
    ],
  },
  ChooseSignInChallenge: {
    accepts: [
      {
        given: [],
        when: { type: 'ChooseSignInChallenge', challenge: recaptcha, secretThere: true },
        events: [{ type: 'SignInChallengeChosen', data: recaptcha }],
      },
      {
        given: [{ type: 'SignInChallengeChosen', data: recaptcha }],
        when: {
          type: 'ChooseSignInChallenge',
          challenge: { ...recaptcha, provider: 'none' },
          secretThere: false,
        },
        events: [
          { type: 'SignInChallengeChosen', data: { provider: 'none', afterFailures: 3, siteKey: null } },
        ],
      },
    ],
    refuses: [
      {
        given: [],
        when: {
          type: 'ChooseSignInChallenge',
          challenge: { ...recaptcha, siteKey: null },
          secretThere: true,
        },
        refused: 'challenge-key-missing',
        field: 'siteKey',
      },
      {
        given: [],
        when: { type: 'ChooseSignInChallenge', challenge: recaptcha, secretThere: false },
        refused: 'challenge-key-missing',
        field: 'secret',
      },
    ],
  },
  RequireSecondFactor: {
    accepts: [
      {
        given: [],
        when: { type: 'RequireSecondFactor', required: true },
        events: [{ type: 'SecondFactorRequirementSet', data: { required: true } }],
      },
      {
        given: [{ type: 'SecondFactorRequirementSet', data: { required: true } }],
        when: { type: 'RequireSecondFactor', required: false },
        events: [{ type: 'SecondFactorRequirementSet', data: { required: false } }],
      },
    ],
    refuses: 'a tenant may always ask for more, and for less',
  },
  RecordAtDoor: {
    accepts: [
      {
        given: [],
        when: { type: 'RecordAtDoor', event: failed },
        events: [failed],
        again: 'what happened twice is two facts',
      },
    ],
    refuses: 'what happened is not for decision',
  },
});

for (const [name, run] of cases) test(name, run);

test('what happens at the door changes no setting', () => {
  const settings = foldOn(signInDecider, initialSignIn, [{ type: 'PasswordPolicySet', data: strict }]);
  assert.deepEqual(foldOn(signInDecider, settings, [failed]), settings);
  assert.equal(settings.passwordPolicy.minimumLength, 14);
});

test('settings beyond sensible bounds are none', () => {
  for (const [key, value] of [
    ['minimumLength', 7],
    ['minimumLength', 129],
    ['classes', 5],
    ['history', 25],
    ['expiryDays', 0],
  ] as const)
    assert.deepEqual(passwordPolicy.safeParse({ ...strict, [key]: value }).error?.issues[0]?.path, [key]);
  assert.ok(!sessionPolicy.safeParse({ idleMinutes: 0, absoluteHours: 1 }).success);
  assert.ok(!sessionPolicy.safeParse({ idleMinutes: 1, absoluteHours: 721 }).success);
  for (const ranges of [['192.0.2.0/33'], ['example.org'], ['::1/129'], [''], ['192.0.2.1 ']])
    assert.ok(!addressRanges.safeParse(ranges).success, ranges[0]);
  assert.ok(addressRanges.safeParse(['192.0.2.1', '2001:db8::/32', '::1', '10.0.0.0/8']).success);
});

test('a password is judged by length, variety and what it says about its owner', () => {
  const policy = { minimumLength: 12, classes: 3 };
  const fault = (text: string) => passwordFault(policy, text, ['ada.lovelace', 'Ada', 'Lovelace', 'acme']);
  assert.match(fault('Short1!') ?? '', /at least 12/);
  assert.match(fault('aaaaAAAA1111') ?? '', /too few/);
  assert.match(fault('only lower case') ?? '', /at least 3/);
  assert.match(fault('Lovelace-1815') ?? '', /name or e-mail/);
  assert.equal(fault('Lovelace and 9 engines'), undefined);
  assert.equal(fault('Пароль-для-1-дня'), undefined, 'letters of every script have a case');
  // Twelve characters, each of two UTF-16 units.
  assert.match(passwordFault({ minimumLength: 13, classes: 0 }, '𝒜𝒷𝒸𝒹ℯ𝒻ℊ𝒽𝒾𝒿𝓀𝓁') ?? '', /at least 13/);
});

test('common passwords are looked up without their trimmings', () => {
  assert.ok(commonForms('Password2024!!').includes('password'));
  assert.ok(commonForms('dragondragon').includes('dragon'));
  assert.ok(commonForms('123monkeymonkey!').includes('monkey'));
  assert.deepEqual(commonForms('correct horse battery'), ['correct horse battery']);
});
