/** `muster proxy init`, `check` and `drain` as an operator meets them, on a terminal and without one. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkProxy, type Finding } from '../../cli/proxy/check.ts';
import type { ProxyConfig } from '../../proxy/config.ts';
import { readProxyConfig } from '../../proxy/config-file.ts';
import { readIdentity } from '../../proxy/identity.ts';
import { certificateAt } from '../../proxy/trust.ts';
import { openAuthority } from '../proxy/authority.ts';
import { feedCertificates, folder, openFeed, openMailServer, serve } from '../proxy/stage.ts';
import { startCommand } from '../support/muster.ts';
import { quietPort } from '../support/port.ts';

const run = async (...args: string[]) => {
  const command = startCommand(['proxy', ...args]);
  const code = await command.ended;
  return { code, output: command.output(), errors: command.errors() };
};

const check = async (file: string): Promise<readonly Finding[]> => checkProxy(readProxyConfig(file));
const levels = (found: readonly Finding[]) =>
  Object.fromEntries(found.map(({ setting, level }) => [setting, level]));

/** A server, a mail server, and options for a proxy between them. */
const openSite = async (t: TestContext) => {
  const feed = await openFeed(t);
  const mail = await openMailServer(t);
  mail.stage.answer = (_req, res) => void res.writeHead(401, { 'www-authenticate': 'Basic' }).end();
  const dir = folder(t);
  const file = join(dir, 'proxy.yaml');
  const ca = join(dir, 'ca.pem');
  writeFileSync(ca, (await feedCertificates()).ca);
  const port = await quietPort();
  const options = {
    '--config': file,
    '--server-url': feed.url,
    '--server-ca': ca,
    '--public-url': 'https://mail.example.org',
    '--backend': mail.url,
    '--listen': `127.0.0.1:${port}`,
  };
  return { feed, mail, dir, file, port, options };
};
const flat = (options: Record<string, string>) => Object.entries(options).flat();

test('init writes what options say, makes identities, checks all of it, and replaces nothing', async (t) => {
  const { file, dir, options, feed } = await openSite(t);
  const made = await run('init', ...flat(options), '--self-signed');
  assert.equal(made.code, 0, made.output + made.errors);
  assert.doesNotMatch(made.output, /FAIL|warn/);
  const [, sha256] = /^Instance "mail": .*, SHA-256 ([0-9a-f]{64})$/m.exec(made.output) ?? [];
  assert.match(made.output, /muster proxy export --config .* --instance mail/);
  if (process.platform !== 'win32') assert.equal(statSync(file).mode & 0o777, 0o600);
  const exported = await run('export', '--config', file, '--json');
  assert.equal(JSON.parse(exported.output)[0].certificateSha256, sha256);
  const text = readFileSync(file, 'utf8');
  const again = await run('init', ...flat(options));
  assert.deepEqual([again.code, readFileSync(file, 'utf8')], [2, text]);
  assert.match(again.errors, /--force/);
  // Nothing is sent to the mail server but an OPTIONS, and the feed is not opened.
  assert.deepEqual(feed.stage.connections, []);
  assert.ok(existsSync(join(dir, 'proxy-state', 'mail', 'tls.crt')));
  feed.stage.status = 401;
  const checked = await run('check', '--config', file, '--json');
  assert.equal(checked.code, 0);
  assert.deepEqual(levels(JSON.parse(checked.output)), {
    stateDir: 'ok',
    'instances[0].listenPort': 'ok',
    'instances[0].tls': 'ok',
    'instances[0].registration': 'warn',
    'instances[0].backend': 'ok',
  });
});

test('what is missing without a terminal, and settings that would not start, are said, and nothing is written', async (t) => {
  const { file, options } = await openSite(t);
  const { '--backend': _, ...rest } = options;
  const missing = await run('init', ...flat(rest));
  assert.equal(missing.code, 2);
  assert.match(missing.errors, /--backend: needed/);
  const open = await run('init', ...flat({ ...options, '--listen': '0.0.0.0:8443' }));
  assert.equal(open.code, 2);
  assert.match(open.errors, /listenHost: must be a loopback address unless tls is given/);
  assert.equal(existsSync(file), false);
});

