/**
 * What the back end keeps for a user: folders with their changes, mails that were sent (as digests), and for each device
 * its policy key and how far it has synchronised. Used by back-end.ts and commands.ts; tests look into it.
 */

import type { Digest, ReadElement } from './read-wbxml.ts';
import type { Opaque } from './wbxml.ts';

/** A mail in a folder; its content is made anew each time it is fetched. */
export interface Mail {
  readonly serverId: string;
  readonly subject: string;
  readonly content: () => Opaque;
}

/** One thing that happened in a folder. */
export type Change = {
  /** The device that caused it, which is not told again. */
  readonly by: string | null;
  readonly serverId: string;
} & (
  | { readonly kind: 'Add'; readonly mail: Mail }
  | { readonly kind: 'Change'; readonly read: boolean }
  | { readonly kind: 'Delete' }
);

export interface Folder {
  readonly serverId: string;
  readonly name: string;
  /** 2 Inbox, 3 Drafts, 5 Sent (MS-ASCMD 2.2.3.186.2). */
  readonly type: number;
  readonly changes: Change[];
}

/** How far a device has synchronised a folder: the answer to `key` began at `at`, that to the key before at `before`. */
export interface SyncState {
  readonly key: number;
  readonly at: number;
  readonly before: number;
}

/** A device of the user, as the server knows it. */
export interface Partnership {
  /** The key that it has acknowledged; 0 is none. */
  policyKey: number;
  /** The key that it was offered. */
  offeredKey: number;
  /** Whether the policy has changed since it was acknowledged. */
  isPolicyOld: boolean;
  wipe: 'none' | 'requested' | 'acknowledged';
  folderKey: number;
  readonly folders: Map<string, SyncState>;
  /** For empty requests, which repeat these. */
  lastPing: ReadElement | null;
  lastSync: ReadElement | null;
  information: Readonly<Record<string, string>>;
}

export interface SentMail extends Digest {
  readonly clientId: string | null;
  readonly isSaved: boolean;
}

export interface Mailbox {
  readonly user: string;
  readonly password: string;
  readonly folders: Folder[];
  readonly sent: SentMail[];
  readonly partnerships: Map<string, Partnership>;
  /** Another server that this mailbox is on now. */
  movedTo: string | null;
}

/** An empty mailbox with the folders that every user has. */
export const openMailbox = (user: string, password: string): Mailbox => ({
  user,
  password,
  folders: [
    { serverId: '1', name: 'Inbox', type: 2, changes: [] },
    { serverId: '2', name: 'Drafts', type: 3, changes: [] },
    { serverId: '3', name: 'Sent Items', type: 5, changes: [] },
  ],
  sent: [],
  partnerships: new Map(),
  movedTo: null,
});

/** The partnership with a device, begun when there is none. */
export const partnershipOf = ({ partnerships }: Mailbox, deviceId: string): Partnership => {
  const found = partnerships.get(deviceId);
  if (found !== undefined) return found;
  const begun: Partnership = {
    policyKey: 0,
    offeredKey: 0,
    isPolicyOld: false,
    wipe: 'none',
    folderKey: 0,
    folders: new Map(),
    lastPing: null,
    lastSync: null,
    information: {},
  };
  partnerships.set(deviceId, begun);
  return begun;
};

export const folderOf = ({ folders }: Mailbox, serverId: string | undefined): Folder | undefined =>
  folders.find((folder) => folder.serverId === serverId);

/** The mail as it stands in its folder, undefined when it never was there or was deleted. */
export const mailOf = (folder: Folder | undefined, serverId: string | undefined): Mail | undefined => {
  const own = (folder?.changes ?? []).filter((change) => change.serverId === serverId);
  if (own.some(({ kind }) => kind === 'Delete')) return undefined;
  return own.flatMap((change) => (change.kind === 'Add' ? [change.mail] : []))[0];
};

/** What a device that has synchronised up to `at` has not been told. */
export const newsFor = (folder: Folder, deviceId: string, at: number): readonly Change[] =>
  folder.changes.slice(at).filter(({ by }) => by !== deviceId);
