/**
 * The stage for tests of the proxy: a recording mail server and a feed server on loopback, a proxy between them, and
 * helpers that wait for events instead of time. Called by the tests beside this file.
 */
import assert from 'node:assert/strict';
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { createGzip } from 'node:zlib';
import { pino } from 'pino';
import { certificateSha256, createAuthority, issueServerCertificate } from '../../platform/pki.ts';
import { newSigningKey, publicHalf, signLine } from '../../platform/signed-line.ts';
import type { Health } from '../../proxy/admin.ts';
import { parseProxyConfig } from '../../proxy/config.ts';
import { makeIdentity } from '../../proxy/identity.ts';
import { instanceDir } from '../../proxy/instance.ts';
import { type ProxyDeps, type RunningProxy, start } from '../../proxy/main.ts';

/** One log line as an object. */
export type LogLine = Record<string, unknown> & { msg: string };

/** A logger whose lines can be awaited. */
export const recordingLog = () => {
  const lines: LogLine[] = [];
  const arrived = new EventEmitter().setMaxListeners(0);
  const log = pino(
    { level: 'debug' },
    {
      write: (text: string) => {
        lines.push(JSON.parse(text));
        arrived.emit('line');
      },
    },
  );
  const until = async (matches: (line: LogLine) => boolean, from = 0): Promise<LogLine> => {
    for (;;) {
      const found = lines.slice(from).find(matches);
      if (found) return found;
      await once(arrived, 'line');
    }
  };
  return { log, lines, until };
};

const endings = new WeakMap<TestContext, (() => unknown)[]>();

/** Runs `end` when the test is over, last made first ended: a proxy stops before its folder and its servers go. */
const onEnd = (t: TestContext, end: () => unknown): void => {
  const known = endings.get(t);
  if (known !== undefined) return void known.push(end);
  const ends = [end];
  endings.set(t, ends);
  t.after(async () => {
    for (const next of ends.reverse()) await next();
  });
};

const allSockets = new Set<Socket>();
const servers = new Set<Server>();