test('what options say is what the file says, and what is not said is as usual', async (t) => {
  const { file, dir, options, feed, mail } = await openSite(t);
  const { '--listen': _, '--server-ca': __, ...rest } = options;
  const made = async (...more: string[]) => {
    await run('init', ...flat(rest), '--force', ...more);
    const { serverPin, stateDir, adminPort, instances } = readProxyConfig(file);
    const [{ name, listenHost, listenPort, tls, backend }] = instances as [ProxyConfig['instances'][number]];
    return { serverPin, stateDir, adminPort, name, listenHost, listenPort, tls, backend };
  };
  const trust = { pin: undefined, caFile: undefined, allowAnyCertificate: false };
  const usual = {
    serverPin: undefined,
    stateDir: join(dir, 'proxy-state'),
    adminPort: 0,
    name: 'mail',
    listenHost: '127.0.0.1',
    listenPort: 8443,
    tls: undefined,
    backend: { ...trust, url: new URL(mail.url) },
  };
  const asSaid = ({ backend, ...more }: typeof usual | Awaited<ReturnType<typeof made>>) => ({
    ...more,
    backend: { ...trust, ...backend, url: String(backend.url) },
  });
  assert.deepEqual(asSaid(await made()), asSaid(usual));
  assert.equal(existsSync(join(dir, 'proxy-state', 'mail', 'tls.crt')), false);
  const { pin } = await certificateAt(new URL(feed.url));
  const other = 'b'.repeat(64);
  const said = await made(
    ...['--server-pin', pin, '--backend', 'https://127.0.0.1:1', '--backend-pin', other],
    ...['--state-dir', join(dir, 'elsewhere'), '--admin-port', '9', '--instance', 'contoso'],
    ...['--listen', '[::1]:9443', '--pkcs12', join(dir, 'a.p12'), '--password', join(dir, 'word')],
  );
  assert.deepEqual(
    asSaid(said),
    asSaid({
      ...usual,
      ...{ serverPin: pin, stateDir: join(dir, 'elsewhere'), adminPort: 9, name: 'contoso' },
      ...{ listenHost: '::1', listenPort: 9443 },
      tls: { pkcs12File: join(dir, 'a.p12'), passwordFile: join(dir, 'word') },
      backend: { ...trust, url: new URL('https://127.0.0.1:1'), pin: other },
    } as never),
  );
  // Phones come from beyond this machine once there is TLS.
  const open = await made('--self-signed');
  assert.deepEqual(
    [open.listenHost, open.listenPort, open.tls],
    ['0.0.0.0', 8443, { selfSigned: { hostName: 'mail.example.org' } }],
  );
});

test('options that contradict one another are refused, and nothing is written', async (t) => {
  const { file, options } = await openSite(t);
  const contradictions: readonly (readonly [string[], RegExp])[] = [
    [['--self-signed', '--pkcs12', 'a.p12'], /only one of --self-signed, --cert and --pkcs12/],
    [['--cert', 'a.crt'], /--cert needs --key/],
    [['--key', 'a.key'], /--key and --chain need --cert/],
    [['--password', 'word'], /--password needs --pkcs12/],
    [['--listen', 'everywhere'], /--listen must be a port/],
  ];
  for (const [more, reason] of contradictions) {
    const { code, errors } = await run('init', ...flat(options), ...more);
    assert.equal(code, 2, errors);
    assert.match(errors, reason);
  }
  assert.equal(existsSync(file), false);
});

