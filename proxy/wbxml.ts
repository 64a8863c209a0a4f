/**
 * Peeks at the first tag of a WBXML body, which tells the command that a server will really run whatever `Cmd` says.
 * Called by gate.ts where an exemption depends on the command. Sources: MS-ASWBXML 2.1.2.1 (code pages); WAP-192 5.4 (header).
 */

/** `page << 8 | tag` → command. */
const rootTags = new Map<number, string>([
  [0x0005, 'Sync'],
  [0x0716, 'FolderSync'],
  [0x0713, 'FolderCreate'],
  [0x0714, 'FolderDelete'],
  [0x0715, 'FolderUpdate'],
  [0x0d05, 'Ping'],
  [0x0e05, 'Provision'],
  [0x1205, 'Settings'],
  [0x1405, 'ItemOperations'],
  [0x1505, 'SendMail'],
  [0x1506, 'SmartForward'],
  [0x1507, 'SmartReply'],
]);

/** Bytes that a peek needs at most: four of header, two of page switch, one tag. */
export const peekBytes = 7;

/** The command of the root tag, or null when these are not the first bytes of a WBXML body as ActiveSync has it. */
export const rootCommand = (bytes: Buffer): string | null => {
  // Version 1.3, public id 1, UTF-8 and no string table is the only header that ActiveSync clients send.
  if (bytes.length < 5 || bytes.readUInt32BE(0) !== 0x03016a00) return null;
  const switched = bytes.readUInt8(4) === 0;
  if (switched && bytes.length < peekBytes) return null;
  const page = switched ? bytes.readUInt8(5) : 0;
  const tag = bytes.readUInt8(switched ? 6 : 4) & 0x3f;
  return rootTags.get((page << 8) | tag) ?? null;
};
