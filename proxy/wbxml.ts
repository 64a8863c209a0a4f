/**
 * The little WBXML that the gate needs: which command the first tag of a body tells, which is what a server really runs
 * whatever `Cmd` says, and the body of an answer that is nothing but a status. Called by eas-body.ts and answer.ts; pure.
 * Sources: MS-ASWBXML 2.1.2.1 (code pages and their tokens); WAP-192 5.4 (header), 5.8 (global tokens).
 */
import type { EasCommand } from './eas-encoded.ts';

/** Code page, tag of the command's root element, and tag of the Status that stands below it in an answer. */
type Tokens = readonly [page: number, root: number, status: number];

/** Every command with a WBXML body; GetAttachment has none. */
const tokens: Readonly<Partial<Record<EasCommand, Tokens>>> = {
  Sync: [0, 0x05, 0x0e],
  MoveItems: [5, 0x05, 0x0b],
  GetItemEstimate: [6, 0x05, 0x0e],
  FolderSync: [7, 0x16, 0x0c],
  FolderCreate: [7, 0x13, 0x0c],
  FolderDelete: [7, 0x14, 0x0c],
  FolderUpdate: [7, 0x15, 0x0c],
  MeetingResponse: [8, 0x07, 0x0b],
  ResolveRecipients: [10, 0x05, 0x07],
  ValidateCert: [11, 0x05, 0x0a],
  Ping: [13, 0x05, 0x07],
  Provision: [14, 0x05, 0x0b],
  Search: [15, 0x05, 0x0c],
  Settings: [18, 0x05, 0x06],
  ItemOperations: [20, 0x05, 0x0d],
  SendMail: [21, 0x05, 0x12],
  SmartForward: [21, 0x06, 0x12],
  SmartReply: [21, 0x07, 0x12],
  Find: [25, 0x05, 0x0a],
};

/** `page << 8 | tag` → command. */
const commandByTag = new Map(
  Object.entries(tokens).map(([command, [page, root]]) => [(page << 8) | root, command as EasCommand]),
);

const header = [0x03, 0x01, 0x6a, 0x00] as const;
const switchPage = 0x00;
const hasContent = 0x40;

/** Bytes that a peek needs at most: four of header, two page switches, one tag. */
export const peekBytes = 9;

/** The command of the root tag, or null when these are not the first bytes of a WBXML body as ActiveSync has it. */
export const rootCommand = (bytes: Buffer): EasCommand | null => {
  // Version 1.3, public id 1, UTF-8 and no string table is the only header that ActiveSync clients send.
  if (header.some((byte, at) => bytes[at] !== byte)) return null;
  let at = header.length;
  let page = 0;
  for (let switches = 0; bytes[at] === switchPage && switches < 2; switches += 1) {
    page = bytes[at + 1] ?? -1;
    at += 2;
  }
  const tag = bytes[at];
  // The high bit would announce attributes, which ActiveSync does not have.
  if (tag === undefined || tag >= 0x80) return null;
  return commandByTag.get((page << 8) | (tag & 0x3f)) ?? null;
};

/** The answer to `command` that says only `status`; null for a command whose answers are not WBXML. */
export const statusBody = (command: EasCommand, status: number): Buffer | null => {
  const [page, root, tag] = tokens[command] ?? [];
  if (page === undefined || root === undefined || tag === undefined) return null;
  const text = Buffer.from(String(status), 'latin1');
  return Buffer.from([
    ...header,
    ...(page === 0 ? [] : [switchPage, page]),
    root | hasContent,
    tag | hasContent,
    0x03,
    ...text,
    0x00,
    0x01,
    0x01,
  ]);
};