test('for a file that is there, init makes what is missing and leaves the rest', async (t) => {
  const { file, dir, options } = await openSite(t);
  await run('init', ...flat(options), '--instance', 'contoso');
  const text = readFileSync(file, 'utf8');
  const identity = (name: string) => join(dir, 'proxy-state', name, 'identity.crt');
  const kept = readFileSync(identity('contoso'), 'utf8');
  const second = text
    .slice(text.indexOf('  - name'))
    .replace('contoso', 'fabrikam')
    .replace(/listenPort: .*/, `listenPort: ${await quietPort()}`);
  writeFileSync(file, text + second);
  const again = await run('init', '--config', file);
  assert.equal(again.code, 0, again.output + again.errors);
  assert.deepEqual(
    [readFileSync(file, 'utf8'), readFileSync(identity('contoso'), 'utf8')],
    [text + second, kept],
  );
  const { sha256 } = readIdentity(join(dir, 'proxy-state', 'fabrikam'));
  assert.match(again.output, new RegExp(`^Instance "fabrikam": .*, SHA-256 ${sha256}$`, 'm'));
  assert.match(again.output, /muster proxy export --config .* --instance fabrikam/);
});

test('check finds what would keep phones from their mail, and says what to do', async (t) => {
  const { file, options, feed, mail } = await openSite(t);
  const taken = await serve(t, (_req, res) => void res.end());
  const made = await run(
    'init',
    ...flat({ ...options, '--listen': `${taken.port}` }),
    '--self-signed',
    'other.example.org',
  );
  // What is to be mended is said, and what comes then, too.
  assert.equal(made.code, 1);
  assert.match(made.output, /^FAIL {2}instances\[0\]\.tls /m);
  assert.match(made.output, /^Next:$/m);
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace(/^serverCaFile: .*$/m, `serverPin: ${'a'.repeat(64)}`),
  );
  mail.stage.answer = (_req, res) => void res.writeHead(404).end();
  assert.equal((await run('check', '--config', file)).code, 1);
  const first = await check(file);
  assert.deepEqual(levels(first), {
    stateDir: 'ok',
    'instances[0].listenPort': 'warn',
    'instances[0].tls': 'fail',
    serverUrl: 'fail',
    'instances[0].backend': 'warn',
  });
  const { pin } = await certificateAt(new URL(feed.url));
  const advice = first.find(({ setting }) => setting === 'serverUrl')?.advice;
  assert.match(advice ?? '', new RegExp(`serverPin: ${pin}$`));
  // The advice is right.
  writeFileSync(
    file,
    readFileSync(file, 'utf8')
      .replace('a'.repeat(64), pin)
      .replace('adminPort: 0', `adminPort: ${await quietPort()}`),
  );
  const second = levels(await check(file));
  assert.deepEqual(
    [second['instances[0].registration'], second['instances[0].listenPort'], second['adminPort']],
    ['ok', 'fail', 'ok'],
  );
});

test('check says when revocation lists end, and when they cannot be used', async (t) => {
  const { file, options, dir } = await openSite(t);
  const { caFile, crlFile, revoke } = openAuthority(dir, 'devices');
  const other = openAuthority(dir, 'other');
  await run('init', ...flat(options), '--self-signed');
  const config = readProxyConfig(file);
  const instances = config.instances.map((instance) => ({
    ...instance,
    clientCertificates: { caFile, crlFile, bindDevice: false },
  }));
  const at = 'instances[0].clientCertificates';
  const days = (count: number) => new Date(Date.now() + count * 86_400_000);
  const said = async (now: Date) => {
    const found = await checkProxy({ ...config, instances }, now);
    return found
      .filter(({ setting }) => setting.startsWith(at))
      .map(({ level, setting, text }) => [level, setting.slice(at.length), text]);
  };
  revoke([]);
  const isRead = ['ok', '', 'CA and revocation list can be read'];
  assert.deepEqual(await said(new Date()), [isRead, ['ok', '.crlFile', 'good for 29 days']]);
  assert.deepEqual(await said(days(22.5)), [isRead, ['ok', '.crlFile', 'good for 7 days']]);
  const refuses = 'devices of its CA are refused';
  const soon = (left: number) => [
    isRead,
    ['warn', '.crlFile', `a revocation list expires in ${left} days: then ${refuses}`],
  ];
  assert.deepEqual(await said(days(23.5)), soon(6));
  const [, [level, , text] = []] = await said(days(31));
  assert.equal(level, 'warn');
  assert.match(text ?? '', /^a revocation list expired at 20.*Z: devices of its CA are refused$/);
  const [, [early, , until] = []] = await said(days(-1));
  assert.deepEqual([early, /counts from .* only: until then/.test(until ?? '')], ['warn', true]);
  // Of several lists the one that ends first counts, wherever it stands.
  other.revoke([], ['-crldays', '3']);
  writeFileSync(crlFile, readFileSync(crlFile, 'utf8') + readFileSync(other.crlFile, 'utf8'));
  assert.deepEqual(await said(new Date()), soon(2));
  for (const spoil of [() => writeFileSync(crlFile, 'no list'), () => rmSync(crlFile)]) {
    spoil();
    const [[failed, setting, reason] = [], ...more] = await said(new Date());
    assert.deepEqual([failed, setting, more], ['fail', '', []]);
    assert.match(reason ?? '', /clientCertificates\.crlFile: (holds no revocation list in PEM|cannot read )/);
  }
});

