/**
 * Reads the parts that several requests share, and refuses what cannot be stored.
 * Called by the gRPC handlers.
 */
import type { NewEvent } from '../event.ts';
import type { FilterRequest } from '../filter.ts';
import { type Failure, invalidArgument, missingMetadata } from './failures.ts';
import type { shared, streams } from './protocol.ts';
import type { IdForm } from './wire.ts';

/** Longest stream name in bytes: names are indexed, and an index entry must fit on a page. */
export const maxNameBytes = 1_024;
const maxTypeLength = 1_024;

const decoder = new TextDecoder('utf-8', { fatal: true });

/** The stream name, or why it cannot be used. `forWriting` excludes names that only readers may give. */
export const readStreamName = (
  identifier: shared.StreamIdentifier | undefined,
  forWriting: boolean,
): string | Failure => {
  const bytes = identifier?.getStreamName_asU8();
  if (!bytes || bytes.length === 0) return invalidArgument('The stream name is empty');
  if (bytes.length > maxNameBytes)
    return invalidArgument(`The stream name is longer than ${maxNameBytes} bytes`);
  let name: string;
  try {
    name = decoder.decode(bytes);
  } catch {
    return invalidArgument('The stream name is not UTF-8');
  }
  if (name.includes('\0')) return invalidArgument('The stream name contains NUL');
  if (forWriting && name === '$all') return invalidArgument('$all cannot be written to');
  if (forWriting && (name.startsWith('$$$$') || name === '$$'))
    return invalidArgument('A metadata stream has no metadata of its own');
  return name;
};

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** An id in text form, lower case, in either of the two forms of the wire; `undefined` when it is not a UUID. */
export const readUuid = (uuid: shared.UUID | undefined): string | undefined => {
  const structured = uuid?.getStructured();
  if (!structured) {
    const text = uuid?.getString().toLowerCase() ?? '';
    return uuidPattern.test(text) ? text : undefined;
  }
  const half = (value: string): string => BigInt.asUintN(64, BigInt(value)).toString(16).padStart(16, '0');
  const hex = half(structured.getMostSignificantBits()) + half(structured.getLeastSignificantBits());
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};

/** A proposed event, or why it cannot be stored. */
export const readProposed = (
  message: streams.AppendReq.ProposedMessage | streams.BatchAppendReq.ProposedMessage,
): NewEvent | Failure => {
  const properties = message.getMetadataMap();
  const type = properties.get('type');
  const contentType = properties.get('content-type');
  const missing = [
    ...(type === undefined ? ['type'] : []),
    ...(contentType === undefined ? ['content-type'] : []),
  ];
  if (type === undefined || contentType === undefined) return missingMetadata(missing);
  if (type === '' || type.length > maxTypeLength || type.includes('\0')) {
    return invalidArgument(`An event type must have 1 to ${maxTypeLength} characters, none of them NUL`);
  }
  const id = readUuid(message.getId());
  if (id === undefined) return invalidArgument('An event id is not a UUID');
  return {
    id,
    type,
    json: contentType === 'application/json',
    data: message.getData_asU8(),
    metadata: message.getCustomMetadata_asU8(),
  };
};

/** uint64 on the wire that stands for a revision; what exceeds 2^63-1 is an older client's "none" or "end". */
export const readRevision = (text: string): bigint => BigInt.asIntN(64, BigInt(text));

/** `value`, or INVALID_ARGUMENT that says `what` is missing. */
export const required = <T>(value: T | undefined, what: string): T => {
  if (value === undefined) throw invalidArgument(`${what} is missing`);
  return value;
};

/** The form in which a client wants event ids. */
export const readIdForm = (form: { hasStructured(): boolean; hasString(): boolean } | undefined): IdForm => {
  if (required(form, 'uuid_option').hasStructured()) return 'structured';
  if (form?.hasString()) return 'string';
  throw invalidArgument('uuid_option is empty');
};

interface Expression {
  getPrefixList(): string[];
  getRegex(): string;
}

/** What is to be filtered; streams.proto and persistent.proto say it alike. */
export const readFilterRequest = (filter: {
  hasStreamIdentifier(): boolean;
  getStreamIdentifier(): Expression | undefined;
  getEventType(): Expression | undefined;
}): FilterRequest => {
  const on = filter.hasStreamIdentifier() ? 'stream' : 'type';
  const asked = on === 'stream' ? filter.getStreamIdentifier() : filter.getEventType();
  const expression = required(asked, 'The filter expression');
  return { on, prefixes: expression.getPrefixList(), regex: expression.getRegex() };
};