/** A loopback server whose leftovers are found at the end of the file. */
export const serve = async (
  t: TestContext,
  handler: RequestListener,
  tls?: { readonly cert: string; readonly key: string },
): Promise<{ server: Server; sockets: Set<Socket>; port: number; url: string }> => {
  const options = { requestTimeout: 0, keepAliveTimeout: 60_000 };
  const server: Server = tls
    ? createTlsServer({ ...options, ...tls, requestCert: true, rejectUnauthorized: false }, handler)
    : createServer(options, handler);
  servers.add(server);
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    allSockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      allSockets.delete(socket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(t, async () => {
    const closed = server.listening ? once(server, 'close') : undefined;
    server.close();
    server.closeAllConnections();
    // One that is still shaking hands is none of the server's connections yet.
    for (const socket of sockets) socket.destroy();
    await closed;
    servers.delete(server);
  });
  const { port } = server.address() as AddressInfo;
  return { server, sockets, port, url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}` };
};

after(() => {
  assert.equal([...servers].filter((server) => server.listening).length, 0, 'a server was left open');
  assert.equal([...allSockets].filter((socket) => !socket.destroyed).length, 0, 'a socket was left open');
});

/** A request as the mail server saw it. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** A mail server that records; `answer` may replace its empty 200, and gets the request before its body is read. */
export const openMailServer = async (t: TestContext) => {
  const seen: Seen[] = [];
  const events = new EventEmitter().setMaxListeners(0);
  const stage = { answer: undefined as ((req: IncomingMessage, res: ServerResponse) => void) | undefined };
  const { url, port, server, sockets } = await serve(t, (req, res) => {
    events.emit('request', req, res);
    if (stage.answer) return stage.answer(req, res);
    void readAll(req).then((body) => {
      seen.push({
        method: req.method ?? '',
        url: req.url ?? '',
        rawHeaders: req.rawHeaders,
        headers: req.headers,
        body,
      });
      res.end();
    });
  });
  return { url, port, server, sockets, seen, stage, events };
};

export const readAll = async (stream: AsyncIterable<Buffer>): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
};

/** A verdict line; what is not given is an allowed device of alice. */
export const verdictLine = (given: Record<string, unknown> = {}) => ({
  kind: 'verdict',
  deviceId: 'dev_1',
  easDeviceId: 'ABC123',
  userEmail: 'alice@example.org',
  access: 'allow',
  reason: 'compliant',
  position: '10',
  ...given,
});

const signingKey = createPrivateKey(newSigningKey());
let certificates: Promise<{ ca: string; cert: string; key: string }> | undefined;

/** The feed's authority and certificate, one for all tests of a file. */
export const feedCertificates = () => {
  certificates ??= (async () => {
    const now = new Date();
    const authority = await createAuthority('test', now);
    const { certificate, key } = await issueServerCertificate(authority, ['127.0.0.1'], now);
    return { ca: authority.certificate, cert: certificate + authority.certificate, key };
  })();
  return certificates;
};

/** One connection to the feed, and how to send batches into it. */
interface FeedConnection {
  readonly res: ServerResponse;
  readonly after: string | null;
  readonly certificate: string | undefined;
  readonly trust: string | undefined;
  readonly nonce: string;
  /** Sends the lines as batches; what `forged` has goes into each of them. */
  readonly send: (lines: readonly object[], forged?: object) => void;
  /** Writes a line as it is. */
  readonly raw: (line: string) => void;
  readonly lines: string[];
}

type Line = { kind: 'snapshot' } | { kind: 'position'; position: string } | ReturnType<typeof verdictLine>;

const rowOf = (line: Record<string, unknown>) => [
  line['deviceId'],
  line['easDeviceId'],
  line['userEmail'],
  line['access'] === 'allow' ? 1 : line['wipePending'] === true ? 2 : 0,
  line['reason'],
  Number(line['position']),
];

/** SHA-256 of the certificate that the proxy showed. */
const certificateOf = (req: IncomingMessage): string | undefined => {
  const { raw } = (req.socket as TLSSocket).getPeerCertificate();
  return raw === undefined ? undefined : certificateSha256(new X509Certificate(raw));
};

const openConnection = (
  req: IncomingMessage,
  res: ServerResponse,
  clock: () => number,
  {
    key,
    staleRule,
    learns,
  }: { readonly key: KeyObject; readonly staleRule: string; readonly learns: boolean },
): FeedConnection => {
  const query = new URL(req.url ?? '', 'http://x').searchParams;
  const nonce = query.get('nonce') ?? '';
  const gzip = createGzip();
  gzip.pipe(res);
  const lines: string[] = [];
  let from = query.get('after');
  let seq = 0;
  let rows: unknown[] = [];
  let isSnapshot = false;
  const raw = (line: string): void => {
    lines.push(line);
    gzip.write(`${line}\n`);
    gzip.flush();
  };
  const batch = (position: string, forged: object): void => {
    const shape = isSnapshot ? { from: null, snapshot: 'last' } : { from };
    const text = { tenantId: 'tenant', nonce, seq, position, at: clock(), staleRule, learns, ...shape };
    raw(signLine(key, JSON.stringify({ ...text, verdicts: rows, ...forged })));
    [from, seq, rows, isSnapshot] = [position, seq + 1, [], false];
  };
  const send: FeedConnection['send'] = (sent, forged = {}) => {
    let last: string | undefined;
    for (const line of sent as readonly Line[]) {
      if (line.kind === 'snapshot') isSnapshot = true;
      else if (line.kind === 'position') {
        batch((line as { position: string }).position, forged);
        last = undefined;
      } else {
        rows.push(rowOf(line as Record<string, unknown>));
        last = (line as { position: string }).position;
      }
    }
    if (last !== undefined) batch(last, forged);
  };
  const certificate = certificateOf(req);
  const trust = req.headers['x-muster-server-trust'] as string | undefined;
  return { res, after: from, certificate, trust, nonce, send, raw, lines };
};

/** A feed server: answers each connection with `greeting`, then with whatever the test sends. */
export const openFeed = async (
  t: TestContext,
  greeting: readonly object[] = [verdictLine()],
  clock: () => number = Date.now,
) => {
  const events = new EventEmitter().setMaxListeners(0);
  const stage = {
    status: 200,
    /** What the server signs with. */
    key: signingKey,
    /** What the tenant wants of stale verdicts. */
    staleRule: 'deny' as 'deny' | 'allow-known',
    /** Whether it wants to hear of unknown devices. */
    learns: false,
    /** Instead of `lines`, those for whoever shows that certificate. */
    linesFor: undefined as ((certificate: string | undefined) => readonly object[]) | undefined,
    /** Lines for a connection that asked for `after`. */
    lines: (after: string | null): readonly object[] =>
      after === null
        ? [{ kind: 'snapshot' }, ...greeting, { kind: 'position', position: '10' }]
        : [{ kind: 'position', position: after }],
    /** What is known of devices that are asked for, by EAS id. */
    asked: [] as string[],
    /** What the answer to such a question waits for. */
    asking: undefined as Promise<unknown> | undefined,
    answers: new Map<string, object>(),
    /** Bodies of the status reports, each with the certificate it came with. */
    // biome-ignore lint/suspicious/noExplicitAny: tests look into reports field by field.
    reports: [] as any[],
    connections: [] as FeedConnection[],
  };
  const certificates = await feedCertificates();
  const answerAsk = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const body = JSON.parse((await readAll(req)).toString('utf8'));
    stage.asked.push(body.easDeviceIds[0]);
    events.emit('asking');
    await stage.asking;
    const found = stage.answers.get(body.easDeviceIds[0]);
    const verdicts = found === undefined ? [] : [rowOf(found as Record<string, unknown>)];
    if (stage.status !== 200) res.writeHead(stage.status).end();
    else res.end(signLine(stage.key, JSON.stringify({ tenantId: 'tenant', nonce: body.nonce, verdicts })));
    events.emit('asked');
  };
  const takeReport = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const body = JSON.parse((await readAll(req)).toString('utf8'));
    stage.reports.push({ ...body, certificate: certificateOf(req) });
    res.writeHead(204).end();
    events.emit('report');
  };
  const { url, port, server, sockets } = await serve(
    t,
    (req, res) => {
      if (req.url === '/proxy/v1/ask') return void answerAsk(req, res);
      if (req.url === '/proxy/v1/status') return void takeReport(req, res);
      const isOk = stage.status === 200;
      res.writeHead(
        stage.status,
        isOk ? { 'content-encoding': 'gzip', 'x-muster-feed-key': publicHalf(stage.key) } : {},
      );
      const connection = openConnection(req, res, clock, stage);
      stage.connections.push(connection);
      if (isOk) connection.send(stage.linesFor?.(connection.certificate) ?? stage.lines(connection.after));
      else res.end();
      events.emit('connection');
    },
    certificates,
  );
  const send = (...lines: object[]) => stage.connections.at(-1)?.send(lines);
  /** Settles when the nth connection (from 1) was made. */
  const connected = async (count: number) => {
    while (stage.connections.length < count) await once(events, 'connection');
    return stage.connections[count - 1] as (typeof stage.connections)[number];
  };
  /** The first report that matches. */
  const reported = async (matches: (report: (typeof stage.reports)[number]) => boolean) => {
    for (;;) {
      const found = stage.reports.find(matches);
      if (found) return found;
      await once(events, 'report');
    }
  };
  return { url, port, server, sockets, stage, send, connected, reported, events };
};

/** A folder that goes away with the test. */
export const folder = (t: TestContext): string => {
  const path = mkdtempSync(join(tmpdir(), 'muster-proxy-'));
  onEnd(t, () => rmSync(path, { recursive: true, force: true }));
  return path;
};

export const fastTiming = { silenceMs: 45_000, firstRetryMs: 1, lastRetryMs: 20, revokedRetryMs: 20 };

/** What tests may say about the process; all else they say is about the instance. */
const shared = new Set([
  'serverUrl',
  'serverCaFile',
  'serverPin',
  'allowAnyServerCertificate',
  'stateDir',
  'adminPort',
  'maxAgeSeconds',
  'drainSeconds',
  'drainDelaySeconds',
  'log',
]);

/** The settings of a proxy with one instance, `mail`, from settings of both kinds in one object. */
export const settingsOf = (given: Readonly<Record<string, unknown>>): Record<string, unknown> => {
  const entries = Object.entries(given);
  return {
    ...Object.fromEntries(entries.filter(([key]) => shared.has(key))),
    instances: [
      {
        name: 'mail',
        listenPort: 0,
        publicUrl: 'https://mail.example.org',
        ...Object.fromEntries(entries.filter(([key]) => !shared.has(key))),
      },
    ],
  };
};

/** A proxy of one instance with the clock and settings of the test. */
export const openProxy = async (
  t: TestContext,
  settings: { backend: { url: string } & Record<string, unknown>; serverUrl: string } & Record<
    string,
    unknown
  >,
  deps: Partial<ProxyDeps> = {},
) => {
  const proxy = await openProxyOf(t, settingsOf({ stateDir: folder(t), ...settings }), deps);
  const [instance] = proxy.instances as [RunningProxy['instances'][number]];
  return {
    ...proxy,
    port: instance.port,
    health: instance.health,
    /** Folder of the instance. */
    folder: instanceDir(proxy.config, 'mail'),
    stateFile: join(instanceDir(proxy.config, 'mail'), 'verdicts'),
  };
};

/** Settings that trust the feed's authority, unless they say how the server is known. */
const withFeedCa = async (t: TestContext, settings: Readonly<Record<string, unknown>>): Promise<object> => {
  if (settings['serverPin'] !== undefined || settings['allowAnyServerCertificate'] === true) return settings;
  const serverCaFile = join(folder(t), 'ca.crt');
  writeFileSync(serverCaFile, (await feedCertificates()).ca);
  return { serverCaFile, ...settings };
};

/** A proxy of any instances. */
export const openProxyOf = async (
  t: TestContext,
  settings: Readonly<Record<string, unknown>>,
  deps: Partial<ProxyDeps> = {},
) => {
  const recorded = recordingLog();
  const config = parseProxyConfig(await withFeedCa(t, settings));
  for (const { name } of config.instances) makeIdentity(instanceDir(config, name), name, new Date());
  const proxy: RunningProxy = await start(config, { log: recorded.log, timing: fastTiming, ...deps });
  let stopped = false;
  const stop = async () => {
    if (!stopped) await proxy.stop();
    stopped = true;
  };
  onEnd(t, stop);
  return {
    ...recorded,
    instances: proxy.instances,
    reload: proxy.reload,
    drain: proxy.drain,
    adminPort: proxy.adminPort,
    stop,
    config,
  };
};

/** Mail server, feed and a proxy that has the feed's verdicts. */
export const openStage = async (
  t: TestContext,
  greeting?: readonly object[],
  settings: Record<string, unknown> = {},
  deps: Partial<ProxyDeps> = {},
) => {
  const mail = await openMailServer(t);
  const feed = await openFeed(t, greeting, deps.clock);
  const proxy = await openProxy(t, { backend: { url: mail.url }, serverUrl: feed.url, ...settings }, deps);
  await healthy(proxy);
  return { mail, feed, proxy };
};

/** Settles when the proxy's health is as asked for (default: it has verdicts); looks once per turn of the event loop. */
export const healthy = async (
  proxy: { readonly health: () => Health },
  matches: (health: Health) => boolean = (health) => !health.stale,
): Promise<Health> => {
  for (;;) {
    const health = proxy.health();
    if (matches(health)) return health;
    await nextTurn();
  }
};

export const basic = (user: string, encoding: BufferEncoding = 'utf8') =>
  `Basic ${Buffer.from(`${user}:secret`, encoding).toString('base64')}`;

export const syncTarget =
  '/Microsoft-Server-ActiveSync?Cmd=Sync&User=alice&DeviceId=ABC123&DeviceType=iPhone';

const rootTags = {
  Sync: '03016a0045',
  FolderSync: '03016a00000756',
  Ping: '03016a00000d45',
  Provision: '03016a00000e45',
  SendMail: '03016a00001545',
} as const;

/** A body that starts as `command` does; what follows is nobody's business but the mail server's. */
export const easBody = (command: keyof typeof rootTags, rest: Buffer | string = '\x01'): Buffer =>
  Buffer.concat([Buffer.from(rootTags[command], 'hex'), Buffer.from(rest as string, 'latin1')]);

/** One request written byte for byte; answers everything that came back until the other side closed. */
export const raw = async (port: number, text: string | Buffer): Promise<string> => {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(text);
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1');
    // A refusal that keeps the connection open is complete once it has its body.
    if (isComplete(answer)) socket.end();
  });
  await once(socket, 'close');
  return answer;
};

const isComplete = (answer: string): boolean => {
  const headEnd = answer.indexOf('\r\n\r\n');
  if (headEnd < 0) return false;
  const length = /content-length: (\d+)/i.exec(answer)?.[1];
  return length !== undefined && answer.length >= headEnd + 4 + Number(length);
};

/** An ordinary POST of alice's phone with `changes`. */
export const post = (
  port: number,
  options: {
    target?: string;
    user?: string;
    authorization?: string | null;
    body?: Buffer;
    headers?: Record<string, string>;
    method?: string;
    signal?: AbortSignal;
  } = {},
) => {
  const authorization =
    options.authorization === undefined ? basic(options.user ?? 'alice') : options.authorization;
  return fetch(`http://127.0.0.1:${port}${options.target ?? syncTarget}`, {
    method: options.method ?? 'POST',
    headers: { ...(authorization === null ? {} : { authorization }), ...options.headers },
    ...(options.body === undefined ? {} : { body: new Uint8Array(options.body) }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    redirect: 'manual',
  });
};
