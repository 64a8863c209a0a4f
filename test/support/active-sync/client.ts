/**
 * An ActiveSync client that speaks WBXML and behaves as phones do: it provisions when it is told to, keeps its keys, and
 * sends its query in either form. Made by tests.
 * Source: MS-ASHTTP 2.2.1 (requests), MS-ASPROV 3.1.5 (Provision in two steps), MS-ASCMD 2.2.1.
 */
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { type AgentOptions, request as httpsRequest, Agent as TlsAgent } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { easPath, type Form, writeLine } from './query.ts';
import { all, decode, find, type Look, type ReadElement, text } from './read-wbxml.ts';
import { type Element, element, encode, encodedLength, type Opaque } from './wbxml.ts';

export interface ClientSettings {
  /** Origin of the server, or all of its ActiveSync URL where the path is not the usual one. */
  readonly url: string;
  readonly user: string;
  readonly password: string;
  /** Upper case; 32 hexadecimal digits travel as 16 bytes in the encoded form. */
  readonly deviceId: string;
  readonly form: Form;
  /** 14.1 when not given. */
  readonly version?: string;
  /** False: a connection for each request, for servers that end it without a word. True when not given. */
  readonly keepsConnections?: boolean;
  /** Whom to trust, and the certificate to show. */
  readonly tls?: Pick<AgentOptions, 'ca' | 'cert' | 'key'>;
}

/** What came back; `body` is null when there was none, which is an answer of its own in ActiveSync. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: ReadElement | null;
}

/** How one request is to differ from an ordinary one. */
export interface Manner {
  readonly signal?: AbortSignal;
  /** Sends the body in chunks instead of announcing its length. */
  readonly isChunked?: boolean;
  /** Is shown each piece of opaque content that is received. */
  readonly look?: Look;
}

/** How Provision ended. */
export type Provisioned = 'provisioned' | 'no policy' | 'wiped';

export interface Client {
  readonly options: (hasCredential?: boolean) => Promise<Answer>;
  /**
   * Both steps of Provision; the first alone when the server has no policy. Says `wiped` when the server ordered a wipe
   * and this device obeyed.
   */
  readonly provision: () => Promise<Provisioned>;
  readonly folderSync: () => Promise<Answer>;
  /** Synchronises a folder, from the start when it never did. `wait` holds the request. */
  readonly sync: (folderId: string, how?: SyncManner) => Promise<Answer>;
  /** Null repeats the last Ping by an empty body. */
  readonly ping: (folderIds: readonly string[] | null, manner?: Manner) => Promise<Answer>;
  readonly sendMail: (clientId: string, mime: Opaque, manner?: Manner) => Promise<Answer>;
  readonly fetch: (folderId: string, serverId: string, manner?: Manner) => Promise<Answer>;
  readonly settings: () => Promise<Answer>;
  /** Any command, with no regard for what the answer says. */
  readonly exchange: (command: string, root: Element | null, manner?: Manner) => Promise<Answer>;
  readonly close: () => void;
}

export interface SyncManner extends Manner {
  readonly commands?: readonly Element[];
  readonly wait?: Element;
  /** Instead of the key that the client has. */
  readonly key?: string;
}

/** What the client remembers. */
interface Memory {
  policyKey: number;
  folderKey: string;
  readonly syncKeys: Map<string, string>;
}

type Exchange = Client['exchange'];

