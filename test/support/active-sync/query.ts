/**
 * The request line of ActiveSync in both forms, written as clients do and read as servers do. Called by client.ts and
 * back-end.ts. It shares nothing with the proxy's own reader on purpose: two that agree prove more than one.
 * Source: MS-ASHTTP 2.2.1.1.1.1 (base64 and plain query), 2.2.1.1.1.1.2 (command codes), 2.2.1.1.1.1.3 (parameters).
 */

/** Where servers have ActiveSync (MS-ASHTTP 2.2.1.1.1.1). */
export const easPath = '/Microsoft-Server-ActiveSync';

const codes = [
  'Sync',
  'SendMail',
  'SmartForward',
  'SmartReply',
  'GetAttachment',
  ...['', '', '', ''],
  'FolderSync',
  'FolderCreate',
  'FolderDelete',
  'FolderUpdate',
  'MoveItems',
  'GetItemEstimate',
  'MeetingResponse',
  'Search',
  'Settings',
  'Ping',
  'ItemOperations',
  'Provision',
  'ResolveRecipients',
  'ValidateCert',
  'Find',
];

/** Which of the two forms a query has. */
export type Form = 'plain' | 'base64';

/** What a client says of itself and its command. */
export interface RequestLine {
  readonly command: string;
  readonly user: string;
  readonly deviceId: string;
  readonly deviceType: string;
  /** `14.1`. */
  readonly version: string;
  /** 0 before the device has a policy. */
  readonly policyKey: number;
}

/** Target and headers of a request; the encoded form carries version and key in the query. */
export const writeLine = (
  form: Form,
  line: RequestLine,
): { readonly target: string; readonly headers: Record<string, string> } => {
  const query = form === 'plain' ? plainQuery(line) : encodedQuery(line);
  const headers: Record<string, string> =
    form === 'plain'
      ? { 'ms-asprotocolversion': line.version, 'x-ms-policykey': String(line.policyKey) }
      : {};
  return { target: `${easPath}?${query}`, headers };
};

const plainQuery = ({ command, user, deviceId, deviceType }: RequestLine): string =>
  `Cmd=${command}&User=${encodeURIComponent(user)}&DeviceId=${deviceId}&DeviceType=${deviceType}`;

const encodedQuery = ({ command, deviceId, deviceType, version, policyKey }: RequestLine): string => {
  const id = /^[0-9A-F]{32}$/.test(deviceId) ? Buffer.from(deviceId, 'hex') : Buffer.from(deviceId, 'latin1');
  const key = Buffer.alloc(policyKey === 0 ? 0 : 4);
  if (key.length > 0) key.writeUInt32LE(policyKey);
  const type = Buffer.from(deviceType, 'latin1');
  const fields = [id, key, type].flatMap((field) => [Buffer.from([field.length]), field]);
  const start = Buffer.from([Number(version) * 10, codes.indexOf(command), 0x09, 0x04]);
  return Buffer.concat([start, ...fields]).toString('base64');
};

/** A request line as a server understood it. */
export type ReadLine = Omit<RequestLine, 'user'> & { readonly form: Form };

/** Reads a query as Exchange is known to: names without case, the first of two values; null when it cannot. */
export const readLine = (
  query: string,
  headers: Readonly<Record<string, string | string[] | undefined>>,
): ReadLine | null =>
  query.includes('=') && query.includes('&') ? readPlain(query, headers) : readEncoded(query);

const readPlain = (query: string, headers: Parameters<typeof readLine>[1]): ReadLine | null => {
  const values = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query))
    if (!values.has(name.toLowerCase())) values.set(name.toLowerCase(), value);
  const command = codes.find(
    (name) => name !== '' && name.toLowerCase() === values.get('cmd')?.toLowerCase(),
  );
  const deviceId = values.get('deviceid');
  if (command === undefined || deviceId === undefined) return null;
  return {
    form: 'plain',
    command,
    deviceId: deviceId.toUpperCase(),
    deviceType: values.get('devicetype') ?? '',
    version: String(headers['ms-asprotocolversion'] ?? '2.5'),
    policyKey: Number(headers['x-ms-policykey'] ?? 0),
  };
};

const readEncoded = (query: string): ReadLine | null => {
  const bytes = Buffer.from(query, 'base64');
  const fields: Buffer[] = [];
  for (let at = 4; fields.length < 3; ) {
    const length = bytes[at];
    if (length === undefined || at + 1 + length > bytes.length) return null;
    fields.push(bytes.subarray(at + 1, at + 1 + length));
    at += 1 + length;
  }
  const [id, key, type] = fields as [Buffer, Buffer, Buffer];
  const command = codes[bytes[1] as number];
  if (command === undefined || command === '') return null;
  const isBinary = id.length === 16 && !/^[A-Za-z0-9]+$/.test(id.toString('latin1'));
  return {
    form: 'base64',
    command,
    deviceId: id.toString(isBinary ? 'hex' : 'latin1').toUpperCase(),
    deviceType: type.toString('latin1'),
    version: ((bytes[0] as number) / 10).toFixed(1),
    policyKey: key.length === 4 ? key.readUInt32LE() : 0,
  };
};
