/**
 * Messages of the PowerShell Remoting Protocol and the fragments they travel in (MS-PSRP 2.2.1, 2.2.2, 2.2.4).
 * Called by session.ts beside this file; the loopback server of the tests reads and writes them too.
 */
import type { Arguments } from '../cmdlets.ts';
import { argumentOf, boolOf, intOf, nilOf, textOf } from './clixml.ts';

/** MS-PSRP 2.2.1: the types that a client of cmdlets meets. */
export const messageTypes = {
  sessionCapability: 0x00010002,
  initRunspacePool: 0x00010004,
  runspacePoolState: 0x00021005,
  createPipeline: 0x00021006,
  applicationPrivateData: 0x00021009,
  pipelineOutput: 0x00041004,
  errorRecord: 0x00041005,
  pipelineState: 0x00041006,
} as const;

const toClient = 1;
const toServer = 2;
const headerBytes = 40;
const fragmentHeaderBytes = 21;
/** What one fragment may hold: WS-Management's envelopes are bounded. */
const mostBlobBytes = 32_768;
const mostMessageBytes = 8 * 1024 * 1024;
const noPipeline = '00000000-0000-0000-0000-000000000000';

export interface PsrpMessage {
  readonly destination: 'client' | 'server';
  readonly type: number;
  readonly poolId: string;
  /** All zeros: of the pool itself. */
  readonly pipelineId: string;
  readonly xml: string;
}