/** A client without a policy; it makes connections when it needs them. */
export const openClient = (settings: ClientSettings): Client => {
  const memory: Memory = { policyKey: 0, folderKey: '0', syncKeys: new Map() };
  const agent = new (settings.url.startsWith('https:') ? TlsAgent : Agent)({
    keepAlive: settings.keepsConnections ?? true,
    ...settings.tls,
  });
  const exchange: Exchange = (command, root, manner = {}) =>
    post(settings, agent, memory.policyKey, command, root, manner);
  const provision = () => provisionBy(exchange, memory, settings);
  const ask = obedient(exchange, provision);
  return {
    exchange,
    provision,
    options: (hasCredential = true) => dial(settings, agent, optionsOf(settings, hasCredential), null, {}),
    folderSync: async () => {
      const key = element('FolderHierarchy:SyncKey', memory.folderKey);
      const answer = await ask('FolderSync', element('FolderHierarchy:FolderSync', key));
      memory.folderKey = text(answer.body, 'SyncKey') ?? memory.folderKey;
      return answer;
    },
    sync: (folderId, how = {}) => syncBy(ask, memory, folderId, how),
    ping: (folderIds, manner) => ask('Ping', folderIds === null ? null : pingOf(folderIds), manner),
    sendMail: (clientId, mime, manner) => ask('SendMail', mailOf(clientId, mime), manner),
    fetch: (folderId, serverId, manner) => ask('ItemOperations', fetchOf(folderId, serverId), manner),
    settings: () => ask('Settings', element('Settings:Settings', informationOf(settings))),
    close: () => agent.destroy(),
  };
};

/** Statuses that ask for Provision before anything else (MS-ASCMD 2.2.2), and their HTTP equivalent of old versions. */
const wantsProvision = ({ status, body }: Answer): boolean =>
  status === 449 || ['140', '142', '143', '144'].includes(text(body, 'Status') ?? '');

/** Asks again once after Provision, as phones do; a device that has wiped itself asks no more. */
const obedient =
  (exchange: Exchange, provision: Client['provision']): Exchange =>
  async (command, root, manner) => {
    const answer = await exchange(command, root, manner);
    if (!wantsProvision(answer) || (await provision()) === 'wiped') return answer;
    return exchange(command, root, manner);
  };

const informationOf = ({ deviceId }: ClientSettings): Element =>
  element(
    'Settings:DeviceInformation',
    element(
      'Settings:Set',
      element('Settings:Model', 'iPhone14C2'),
      element('Settings:FriendlyName', `Phone ${deviceId.slice(0, 4)}`),
      element('Settings:OS', 'iOS 26.1'),
    ),
  );

const policyOf = (...more: Element[]): Element =>
  element(
    'Provision:Policies',
    element('Provision:Policy', element('Provision:PolicyType', 'MS-EAS-Provisioning-WBXML'), ...more),
  );

const provisionBy = async (
  exchange: Exchange,
  memory: Memory,
  settings: ClientSettings,
): Promise<Provisioned> => {
  memory.policyKey = 0;
  const offer = await exchange(
    'Provision',
    element('Provision:Provision', informationOf(settings), policyOf()),
  );
  if (find(offer.body, 'RemoteWipe') !== undefined) {
    const obeyed = element('Provision:RemoteWipe', element('Provision:Status', '1'));
    await exchange('Provision', element('Provision:Provision', obeyed));
    return 'wiped';
  }
  // MS-ASPROV 2.2.2.54.2: 2 is that there is no policy for this client, and then there is nothing to acknowledge.
  if (text(offer.body, 'Policies', 'Policy', 'Status') === '2') return 'no policy';
  memory.policyKey = keyIn(offer);
  const key = element('Provision:PolicyKey', String(memory.policyKey));
  const acknowledged = await exchange(
    'Provision',
    element('Provision:Provision', policyOf(key, element('Provision:Status', '1'))),
  );
  memory.policyKey = keyIn(acknowledged);
  return 'provisioned';
};

const keyIn = ({ status, body }: Answer): number => {
  const key = text(body, 'Policies', 'Policy', 'PolicyKey');
  if (key === undefined)
    throw new Error(`Provision was answered ${status} without a policy key: ${JSON.stringify(body)}`);
  return Number(key);
};

const syncBy = async (
  ask: Exchange,
  memory: Memory,
  folderId: string,
  { commands = [], wait, key, ...manner }: SyncManner,
): Promise<Answer> => {
  const used = key ?? memory.syncKeys.get(folderId) ?? '0';
  const answer = await ask('Sync', syncOf(folderId, used, commands, wait), manner);
  const collection = all(find(answer.body, 'Collections'), 'Collection')[0];
  const next = text(collection, 'SyncKey');
  if (next !== undefined) memory.syncKeys.set(folderId, next);
  return answer;
};

