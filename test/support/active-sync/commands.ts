/**
 * The commands of the back end, by name. Called by back-end.ts once the user is known; ping.ts and sync.ts have files of
 * their own. Source: MS-ASCMD 2.2.1.8 (FolderSync), 2.2.1.10 (ItemOperations), 2.2.1.17 (SendMail), 2.2.1.18 (Settings);
 * MS-ASPROV 2.2 and 3.1.5 (Provision).
 */
import { type Call, type Command, onlyStatus } from './call.ts';
import { folderOf, mailOf } from './mailbox.ts';
import { ping } from './ping.ts';
import { all, digest, find, type ReadElement, text } from './read-wbxml.ts';
import { sync } from './sync.ts';
import { type Element, element } from './wbxml.ts';

const policyType = 'MS-EAS-Provisioning-WBXML';

/** First the policy is offered, then its acknowledgement gives the key that counts; a wipe comes before either. */
const provision: Command = (call) => {
  const { body, partnership, line } = call;
  if (partnership.wipe !== 'none') return wipe(call);
  const information = find(body, 'DeviceInformation', 'Set');
  if (information !== undefined) partnership.information = informationOf(information);
  const policy = find(body, 'Policies', 'Policy');
  if (text(policy, 'PolicyType') !== policyType) return onlyStatus('Provision', 2);
  const acknowledged = text(policy, 'Status');
  if (acknowledged !== undefined) return acknowledge(call, Number(text(policy, 'PolicyKey')), acknowledged);
  // MS-ASPROV 3.1.5.1: from 14.1 on the first request says what device it is.
  if (Number(line.version) >= 14.1 && information === undefined) return onlyStatus('Provision', 165);
  partnership.offeredKey = call.newPolicyKey();
  return policyAnswer(
    1,
    keyElement(partnership.offeredKey),
    element(
      'Provision:Data',
      element('Provision:EASProvisionDoc', element('Provision:DevicePasswordEnabled', '1')),
    ),
  );
};

const acknowledge = (call: Call, key: number, status: string): Element => {
  const { partnership, newPolicyKey } = call;
  if (key !== partnership.offeredKey || key === 0) return policyAnswer(5);
  if (status !== '1') return policyAnswer(1);
  partnership.offeredKey = 0;
  partnership.isPolicyOld = false;
  partnership.policyKey = newPolicyKey();
  return policyAnswer(1, keyElement(partnership.policyKey));
};

/** The answer about the policy, with its own status below that of the command. */
const policyAnswer = (status: number, ...more: Element[]): Element =>
  onlyStatus(
    'Provision',
    1,
    element(
      'Provision:Policies',
      element(
        'Provision:Policy',
        element('Provision:PolicyType', policyType),
        element('Provision:Status', String(status)),
        ...more,
      ),
    ),
  );

const keyElement = (key: number): Element => element('Provision:PolicyKey', String(key));

/** The order to wipe stands until the device says that it does. */
const wipe = ({ body, partnership }: Call): Element => {
  if (text(body, 'RemoteWipe', 'Status') === '1') {
    partnership.wipe = 'acknowledged';
    return onlyStatus('Provision', 1);
  }
  return onlyStatus('Provision', 1, element('Provision:RemoteWipe'));
};

const informationOf = (set: ReadElement): Record<string, string> =>
  Object.fromEntries(
    set.children
      .filter((child): child is ReadElement => typeof child !== 'string' && 'name' in child)
      .map((child) => [child.name, text(child) ?? '']),
  );

const settings: Command = ({ body, partnership }) => {
  const information = find(body, 'DeviceInformation', 'Set');
  if (information === undefined) return onlyStatus('Settings', 2);
  partnership.information = informationOf(information);
  return onlyStatus('Settings', 1, element('Settings:DeviceInformation', element('Settings:Status', '1')));
};

const folderSync: Command = ({ body, partnership, mailbox }) => {
  const key = Number(text(body, 'SyncKey') ?? Number.NaN);
  if (Number.isNaN(key)) return onlyStatus('FolderSync', 10);
  if (key !== 0 && key !== partnership.folderKey) return onlyStatus('FolderSync', 9);
  const told = key === 0 ? mailbox.folders : [];
  partnership.folderKey = 1;
  return onlyStatus(
    'FolderSync',
    1,
    element('FolderHierarchy:SyncKey', '1'),
    element(
      'FolderHierarchy:Changes',
      element('FolderHierarchy:Count', String(told.length)),
      ...told.map(({ serverId, name, type }) =>
        element(
          'FolderHierarchy:Add',
          element('FolderHierarchy:ServerId', serverId),
          element('FolderHierarchy:ParentId', '0'),
          element('FolderHierarchy:DisplayName', name),
          element('FolderHierarchy:Type', String(type)),
        ),
      ),
    ),
  );
};

const sendMail: Command = ({ body, mailbox }) => {
  const clientId = text(body, 'ClientId') ?? null;
  const mime = digest(body, 'Mime');
  if (clientId === null || mime === undefined) return onlyStatus('SendMail', 103);
  if (mailbox.sent.some((mail) => mail.clientId === clientId)) return onlyStatus('SendMail', 118);
  mailbox.sent.push({ ...mime, clientId, isSaved: find(body, 'SaveInSentItems') !== undefined });
  return 'empty';
};

const itemOperations: Command = ({ body, mailbox }) => {
  const fetches = all(body, 'Fetch');
  if (fetches.length === 0) return onlyStatus('ItemOperations', 2);
  return onlyStatus(
    'ItemOperations',
    1,
    element('ItemOperations:Response', ...fetches.map((one) => fetched(mailbox, one))),
  );
};

const fetched = (mailbox: Call['mailbox'], fetch: ReadElement): Element => {
  const [collectionId, serverId] = [text(fetch, 'CollectionId') ?? '', text(fetch, 'ServerId') ?? ''];
  const mail = mailOf(folderOf(mailbox, collectionId), serverId);
  const status = (code: number) => element('ItemOperations:Status', String(code));
  if (mail === undefined) return element('ItemOperations:Fetch', status(6));
  const content = mail.content();
  return element(
    'ItemOperations:Fetch',
    status(1),
    element('AirSync:CollectionId', collectionId),
    element('AirSync:ServerId', serverId),
    element(
      'ItemOperations:Properties',
      element('Email:Subject', mail.subject),
      element(
        'AirSyncBase:Body',
        element('AirSyncBase:Type', '4'),
        element('AirSyncBase:EstimatedDataSize', String(content.lengthBytes)),
        element('AirSyncBase:Data', content),
      ),
    ),
  );
};

/** Every command that this back end knows; others are refused as unknown. */
export const commands: ReadonlyMap<string, Command> = new Map(
  Object.entries({
    Provision: provision,
    Settings: settings,
    FolderSync: folderSync,
    Sync: sync,
    Ping: ping,
    SendMail: sendMail,
    ItemOperations: itemOperations,
  }),
);