/** .NET keeps the first three groups of a GUID in little-endian order. */
const swapped = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes);
  copy.subarray(0, 4).reverse();
  copy.subarray(4, 6).reverse();
  copy.subarray(6, 8).reverse();
  return copy;
};
const guidBytes = (id: string): Buffer => swapped(Buffer.from(id.replaceAll('-', ''), 'hex'));
const guidText = (bytes: Buffer): string =>
  swapped(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

/** A message as it lies in fragments. */
export const encodeMessage = ({ destination, type, poolId, pipelineId, xml }: PsrpMessage): Buffer => {
  const header = Buffer.alloc(headerBytes);
  header.writeInt32LE(destination === 'client' ? toClient : toServer, 0);
  header.writeUInt32LE(type, 4);
  guidBytes(poolId).copy(header, 8);
  guidBytes(pipelineId).copy(header, 24);
  return Buffer.concat([header, Buffer.from(xml, 'utf8')]);
};

/** Reads a message; throws RangeError when it is too short to be one. */
export const decodeMessage = (bytes: Buffer): PsrpMessage => {
  if (bytes.length < headerBytes) throw new RangeError('a message is shorter than its header');
  return {
    destination: bytes.readInt32LE(0) === toClient ? 'client' : 'server',
    type: bytes.readUInt32LE(4),
    poolId: guidText(bytes.subarray(8, 24)),
    pipelineId: guidText(bytes.subarray(24, 40)),
    // Servers begin the text with a byte order mark.
    xml: bytes
      .subarray(headerBytes)
      .toString('utf8')
      .replace(/^\ufeff/, ''),
  };
};

/** The fragments of one message. Object ids begin with 1 and grow by one for each message of a sender. */
export const fragmentsOf = (objectId: bigint, message: Buffer): Buffer => {
  const parts: Buffer[] = [];
  for (let at = 0, id = 0n; at < message.length; at += mostBlobBytes, id += 1n) {
    const blob = message.subarray(at, at + mostBlobBytes);
    const header = Buffer.alloc(fragmentHeaderBytes);
    header.writeBigUInt64BE(objectId, 0);
    header.writeBigUInt64BE(id, 8);
    header.writeUInt8((at === 0 ? 1 : 0) | (at + mostBlobBytes >= message.length ? 2 : 0), 16);
    header.writeUInt32BE(blob.length, 17);
    parts.push(header, blob);
  }
  return Buffer.concat(parts);
};

/** Puts fragments together; throws RangeError when they come in the wrong order or do not add up. */
export const openDefragmenter = () => {
  let open:
    | { readonly objectId: bigint; next: bigint; readonly blobs: Buffer[]; sizeBytes: number }
    | undefined;
  const take = (objectId: bigint, fragmentId: bigint, flags: number, blob: Buffer): Buffer | undefined => {
    const isStart = (flags & 1) !== 0;
    if (isStart !== (open === undefined) || (isStart && fragmentId !== 0n))
      throw new RangeError('a fragment begins where none does');
    open ??= { objectId, next: 0n, blobs: [], sizeBytes: 0 };
    if (open.objectId !== objectId || open.next !== fragmentId)
      throw new RangeError('a fragment is out of order');
    open.next += 1n;
    open.sizeBytes += blob.length;
    if (open.sizeBytes > mostMessageBytes) throw new RangeError('a message is too large');
    open.blobs.push(blob);
    if ((flags & 2) === 0) return undefined;
    const whole = Buffer.concat(open.blobs);
    open = undefined;
    return whole;
  };
  /** The messages that a piece of the stream completes. */
  return (bytes: Buffer): PsrpMessage[] => {
    const messages: PsrpMessage[] = [];
    for (let at = 0; at < bytes.length; ) {
      if (bytes.length - at < fragmentHeaderBytes) throw new RangeError('a fragment is cut off');
      const length = bytes.readUInt32BE(at + 17);
      const end = at + fragmentHeaderBytes + length;
      if (end > bytes.length) throw new RangeError('a fragment is cut off');
      const blob = bytes.subarray(at + fragmentHeaderBytes, end);
      const whole = take(
        bytes.readBigUInt64BE(at),
        bytes.readBigUInt64BE(at + 8),
        bytes.readUInt8(at + 16),
        blob,
      );
      if (whole) messages.push(decodeMessage(whole));
      at = end;
    }
    return messages;
  };
};

const enumOf = (name: string, type: string, value: number, text: string, refId: number): string =>
  `<Obj N="${name}" RefId="${refId}"><TN RefId="${refId}"><T>${type}</T><T>System.Enum</T>` +
  `<T>System.ValueType</T><T>System.Object</T></TN><ToString>${text}</ToString>${intOf(value)}</Obj>`;

const host = (refId: number): string =>
  `<Obj N="HostInfo" RefId="${refId}"><MS>${boolOf(true, '_isHostNull')}${boolOf(true, '_isHostUINull')}` +
  `${boolOf(true, '_isHostRawUINull')}${boolOf(true, '_useRunspaceHost')}</MS></Obj>`;

const apartment = (refId: number): string =>
  enumOf('ApartmentState', 'System.Threading.ApartmentState', 2, 'Unknown', refId);

const fromClient = (type: number, poolId: string, xml: string, pipelineId = noPipeline): Buffer =>
  encodeMessage({ destination: 'server', type, poolId, pipelineId, xml });

/** SESSION_CAPABILITY (2.2.2.1): the versions of PowerShell 2, which every Exchange since 2010 speaks. */
export const sessionCapability = (poolId: string): Buffer =>
  fromClient(
    messageTypes.sessionCapability,
    poolId,
    '<Obj RefId="0"><MS><Version N="protocolversion">2.2</Version><Version N="PSVersion">2.0</Version>' +
      '<Version N="SerializationVersion">1.1.0.1</Version></MS></Obj>',
  );

/** INIT_RUNSPACEPOOL (2.2.2.2): one runspace. */
export const initRunspacePool = (poolId: string): Buffer =>
  fromClient(
    messageTypes.initRunspacePool,
    poolId,
    `<Obj RefId="0"><MS>${intOf(1, 'MinRunspaces')}${intOf(1, 'MaxRunspaces')}` +
      `${enumOf('PSThreadOptions', 'System.Management.Automation.Runspaces.PSThreadOptions', 0, 'Default', 1)}` +
      `${apartment(2)}${host(3)}${nilOf('ApplicationArguments')}</MS></Obj>`,
  );

const merges = [
  'MergeMyResult',
  'MergeToResult',
  'MergePreviousResults',
  'MergeError',
  'MergeWarning',
  'MergeVerbose',
  'MergeDebug',
];
const mergeType = 'System.Management.Automation.Runspaces.PipelineResultTypes';

/** CREATE_PIPELINE (2.2.2.10) of one cmdlet: never a script, which the restricted language of Exchange refuses. */
export const createPipeline = (
  poolId: string,
  pipelineId: string,
  cmdlet: string,
  args: Arguments,
): Buffer => {
  const given = Object.entries(args).map(
    ([name, value], index) =>
      `<Obj RefId="${100 + 2 * index}"><MS>${textOf(`-${name}`, 'N')}` +
      `${argumentOf(value, 'V', 101 + 2 * index)}</MS></Obj>`,
  );
  const merged = merges.map((name, index) => enumOf(name, mergeType, 0, 'None', 20 + index));
  const list =
    '<TN RefId="10"><T>System.Collections.Generic.List`1[[System.Management.Automation.PSObject]]</T><T>System.Object</T></TN>';
  const command =
    `<Obj RefId="11"><MS>${textOf(cmdlet, 'Cmd')}${boolOf(false, 'IsScript')}${nilOf('UseLocalScope')}` +
    `${merged.join('')}<Obj N="Args" RefId="12"><TNRef RefId="10"/><LST>${given.join('')}</LST></Obj></MS></Obj>`;
  return fromClient(
    messageTypes.createPipeline,
    poolId,
    `<Obj RefId="0"><MS>${boolOf(true, 'NoInput')}${apartment(1)}` +
      `${enumOf('RemoteStreamOptions', 'System.Management.Automation.RemoteStreamOptions', 0, '0', 2)}` +
      `${boolOf(false, 'AddToHistory')}${host(3)}<Obj N="PowerShell" RefId="4"><MS>${boolOf(false, 'IsNested')}` +
      `${nilOf('ExtraCmds')}<Obj N="Cmds" RefId="5">${list}<LST>${command}</LST></Obj>${nilOf('History')}` +
      `${boolOf(false, 'RedirectShellErrorOutputPipe')}</MS></Obj>${boolOf(false, 'IsNested')}</MS></Obj>`,
    pipelineId,
  );
};
