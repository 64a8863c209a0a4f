/**
 * The raw requests that fuzzing starts from: what an honest phone sends, and the same in parts that can be spoiled.
 * Used by the families beside this file and by drive.ts.
 */
import { basic } from '../stage.ts';

/** The device that is let through, and one that nobody knows. */
export const allowedId = 'ABC123';
export const unknownId = 'UNKNOWN1';
export const eas = '/Microsoft-Server-ActiveSync';

/** A request line by line; `headers` are whole lines without their ends. */
export interface Parts {
  readonly line: string;
  readonly headers: readonly string[];
  readonly body: string;
}

/** One hostile message. */
export interface Hostile {
  readonly family: string;
  /** Text in ISO-8859-1: each character is a byte. */
  readonly bytes: string;
  /**
   * `goes-on`: it is refused by an answer and the connection serves the next request. `ends`: the proxy refuses it and
   * closes, or leaves closing to us. `waits`: it is not complete, or who knows; it must be over once we hang up.
   */
  readonly outcome: 'goes-on' | 'ends' | 'waits';
  /** Whether these bytes go to the port that expects TLS. */
  readonly isForTls?: true;
}

/** Sync of one folder with `key` as its key, which says whose it is. */
export const syncBody = (key: string): string =>
  `\x03\x01\x6a\x00\x45\x5c\x4f\x4b\x03${key}\x00\x01\x52\x03${'1'}\x00\x01\x01\x01\x01`;

export const plainTarget = (id = allowedId): string =>
  `${eas}?Cmd=Sync&User=alice&DeviceId=${id}&DeviceType=iPhone`;

/** 14.1, command, German, id, no key, iPhone. */
export const encodedTarget = (id = allowedId, command = 0): string => `${eas}?${encodedQuery(id, command)}`;

export const encodedQuery = (id: string, command: number): string =>
  Buffer.from(
    `\x8d${String.fromCharCode(command)}\x07\x04${lengthed(id)}\x00${lengthed('iPhone')}`,
    'latin1',
  ).toString('base64');

/** A field of the encoded form. */
export const lengthed = (text: string): string => `${String.fromCharCode(text.length)}${text}`;

/** A request of alice's phone; `tag` arrives at the mail server and says who sent it. */
export const requestOf = (
  tag: string,
  { target = plainTarget(), user = 'alice', body = syncBody(tag), headers = [] as readonly string[] } = {},
): Parts => ({
  line: `POST ${target} HTTP/1.1`,
  headers: [
    'Host: mail.example.org',
    `Authorization: ${basic(user)}`,
    'Content-Type: application/vnd.ms-sync.wbxml',
    `Client-Request-Id: ${tag}`,
    'User-Agent: Apple-iPhone14C2/2301.55',
    ...headers,
  ],
  body,
});

/** The same with the length of its body. */
export const withLength = (parts: Parts): Parts => ({
  ...parts,
  headers: [...parts.headers, `Content-Length: ${parts.body.length}`],
});

/** As bytes on the wire. */
export const render = ({ line, headers, body }: Parts): string =>
  `${[line, ...headers].join('\r\n')}\r\n\r\n${body}`;

/** What a request hidden in another would look like: allowed in every respect but that nobody sent it. */
export const smuggled = render(withLength(requestOf('smuggled')));

/** An honest request with this tag. */
export const honest = (tag: string, form: 'plain' | 'encoded'): string =>
  render(withLength(requestOf(tag, { target: form === 'plain' ? plainTarget() : encodedTarget() })));

/** An honest long poll: the mail server holds whatever bears this tag. */
export const heldTag = 'held';
