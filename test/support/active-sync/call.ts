/**
 * What a command of the back end is given and what it answers. Imported by commands.ts, ping.ts and sync.ts.
 */
import type { Mailbox, Partnership } from './mailbox.ts';
import type { ReadLine } from './query.ts';
import type { ReadElement } from './read-wbxml.ts';
import type { Waiting } from './waiting.ts';
import { type Element, element } from './wbxml.ts';

export interface Call {
  readonly line: ReadLine;
  /** Null when the request had no body, which repeats the last Ping or Sync. */
  readonly body: ReadElement | null;
  readonly mailbox: Mailbox;
  readonly partnership: Partnership;
  readonly waiting: Waiting;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  readonly newPolicyKey: () => number;
}

/** A document, an answer without a body (which means success), or nothing because nobody is there. */
export type Reply = Element | 'empty' | 'left';

export type Command = (call: Call) => Reply | Promise<Reply>;

/** Namespace of the root element of each command; also its own name unless it says otherwise. */
export const namespaces: Readonly<Record<string, string>> = {
  Sync: 'AirSync',
  FolderSync: 'FolderHierarchy',
  Ping: 'Ping',
  Provision: 'Provision',
  Settings: 'Settings',
  ItemOperations: 'ItemOperations',
  SendMail: 'ComposeMail',
};

/** The answer to `command` that says nothing but a status. */
export const onlyStatus = (command: string, status: number, ...more: Element[]): Element =>
  element(
    `${namespaces[command]}:${command}`,
    element(`${namespaces[command]}:Status`, String(status)),
    ...more,
  );
