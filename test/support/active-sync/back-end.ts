/**
 * An ActiveSync server on loopback that speaks WBXML, keeps mailboxes, refuses what Exchange refuses, and records what it
 * was asked. Started by tests; its commands are in commands.ts.
 *
 * It has no clock and keeps no mail: heartbeats end when the test says so, and of what is sent only a digest stays.
 * Source: MS-ASHTTP 2.2.2 (answers), 3.1.5; MS-ASCMD 2.2.2 (common statuses).
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TLSSocket } from 'node:tls';
import { namespaces, onlyStatus, type Reply } from './call.ts';
import { commands } from './commands.ts';
import { folderOf, type Mail, type Mailbox, openMailbox, partnershipOf } from './mailbox.ts';
import { type ReadLine, readLine } from './query.ts';
import { decode, type Look, type ReadElement } from './read-wbxml.ts';
import { openWaiting, type Waiting } from './waiting.ts';
import { encode, encodedLength, WbxmlError } from './wbxml.ts';

/** One command that was understood, as it arrived. */
export interface Received extends ReadLine {
  /** Whom the credential names; servers ignore the user of the query. */
  readonly user: string;
  readonly body: ReadElement | null;
  /** Subject of the certificate that the client showed, if any. */
  readonly certificate: string | null;
}

export interface BackEndSettings {
  /** User name → password. */
  readonly users: Readonly<Record<string, string>>;
  /** Is shown each piece of opaque content that arrives. */
  readonly look?: Look;
  /** Serves over TLS with these; `requestCert` and `ca` ask clients for a certificate. */
  readonly tls?: Pick<ServerOptions, 'cert' | 'key' | 'ca' | 'requestCert' | 'rejectUnauthorized'>;
}

export interface BackEnd extends Pick<Waiting, 'endHeartbeats' | 'held' | 'untilHeld'> {
  readonly url: string;
  readonly received: Received[];
  readonly mailbox: (user: string) => Mailbox;
  /** Puts a mail into the user's inbox; whoever waits for it is told. */
  readonly deliver: (user: string, mail: Mail) => void;
  readonly stop: () => Promise<void>;
}

const path = '/microsoft-server-activesync';
const contentType = 'application/vnd.ms-sync.wbxml';
const versions = ['12.1', '14.0', '14.1', '16.0', '16.1'];

/** What every request is handled with. */
interface Parts {
  readonly mailboxes: ReadonlyMap<string, Mailbox>;
  readonly waiting: Waiting;
  readonly received: Received[];
  readonly newPolicyKey: () => number;
  readonly look: Look;
}

/** Starts one on a free port of loopback. */
export const startBackEnd = async ({ users, tls, look = () => {} }: BackEndSettings): Promise<BackEnd> => {
  const mailboxes = new Map(
    Object.entries(users).map(([user, password]) => [user, openMailbox(user, password)]),
  );
  const waiting = openWaiting();
  const received: Received[] = [];
  let policyKey = 1_000_000_000;
  const newPolicyKey = () => {
    policyKey += 7;
    return policyKey;
  };
  const parts: Parts = { mailboxes, waiting, received, newPolicyKey, look };
  const listener = (req: IncomingMessage, res: ServerResponse) => {
    handle(parts, req, res).catch((error: unknown) => {
      if (error instanceof WbxmlError) res.writeHead(400).end();
      else res.destroy(error as Error);
    });
  };
  const server: Server =
    tls === undefined
      ? createServer({ requestTimeout: 0 }, listener)
      : createTlsServer({ requestTimeout: 0, ...tls }, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const mailbox = (user: string): Mailbox => {
    const found = mailboxes.get(user);
    if (found === undefined) throw new Error(`there is no mailbox of ${user}`);
    return found;
  };
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    received,
    mailbox,
    ...waiting,
    deliver: (user, mail) => {
      folderOf(mailbox(user), '1')?.changes.push({ kind: 'Add', serverId: mail.serverId, mail, by: null });
      waiting.poke();
    },
    stop: async () => {
      server.closeAllConnections();
      server.close();
      if (server.listening) await once(server, 'close');
    },
  };
};