const asRoot = process.getuid?.() === 0 ? false : 'needs root to give files to somebody else';
/** Somebody who is not root and need not exist. */
const somebody = 65_534;
/** Whom everything at and below `path` belongs to, by name. */
const ownersIn = (path: string): Record<string, string> =>
  Object.fromEntries(
    [path, ...readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name))].map(
      (at) => {
        const { uid, gid } = lstatSync(at);
        return [at.slice(path.length), `${uid}:${gid}`];
      },
    ),
  );

test('what root makes belongs to the owner of stateDir', { skip: asRoot }, async (t) => {
  const { file, options, dir } = await openSite(t);
  const stateDir = join(dir, 'state');
  const [mail, his, ours] = [join(stateDir, 'mail'), `${somebody}:${somebody}`, '0:0'];
  const all = (owner: string, ...names: string[]) => Object.fromEntries(names.map((name) => [name, owner]));
  const made = ['', '/mail', '/mail/identity.crt', '/mail/identity.key', '/mail/tls.crt', '/mail/tls.key'];
  const init = (...more: string[]) =>
    run('init', ...flat({ ...options, '--state-dir': stateDir }), '--self-signed', ...more);
  assert.equal((await init()).code, 0);
  assert.deepEqual(ownersIn(stateDir), all(ours, ...made));
  assert.equal(lstatSync(file).uid, 0);

  chownSync(stateDir, somebody, somebody);
  // Root's, as one that was started too early left it.
  rmSync(mail, { recursive: true });
  mkdirSync(mail);
  assert.equal((await init('--force')).code, 0);
  assert.deepEqual(ownersIn(stateDir), all(his, ...made));
  assert.deepEqual([lstatSync(file).uid, lstatSync(file).mode & 0o777], [somebody, 0o600]);
  rmSync(file);
  assert.equal((await init()).code, 0);
  assert.equal(lstatSync(file).uid, somebody);

  for (const name of ['tls.crt', 'tls.key']) rmSync(join(mail, name));
  assert.equal(levels(await check(file))['instances[0].tls'], 'ok');
  assert.deepEqual(ownersIn(stateDir), all(his, ...made));
});

test('root writes through no link that the owner of stateDir left, and gives nothing else away', {
  skip: asRoot,
}, async (t) => {
  const { options, dir } = await openSite(t);
  const [stateDir, secret] = [join(dir, 'state'), join(dir, 'secret')];
  const mail = join(stateDir, 'mail');
  mkdirSync(mail, { recursive: true });
  writeFileSync(secret, 'root’s', { mode: 0o600 });
  for (const name of ['identity.crt', 'identity.crt.new', 'tls.crt', 'tls.crt.new', 'tls.key.new'])
    symlinkSync(secret, join(mail, name));
  for (const path of [stateDir, mail]) chownSync(path, somebody, somebody);
  const made = await run('init', ...flat({ ...options, '--state-dir': stateDir }), '--self-signed');
  assert.equal(made.code, 0, made.output + made.errors);
  assert.deepEqual([readFileSync(secret, 'utf8'), lstatSync(secret).uid], ['root’s', 0]);
  for (const name of ['identity.crt', 'tls.crt', 'tls.key'])
    assert.ok(lstatSync(join(mail, name)).isFile(), name);
});

