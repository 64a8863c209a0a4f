/**
 * Sync: the device's changes in, the server's out, under keys that each side can repeat once; held when asked to wait and
 * there is nothing to say. Registered in commands.ts.
 * Source: MS-ASCMD 2.2.1.21 (Sync), 2.2.3.177.17 (its statuses), 3.1.4.8 (synchronisation keys).
 */
import { type Call, type Command, onlyStatus } from './call.ts';
import { type Change, type Folder, folderOf, type Mail, newsFor, type SyncState } from './mailbox.ts';
import { all, find, type ReadElement, text } from './read-wbxml.ts';
import { type Element, element } from './wbxml.ts';

const defaultWindow = 100;

/** One collection of a request, with what is known of it; `problem` is a status of its own. */
interface Asked {
  readonly id: string;
  readonly folder: Folder | undefined;
  readonly key: number;
  readonly state: SyncState | undefined;
  /** Where the answer begins: further back when the device repeats its last request. */
  readonly from: number;
  readonly window: number;
  readonly commands: readonly ReadElement[];
  readonly problem: number | null;
}

export const sync: Command = async (call) => {
  const request = call.body ?? call.partnership.lastSync;
  if (request === null) return onlyStatus('Sync', 13);
  const wait = readWait(request);
  if (typeof wait === 'object') return onlyStatus('Sync', wait.status, ...wait.more);
  const asked = all(find(request, 'Collections'), 'Collection').map((collection) =>
    readCollection(call, collection),
  );
  if (asked.length === 0) return onlyStatus('Sync', 4);
  call.partnership.lastSync = request;
  for (const collection of asked) obey(call, collection);
  const mustAnswer = asked.some(
    ({ problem, key, commands }) => problem !== null || key === 0 || commands.length > 0,
  );
  if (mustAnswer || hasNews(call, asked)) return answerAll(call, asked);
  if (!wait) return 'empty';
  const found = await call.waiting.hold(call.signal, () => (hasNews(call, asked) ? true : undefined));
  if (found === 'left') return found;
  return found === 'over' ? 'empty' : answerAll(call, asked);
};

/** Whether to wait; how long is the test's affair. Wait is in minutes, HeartbeatInterval in seconds, never both. */
const readWait = (request: ReadElement): boolean | { status: number; more: Element[] } => {
  const minutes = text(request, 'Wait');
  const seconds = text(request, 'HeartbeatInterval');
  if (minutes !== undefined && seconds !== undefined) return { status: 4, more: [] };
  const [value, min, max] =
    minutes === undefined ? [Number(seconds ?? 60), 60, 3_540] : [Number(minutes), 1, 59];
  if (!(value >= min && value <= max))
    return { status: 14, more: [element('AirSync:Limit', String(value < min ? min : max))] };
  return minutes !== undefined || seconds !== undefined;
};

const readCollection = ({ mailbox, partnership, body }: Call, collection: ReadElement): Asked => {
  const id = text(collection, 'CollectionId') ?? '';
  const folder = folderOf(mailbox, id);
  const state = partnership.folders.get(id);
  // A repeated request goes on from where the device is now.
  const key = body === null ? (state?.key ?? 0) : Number(text(collection, 'SyncKey') ?? Number.NaN);
  const isRepeat = state !== undefined && key === state.key - 1 && key > 0;
  const isCurrent = key === 0 || (state !== undefined && key === state.key);
  return {
    id,
    folder,
    key,
    state,
    from: key === 0 ? 0 : isRepeat ? state.before : (state?.at ?? 0),
    window: Number(text(collection, 'WindowSize') ?? defaultWindow),
    commands: (find(collection, 'Commands')?.children ?? []).filter(
      (child): child is ReadElement => typeof child !== 'string' && 'name' in child,
    ),
    problem: folder === undefined ? 8 : isCurrent || isRepeat ? null : 3,
  };
};

/** Does what the device asks of its folder. */
const obey = ({ line, waiting }: Call, { folder, commands, problem }: Asked): void => {
  if (folder === undefined || problem !== null) return;
  for (const command of commands) {
    const serverId = text(command, 'ServerId') ?? '';
    const by = line.deviceId;
    if (command.name === 'AirSync:Delete') folder.changes.push({ kind: 'Delete', serverId, by });
    if (command.name === 'AirSync:Change')
      folder.changes.push({
        kind: 'Change',
        serverId,
        by,
        read: text(command, 'ApplicationData', 'Read') === '1',
      });
  }
  if (commands.length > 0) waiting.poke();
};

const hasNews = ({ line }: Call, asked: readonly Asked[]): boolean =>
  asked.some(
    ({ folder, from, key }) =>
      key !== 0 && folder !== undefined && newsFor(folder, line.deviceId, from).length > 0,
  );

const answerAll = (call: Call, asked: readonly Asked[]): Element =>
  element(
    'AirSync:Sync',
    element('AirSync:Collections', ...asked.map((collection) => answerOne(call, collection))),
  );

const answerOne = ({ line, partnership }: Call, asked: Asked): Element => {
  const { id, folder, problem, key, from, window } = asked;
  const reply = (newKey: number, status: number, ...more: Element[]) =>
    element(
      'AirSync:Collection',
      element('AirSync:SyncKey', String(newKey)),
      element('AirSync:CollectionId', id),
      element('AirSync:Status', String(status)),
      ...more,
    );
  if (problem !== null || folder === undefined) return reply(0, problem ?? 8);
  if (key === 0) {
    partnership.folders.set(id, { key: 1, at: 0, before: 0 });
    return reply(1, 1);
  }
  const news = newsFor(folder, line.deviceId, from);
  const told = news.slice(0, window);
  const last = told.at(-1);
  const at =
    news.length === told.length || last === undefined
      ? folder.changes.length
      : folder.changes.indexOf(last) + 1;
  partnership.folders.set(id, { key: key + 1, at, before: from });
  return reply(
    key + 1,
    1,
    ...(news.length > told.length ? [element('AirSync:MoreAvailable')] : []),
    ...(told.length > 0 ? [element('AirSync:Commands', ...told.map(changeElement))] : []),
  );
};

const changeElement = (change: Change): Element => {
  const id = element('AirSync:ServerId', change.serverId);
  if (change.kind === 'Delete') return element('AirSync:Delete', id);
  const data =
    change.kind === 'Add' ? mailProperties(change.mail) : [element('Email:Read', change.read ? '1' : '0')];
  return element(`AirSync:${change.kind}`, id, element('AirSync:ApplicationData', ...data));
};

/** A mail as Sync tells it: its content has to be fetched. */
const mailProperties = ({ subject, content }: Mail): Element[] => [
  element('Email:Subject', subject),
  element('Email:From', 'sender@example.org'),
  element('Email:Read', '0'),
  element(
    'AirSyncBase:Body',
    element('AirSyncBase:Type', '4'),
    element('AirSyncBase:EstimatedDataSize', String(content().lengthBytes)),
    element('AirSyncBase:Truncated', '1'),
  ),
];
