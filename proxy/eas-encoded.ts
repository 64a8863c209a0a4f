/**
 * The base64-encoded query of ActiveSync 12.1 and later, field by field with every length checked before it is used.
 * Called by eas.ts; pure. Source: MS-ASHTTP 2.2.1.1.1.1 (fields), 2.2.1.1.1.1.2 (command codes), 2.2.1.1.1.1.3 (parameters).
 */

const commandCodes = {
  Sync: 0,
  SendMail: 1,
  SmartForward: 2,
  SmartReply: 3,
  GetAttachment: 4,
  FolderSync: 9,
  FolderCreate: 10,
  FolderDelete: 11,
  FolderUpdate: 12,
  MoveItems: 13,
  GetItemEstimate: 14,
  MeetingResponse: 15,
  Search: 16,
  Settings: 17,
  Ping: 18,
  ItemOperations: 19,
  Provision: 20,
  ResolveRecipients: 21,
  ValidateCert: 22,
  Find: 23,
} as const;

/** An ActiveSync command that is served. */
export type EasCommand = keyof typeof commandCodes;

const commands = Object.keys(commandCodes) as EasCommand[];
const commandByCode = new Map(commands.map((command) => [commandCodes[command] as number, command]));
const commandByName = new Map(commands.map((command) => [command.toLowerCase(), command]));

/** The command of a plain `Cmd` value, without regard to case; undefined when it is not served. */
export const easCommand = (text: string): EasCommand | undefined => commandByName.get(text.toLowerCase());

/** The fields that matter of an encoded query; `query` is the same bytes in the one canonical base64 spelling. */
export interface EncodedQuery {
  /** Protocol version times ten: 121, 140, 141, 160 or 161. */
  readonly version: number;
  readonly command: EasCommand;
  readonly deviceId: Buffer;
  readonly deviceType: string;
  readonly queryUser: string | null;
  readonly query: string;
}

const versions = new Set([121, 140, 141, 160, 161]);
const parameterTags = new Set([0, 1, 3, 4, 6, 7, 8]);
const userTag = 8;

/** Reads an encoded query; a string says what is wrong. Never throws. */
export const readEncodedQuery = (query: string): EncodedQuery | string => {
  const bytes = Buffer.from(query, 'base64');
  // Node ignores what it cannot decode and stray trailing bits; only text that encodes back to itself is base64.
  if (bytes.toString('base64').replace(/=+$/, '') !== query.replace(/=+$/, ''))
    return 'the query is not base64';
  const padding = query.length - query.replace(/=+$/, '').length;
  if (padding !== 0 && query.length % 4 !== 0) return 'the base64 padding is wrong';
  return readFields(bytes);
};

const readFields = (bytes: Buffer): EncodedQuery | string => {
  if (bytes.length < 4) return 'the encoded query is truncated';
  if (!versions.has(bytes.readUInt8(0))) return 'the protocol version is unknown';
  const command = commandByCode.get(bytes.readUInt8(1));
  if (command === undefined) return 'the command code is unknown';
  const deviceId = readField(bytes, 4);
  const policyKey = deviceId && readField(bytes, deviceId.end);
  const deviceType = policyKey && readField(bytes, policyKey.end);
  if (!deviceId || !policyKey || !deviceType) return 'the encoded query is truncated';
  if (!isIdBytes(deviceId.value)) return 'the device id is not a device id';
  if (policyKey.value.length !== 0 && policyKey.value.length !== 4)
    return 'the policy key is neither empty nor four bytes';
  const type = deviceType.value.toString('latin1');
  if (!/^[\x20-\x7e]*$/.test(type)) return 'the device type is not ASCII';
  const parameters = readParameters(bytes, deviceType.end);
  if (typeof parameters === 'string') return parameters;
  const user = parameters.get(userTag)?.toString('utf8') ?? null;
  return {
    version: bytes.readUInt8(0),
    command,
    deviceId: deviceId.value,
    deviceType: type,
    queryUser: user,
    query: bytes.toString('base64'),
  };
};

/** One length-prefixed field at `at`, or undefined when the bytes end before it does. */
const readField = (bytes: Buffer, at: number): { value: Buffer; end: number } | undefined => {
  if (at >= bytes.length) return undefined;
  const end = at + 1 + bytes.readUInt8(at);
  return end <= bytes.length ? { value: bytes.subarray(at + 1, end), end } : undefined;
};

/** Sixteen bytes of anything, or text of the characters that the plain form admits. */
const isIdBytes = (value: Buffer): boolean =>
  value.length === 16 || /^[A-Za-z0-9._~-]{1,64}$/.test(value.toString('latin1'));

const readParameters = (bytes: Buffer, start: number): Map<number, Buffer> | string => {
  const found = new Map<number, Buffer>();
  for (let at = start; at < bytes.length; ) {
    const tag = bytes.readUInt8(at);
    if (!parameterTags.has(tag)) return 'a parameter tag is unknown';
    if (found.has(tag)) return 'a parameter is given twice';
    const field = readField(bytes, at + 1);
    if (field === undefined) return 'the encoded query is truncated';
    found.set(tag, field.value);
    at = field.end;
  }
  return found;
};
