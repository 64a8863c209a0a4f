/**
 * The stage for tests of the proxy: a recording mail server and a feed server on loopback, a proxy between them, and
 * helpers that wait for events instead of time. Called by the tests beside this file.
 */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import type { Health } from '../../proxy/admin.ts';
import { parseProxyConfig } from '../../proxy/config.ts';
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
): Promise<{ server: Server; sockets: Set<Socket>; port: number; url: string }> => {
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, handler);
  servers.add(server);
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    allSockets.add(socket);
    socket.once('close', () => allSockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(t, async () => {
    server.closeAllConnections();
    server.close();
    if (server.listening) await once(server, 'close');
    servers.delete(server);
  });
  const { port } = server.address() as AddressInfo;
  return { server, sockets, port, url: `http://127.0.0.1:${port}` };
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

/** A feed server: answers each connection with `greeting`, then with whatever the test sends. */
export const openFeed = async (t: TestContext, greeting: readonly object[] = [verdictLine()]) => {
  const events = new EventEmitter().setMaxListeners(0);
  const stage = {
    status: 200,
    /** Lines for a connection that asked for `after`. */
    lines: (after: string | null): readonly object[] =>
      after === null
        ? [{ kind: 'snapshot' }, ...greeting, { kind: 'position', position: '10' }]
        : [{ kind: 'position', position: after }],
    /** Instead of these, lines for whoever asks with that credential. */
    linesFor: undefined as
      | ((asked: { readonly authorization: string | undefined }) => readonly object[])
      | undefined,
    /** Bodies of the status reports, each with the credential it came with. */
    // biome-ignore lint/suspicious/noExplicitAny: tests look into reports field by field.
    reports: [] as any[],
    connections: [] as { res: ServerResponse; after: string | null; authorization: string | undefined }[],
  };
  const { url, server, sockets } = await serve(t, (req, res) => {
    if (req.url === '/proxy/v1/status') {
      void readAll(req).then((body) => {
        const { authorization } = req.headers;
        stage.reports.push({ ...JSON.parse(body.toString('utf8')), authorization });
        res.writeHead(204).end();
        events.emit('report');
      });
      return;
    }
    const after = new URL(req.url ?? '', 'http://x').searchParams.get('after');
    stage.connections.push({ res, after, authorization: req.headers.authorization });
    res.writeHead(stage.status, { 'content-type': 'application/x-ndjson' });
    if (stage.status !== 200) res.end();
    else
      for (const line of stage.linesFor?.({ authorization: req.headers.authorization }) ?? stage.lines(after))
        res.write(`${JSON.stringify(line)}\n`);
    events.emit('connection');
  });
  const send = (...lines: object[]) => {
    for (const line of lines) stage.connections.at(-1)?.res.write(`${JSON.stringify(line)}\n`);
  };
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
  return { url, server, sockets, stage, send, connected, reported };
};

export const token = 'proxy-token-0123456789';

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
        serverToken: token,
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
    stateFile: join(proxy.config.stateDir, 'mail', 'verdicts'),
  };
};

/** A proxy of any instances. */
export const openProxyOf = async (t: TestContext, settings: object, deps: Partial<ProxyDeps> = {}) => {
  const recorded = recordingLog();
  const config = parseProxyConfig(settings);
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
  const feed = await openFeed(t, greeting);
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