const syncOf = (folderId: string, key: string, commands: readonly Element[], wait?: Element): Element =>
  element(
    'AirSync:Sync',
    element(
      'AirSync:Collections',
      element(
        'AirSync:Collection',
        element('AirSync:SyncKey', key),
        element('AirSync:CollectionId', folderId),
        // MS-ASCMD 2.2.3.79: implied by any key but 0, with which it is not allowed; some servers want to read it.
        ...(key === '0' ? [] : [element('AirSync:GetChanges')]),
        ...(commands.length > 0 ? [element('AirSync:Commands', ...commands)] : []),
      ),
    ),
    ...(wait === undefined ? [] : [wait]),
  );

const pingOf = (folderIds: readonly string[]): Element =>
  element(
    'Ping:Ping',
    element('Ping:HeartbeatInterval', '3540'),
    element(
      'Ping:Folders',
      ...folderIds.map((id) =>
        element('Ping:Folder', element('Ping:Id', id), element('Ping:Class', 'Email')),
      ),
    ),
  );

const mailOf = (clientId: string, mime: Opaque): Element =>
  element(
    'ComposeMail:SendMail',
    element('ComposeMail:ClientId', clientId),
    element('ComposeMail:SaveInSentItems'),
    element('ComposeMail:Mime', mime),
  );

const fetchOf = (folderId: string, serverId: string): Element =>
  element(
    'ItemOperations:ItemOperations',
    element(
      'ItemOperations:Fetch',
      element('ItemOperations:Store', 'Mailbox'),
      element('AirSync:CollectionId', folderId),
      element('AirSync:ServerId', serverId),
      element(
        'ItemOperations:Options',
        element('AirSyncBase:BodyPreference', element('AirSyncBase:Type', '4')),
      ),
    ),
  );

/** What goes on the wire before the body. */
interface Head {
  readonly method: 'POST' | 'OPTIONS';
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
}

const authorization = ({ user, password }: ClientSettings): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
  'user-agent': 'Apple-iPhone14C2/2301.55',
});

const optionsOf = (settings: ClientSettings, hasCredential: boolean): Head => ({
  method: 'OPTIONS',
  target: easPath,
  headers: hasCredential ? authorization(settings) : {},
});

const post = async (
  settings: ClientSettings,
  agent: Agent,
  policyKey: number,
  command: string,
  root: Element | null,
  manner: Manner,
): Promise<Answer> => {
  const { user, deviceId, form, version = '14.1' } = settings;
  const line = { command, user, deviceId, deviceType: 'iPhone', version, policyKey };
  const { target, headers } = writeLine(form, line);
  const framing: Record<string, string> =
    root !== null && manner.isChunked
      ? { 'transfer-encoding': 'chunked' }
      : { 'content-length': String(root === null ? 0 : await encodedLength(root)) };
  const type: Record<string, string> =
    root === null ? {} : { 'content-type': 'application/vnd.ms-sync.wbxml' };
  const all = { ...authorization(settings), ...headers, ...framing, ...type };
  return dial(settings, agent, { method: 'POST', target, headers: all }, root, manner);
};

/** Sends one request and reads the answer, both as they come. */
const dial = async (
  { url }: ClientSettings,
  agent: Agent,
  { method, target, headers }: Head,
  root: Element | null,
  { signal, look }: Manner,
): Promise<Answer> => {
  const send = url.startsWith('https:') ? httpsRequest : httpRequest;
  const { origin, pathname } = new URL(url);
  const req = send(origin + (pathname === '/' ? target : target.replace(easPath, pathname)), {
    method,
    agent,
    headers,
    ...(signal ? { signal } : {}),
  });
  const answered = once(req, 'response') as Promise<[IncomingMessage]>;
  if (root === null) req.end();
  // Whoever answers early may stop reading: the answer says why, not the broken pipe.
  else void pipeline(Readable.from(encode(root)), req).catch(() => {});
  const [res] = await answered;
  const isDocument = res.headers['content-type'] === 'application/vnd.ms-sync.wbxml';
  const body = isDocument ? await decode(res, look) : null;
  if (!isDocument) for await (const _ of res);
  return { status: res.statusCode ?? 0, headers: res.headers, body };
};
