/**
 * The access log: one line per request with its decision and the reason, as JSON or text, in a file per day. Opened by
 * main.ts; written by whoever answers a request. It never holds a credential, for an entry has no place for one.
 */
import { z } from 'zod';
import { type Clock, isoTime } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { openDatedFile } from './dated-file.ts';

/** What is said of one request, whoever answered it. */
export interface AccessEntry {
  readonly instance: string | null;
  readonly client: string | null;
  readonly method: string | null;
  /** Which protocol the path belongs to; null when it was not read. */
  readonly protocol: 'eas' | 'ews' | 'traveler' | 'autodiscover' | null;
  readonly cmd: string | null;
  readonly user: string | null;
  readonly deviceId: string | null;
  readonly decision: 'allow' | 'deny';
  readonly rule: string;
  readonly reason: string;
  /** Null when nothing was answered. */
  readonly status: number | null;
  readonly durationMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** What broke off an allowed request, if anything. */
  readonly fault: string | null;
}

/** Settings of the access log, part of the configuration file. */
export const accessLogSettings = z.strictObject({
  file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Access log of all instances; the day is added to the name. Without it requests are logged on standard error.',
    ),
  format: z.enum(['json', 'text']).default('json').describe('Form of its lines.'),
  retentionDays: z.coerce.number().int().min(1).max(3_650).default(30).describe('Days of it that are kept.'),
  maxTotalMb: z.coerce
    .number()
    .int()
    .min(10)
    .max(1_000_000)
    .default(1_000)
    .describe('Size (MiB) of all its days together; the oldest go first.'),
});
export type AccessLogSettings = z.output<typeof accessLogSettings>;

export interface AccessLog {
  readonly write: (entry: AccessEntry) => void;
  readonly reopen: () => void;
  readonly dropped: () => number;
  readonly close: () => Promise<void>;
}

/** Faults of the disk repeat with every attempt; one line a minute says enough. */
const faultPauseMs = 60_000;

/** Opens the log. Throws `config-invalid` faults of the file system as they are. */
export const openAccessLog = (
  settings: AccessLogSettings,
  { clock, log }: { clock: Clock; log: Logger },
): AccessLog => {
  const { file, format, retentionDays, maxTotalMb } = settings;
  if (file === undefined) return onProcessLog(log);
  let reportedAt = Number.NEGATIVE_INFINITY;
  const dated = openDatedFile({
    file,
    retentionDays,
    maxTotalBytes: maxTotalMb * 1024 * 1024,
    clock,
    onFault: (err) => {
      if (clock() - reportedAt < faultPauseMs) return;
      reportedAt = clock();
      log.error({ err, file }, 'the access log cannot be written; requests are answered all the same');
    },
  });
  const lineOf = format === 'json' ? jsonLine : textLine;
  return { ...dated, write: (entry) => dated.write(lineOf(entry, clock())) };
};

const onProcessLog = (log: Logger): AccessLog => ({
  write: ({ client, fault, ...entry }) =>
    log.info({ ...entry, remote: client, ...(fault === null ? {} : { fault }) }, 'request'),
  reopen: () => {},
  dropped: () => 0,
  close: async () => {},
});

/** What JSON leaves alone but a terminal or a careless reader of lines would act on: DEL, C1 and the two separators. */
const unprintable = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
const escapeUnprintable = (text: string): string =>
  text.replace(unprintable, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Clients choose some of these texts; none may fill the disk. */
const bounded = (text: string | null): string | null =>
  text !== null && text.length > 512 ? `${text.slice(0, 511)}…` : text;

const safeEntry = (entry: AccessEntry): AccessEntry => {
  const { user, deviceId, reason, fault } = entry;
  const lengths = (user?.length ?? 0) + (deviceId?.length ?? 0) + reason.length + (fault?.length ?? 0);
  // Nearly every entry is short, and a copy of each would be for nothing.
  if (lengths <= 512) return entry;
  return {
    ...entry,
    user: bounded(user),
    deviceId: bounded(deviceId),
    reason: bounded(reason) ?? '',
    fault: bounded(fault),
  };
};

/** Printable ASCII without quotes and backslashes: as nearly every text is, and as JSON writes it. */
const plain = /^[ !#-[\]-~]*$/;
const jsonText = (text: string | null): string => {
  if (text === null) return 'null';
  return plain.test(text) ? `"${text}"` : escapeUnprintable(JSON.stringify(text));
};

/**
 * One JSON object; control characters are escaped, so that a client cannot forge a line. Written out, for it is made for
 * every request and JSON.stringify knows neither which texts need no escaping nor which values are numbers.
 */
export const jsonLine = (entry: AccessEntry, at: number): string => {
  const { instance, client, method, protocol, cmd, user, deviceId, decision, rule, reason, fault } =
    safeEntry(entry);
  const { status, durationMs, bytesIn, bytesOut } = entry;
  return (
    `{"time":"${timeOf(at)}","instance":${jsonText(instance)},"client":${jsonText(client)},` +
    `"method":${jsonText(method)},"protocol":${jsonText(protocol)},"cmd":${jsonText(cmd)},` +
    `"user":${jsonText(user)},"deviceId":${jsonText(deviceId)},"decision":"${decision}","rule":${jsonText(rule)},` +
    `"reason":${jsonText(reason)},"status":${status},"durationMs":${durationMs},"bytesIn":${bytesIn},` +
    `"bytesOut":${bytesOut},"fault":${jsonText(fault)}}\n`
  );
};

let lastAt = Number.NaN;
let lastTime = '';

/** Many requests are logged in one millisecond. */
const timeOf = (at: number): string => {
  if (at !== lastAt) {
    lastAt = at;
    lastTime = isoTime(at);
  }
  return lastTime;
};

/** `key=value` pairs after the time; values that are not plain words are quoted as in JSON. */
export const textLine = (entry: AccessEntry, at: number): string => {
  const { decision, rule, ...rest } = safeEntry(entry);
  const pairs = Object.entries(rest).map(([key, value]) => `${key}=${textValue(value)}`);
  return `${timeOf(at)} ${decision} ${rule} ${pairs.join(' ')}\n`;
};

const textValue = (value: string | number | null): string => {
  if (value === null) return '-';
  const text = String(value);
  return /^[\w.:@\\+/-]+$/.test(text) && text !== '-' ? text : escapeUnprintable(JSON.stringify(text));
};