const handle = async (parts: Parts, req: IncomingMessage, res: ServerResponse): Promise<void> => {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  req.on('error', () => {});
  const url = req.url ?? '';
  const mark = url.includes('?') ? url.lastIndexOf('?') : url.length;
  if (url.slice(0, mark).toLowerCase() !== path) return end(req, res, 404);
  const mailbox = authenticate(parts, req.headers.authorization);
  if (mailbox === null)
    return end(req, res, 401, { 'www-authenticate': ['Negotiate', 'NTLM', 'Basic realm="mail.internal"'] });
  if (req.method === 'OPTIONS') return end(req, res, 200, abilities);
  if (req.method !== 'POST') return end(req, res, 501);
  if (mailbox.movedTo !== null) return end(req, res, 451, { 'x-ms-location': mailbox.movedTo });
  const line = readLine(url.slice(mark + 1), req.headers);
  if (line === null || !versions.includes(line.version)) return end(req, res, 400);
  const body = await decode(req, parts.look);
  parts.received.push({ ...line, user: mailbox.user, body, certificate: subjectOf(req) });
  const reply = await run(parts, mailbox, line, body, gone.signal);
  if (typeof reply === 'number') return end(req, res, reply);
  await send(res, reply);
};

const abilities = {
  'ms-asprotocolversions': versions.join(','),
  'ms-asprotocolcommands': [...commands.keys()].join(','),
  'ms-server-activesync': '15.2',
  public: 'OPTIONS, POST',
  allow: 'OPTIONS, POST',
};

const end = (
  req: IncomingMessage,
  res: ServerResponse,
  status: number,
  headers: Record<string, string | string[]> = {},
): void => {
  req.resume();
  res.writeHead(status, { 'content-length': 0, ...headers }).end();
};

/** Basic only. A name may have a domain on either side, as Exchange takes it. */
const authenticate = ({ mailboxes }: Parts, header: string | undefined): Mailbox | null => {
  const value = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(header ?? '')?.[1];
  if (value === undefined) return null;
  const pair = Buffer.from(value, 'base64').toString('utf8');
  const [name = '', ...password] = pair.split(':');
  const bare = name.toLowerCase().replace(/^.*\\/, '').replace(/@.*$/, '');
  const mailbox = mailboxes.get(bare);
  return mailbox?.password === password.join(':') ? mailbox : null;
};

const subjectOf = ({ socket }: IncomingMessage): string | null =>
  socket instanceof TLSSocket ? (socket.getPeerX509Certificate()?.subject ?? null) : null;

/** Runs what the body says, as servers were seen to do; the query counts only where there is no body. */
const run = async (
  { waiting, newPolicyKey }: Parts,
  mailbox: Mailbox,
  line: ReadLine,
  body: ReadElement | null,
  signal: AbortSignal,
): Promise<Reply | number> => {
  const name = body === null ? line.command : (body.name.split(':')[1] ?? '');
  const command = commands.get(name);
  if (command === undefined || (body !== null && body.name !== `${namespaces[name]}:${name}`)) return 501;
  const partnership = partnershipOf(mailbox, line.deviceId);
  const refused = name === 'Provision' ? null : policyStatus(line.policyKey, partnership);
  // MS-ASHTTP 2.2.2.1.1: up to 12.1 the need for a policy is an HTTP status.
  if (refused !== null) return Number(line.version) < 14 ? 449 : onlyStatus(name, refused);
  return command({ line, body, mailbox, partnership, waiting, signal, newPolicyKey });
};

/**
 * MS-ASCMD 2.2.2: 140 the device must let itself be wiped, 142 it has no policy yet, 143 the policy has changed, 144 its
 * key is not the one it has.
 */
const policyStatus = (
  given: number,
  { policyKey, isPolicyOld, wipe }: ReturnType<typeof partnershipOf>,
): number | null => {
  if (wipe === 'requested') return 140;
  if (given === 0 || policyKey === 0) return 142;
  if (given !== policyKey) return 144;
  return isPolicyOld ? 143 : null;
};

const send = async (res: ServerResponse, reply: Reply): Promise<void> => {
  if (reply === 'left') return void res.destroy();
  if (reply === 'empty') return void res.writeHead(200, { 'content-length': 0 }).end();
  res.writeHead(200, { 'content-type': contentType, 'content-length': await encodedLength(reply) });
  // A client that leaves in the middle is no fault of the server.
  await pipeline(Readable.from(encode(reply)), res).catch(() => {});
};
