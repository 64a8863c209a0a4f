/** What rows of an import mean: headings by many names, one complaint per column. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Heading, readDeviceRow, readHeading, readUserRow } from '../../../domain/import/rows.ts';

const headingOf = (...args: Parameters<typeof readHeading>): Heading => {
  const heading = readHeading(...args);
  if (typeof heading === 'string') assert.fail(heading);
  return heading;
};

test('a heading is known by its names, in any case, and says what it ignores', () => {
  const heading = headingOf('users', ['Full Name', ' E-Mail ', 'Shoe size', 'external_id']);
  assert.deepEqual(heading, {
    positions: { name: 0, email: 1, 'external id': 3 },
    ignored: ['Shoe size'],
  });
  assert.deepEqual(headingOf('users', ['Wer', 'Wo', 'mail'], { email: 'wo', name: 'Wer' }), {
    positions: { name: 0, email: 1 },
    ignored: ['mail'],
  });
});

test('a heading that lacks, doubles or maps wrongly is refused in a sentence', () => {
  assert.equal(readHeading('users', ['name']), 'the column "email" is missing');
  assert.equal(readHeading('users', ['name', 'email', 'mail']), 'the column "email" is there twice');
  assert.equal(readHeading('devices', ['name']), 'the column "platform" is missing');
  assert.equal(readHeading('users', ['name', 'email'], { shoe: 'x' }), 'there is no column "shoe" to map');
  assert.equal(
    readHeading('users', ['name', 'email'], { toString: 'x' } as never),
    'there is no column "toString" to map',
  );
});

test('a user row is read, or every faulty column is named', () => {
  const heading = headingOf('users', ['email', 'name', 'phone', 'department']);
  assert.deepEqual(readUserRow(heading, [' Ada@Example.org ', 'Ada', '', 'R&D']), {
    email: 'ada@example.org',
    name: 'Ada',
    externalId: null,
    department: 'R&D',
    phone: null,
  });
  const faults = readUserRow(heading, ['nobody', '', 'x'.repeat(41)]) as readonly { column: string }[];
  assert.deepEqual(
    faults.map(({ column }) => column),
    ['email', 'name', 'phone'],
  );
});

test('a device row has defaults, and platforms in any case', () => {
  const heading = headingOf('devices', ['Device name', 'OS', 'Serial', 'User email', 'Group', 'Ownership']);
  assert.deepEqual(readDeviceRow(heading, ['Phone', 'iOS', 'S1', '', 'Sales']), {
    name: 'Phone',
    platform: 'ios',
    ownership: 'corporate',
    userEmail: null,
    group: 'Sales',
    serialNumber: 'S1',
  });
  assert.deepEqual(
    (readDeviceRow(heading, ['Phone', 'Symbian']) as readonly { column: string }[]).map(
      ({ column }) => column,
    ),
    ['platform'],
  );
});