test('the running proxy holds its own ports, and drain ends it gracefully', async (t) => {
  const { file, options } = await openSite(t);
  await run('init', ...flat({ ...options, '--admin-port': String(await quietPort()) }));
  const running = startCommand(['proxy', '--config', file]);
  t.after(() => running.stop());
  await running.line(/^Health at/);
  assert.deepEqual(
    (await check(file))
      .filter(({ text }) => text.includes('is held by the running proxy'))
      .map(({ setting }) => setting),
    ['adminPort', 'instances[0].listenPort'],
  );
  const drained = await run('drain', '--config', file);
  assert.deepEqual([drained.code, drained.output], [0, 'drained: no connection is left, and none is taken']);
});

const hasScript = process.platform === 'linux' && existsSync('/usr/bin/script');
test('on a terminal it asks, and shows the server’s certificate to be compared', {
  skip: hasScript ? false : 'needs script(1) for a terminal',
}, async (t) => {
  const { feed, mail, dir, file, port } = await openSite(t);
  const bin = fileURLToPath(new URL('../../cli/bin.mjs', import.meta.url));
  const child = spawn(
    '/usr/bin/script',
    ['-qefc', `stty cols 200 rows 50; ${process.execPath} ${bin} proxy init --config ${file}`, '/dev/null'],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm' },
    },
  );
  let shown = '';
  let wake = () => {};
  child.stdout.on('data', (chunk: Buffer) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal is sent.
    shown += chunk.toString('utf8').replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '');
    wake();
  });
  /** Waits for a question, clears what it suggests, and answers. */
  const answer = async (question: RegExp, reply: string): Promise<void> => {
    while (!question.test(shown))
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    shown = '';
    child.stdin.write(reply);
  };
  const clear = '\x15';
  await answer(/listener for proxies/, `${clear}${feed.url}\r`);
  const { pin } = await certificateAt(new URL(feed.url));
  await answer(new RegExp(`SHA-256 ${pin}[\\s\\S]*fingerprint`), 'y');
  await answer(/Folder for keys/, `${clear}${join(dir, 'state')}\r`);
  await answer(/health and metrics/, `${clear}0\r`);
  await answer(/Name of the instance/, `${clear}contoso\r`);
  await answer(/Address that devices know/, `${clear}https://mail.example.org\r`);
  // The third kind: one that the proxy makes.
  await answer(/certificate that devices see/, '\x1b[B\x1b[B\r');
  await answer(/Address to listen on/, `${clear}127.0.0.1\r`);
  await answer(/Port to listen on/, `${clear}${port}\r`);
  await answer(/The mail server/, `${clear}${mail.url}\r`);
  await answer(/Another instance/, 'y');
  await answer(/Name of the instance/, `${clear}fabrikam\r`);
  await answer(/Address that devices know/, `${clear}https://mail.example.com\r`);
  // The fourth: what stands in front has it.
  await answer(/certificate that devices see/, '\x1b[B\x1b[B\x1b[B\r');
  await answer(/Address to listen on/, `${clear}127.0.0.1\r`);
  await answer(/Port to listen on/, `${clear}${await quietPort()}\r`);
  await answer(/The mail server/, `${clear}${mail.url}\r`);
  await answer(/Another instance/, 'n');
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(code, 0, shown);
  assert.match(shown, /ok .*instances\[0\]\.backend/);
  const text = readFileSync(file, 'utf8');
  assert.match(text, new RegExp(`serverPin: "${pin}"`));
  assert.deepEqual(
    readProxyConfig(file).instances.map(({ name, publicUrl, tls }) => [name, publicUrl.host, tls]),
    [
      ['contoso', 'mail.example.org', { selfSigned: { hostName: 'mail.example.org' } }],
      ['fabrikam', 'mail.example.com', undefined],
    ],
  );
  for (const name of ['contoso', 'fabrikam']) assert.ok(readIdentity(join(dir, 'state', name)));
});
