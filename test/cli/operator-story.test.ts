/** The operator's story that the documentation shows. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { temporaryFolder } from '../embedded/support.ts';
import { startCommand } from '../support/muster.ts';

const folder = temporaryFolder();
after(() => folder.remove());

test('two tenants of one template, seats, a second factor, an API key, and nothing of each other', async () => {
  const command = startCommand(['demo', '--story', 'operator', '--no-stay', '--data-dir', folder.path]);
  assert.equal(await command.ended, 0, command.errors());
  const told = command.output();
  for (const line of [
    /^ {3}tenants "berlin" and "paris"/m,
    /^ {3}finds what the template brought: "Six digits", "Tills", "Shop rules" in force$/m,
    /^ {3}signs in anew: the password alone ends at step SECOND_FACTOR$/m,
    /^ {3}with the code of the app the session is open$/m,
    /^ {3}a second one in Paris: HTTP 409 seats-exhausted$/m,
    /^ {3}Shop Berlin {2}2 {6}1$/m,
    /^ {3}it lists: Till 1 in Berlin$/m,
    /^ {3}the device of Paris, by its id: null$/m,
    /^ {3}the audit trail of Berlin: This credential may not do that: .* lacks the permission audit.read$/m,
    /^ {3}the operator asks for Berlin’s device: null$/m,
    /^ {3}\S+ {2}AccessDenied {2}key/m,
  ])
    assert.match(told, line);
});
