/** `muster account`: the last operator locked out is let in again beside the running server. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { TOTP } from 'otpauth';
import { clientOf, enter, signIn } from '../api/stage.ts';
import { temporaryFolder } from '../embedded/support.ts';
import { startCommand } from '../support/muster.ts';

const folder = temporaryFolder();
after(() => folder.remove());
const inFolder = ['--data-dir', folder.path];
const email = 'operator@muster.local';

const run = async (...args: string[]) => {
  const command = startCommand(['account', ...args, ...inFolder]);
  const code = await command.ended;
  return { code, output: command.output(), errors: command.errors() };
};

test('a second factor and a password that are lost are reset, and sessions end', async () => {
  const who = ['--tenant', 'operator', '--email', email];
  const alone = await run('reset-password', ...who);
  assert.equal(alone.code, 1);
  assert.match(alone.errors, /No server runs on/);
  const server = startCommand(['serve', '--port', '0', ...inFolder]);
  const [, oneTime] = await server.line(/^ {4}(\S+)$/);
  const [, url] = await server.line(/(http:\/\/127\.0\.0\.1:\d+)/);
  const chosen = 'what nobody guesses at all';
  const operator = await enter(url as string, 'operator', email, oneTime as string, chosen);
  const seed = await operator.mutate('beginTotp', { currentPassword: chosen }, 'BeginTotpPayload', 'secret');
  const code = new TOTP({ secret: seed.secret }).generate();
  await operator.mutate('confirmTotp', { code }, 'RecoveryCodesPayload', 'recoveryCodes');
  const nobody = clientOf(url as string);
  assert.equal((await signIn(nobody, 'operator', email, chosen)).token, null);

  const factor = await run('reset-second-factor', ...who);
  assert.equal(factor.code, 0, factor.errors);
  assert.match(factor.output, /^1 session ended$/m);
  assert.equal((await operator.raw('{ viewer { email } }')).errors[0]?.extensions.code, 'unauthenticated');
  assert.ok((await signIn(nobody, 'operator', email, chosen)).token);

  const password = await run('reset-password', ...who);
  const [, issued] = /^one-time password +(\S+)/m.exec(password.output) ?? [];
  assert.equal((await signIn(nobody, 'operator', email, chosen)).code, 'unauthenticated');
  const again = await signIn(nobody, 'operator', email, issued as string);
  assert.equal(again.mustChangePassword, true);
  await server.stop();
});
