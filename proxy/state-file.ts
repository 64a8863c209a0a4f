/**
 * Keeps the verdicts on disk, so that a proxy which restarts while the server is away goes on deciding. Called by instance.ts.
 *
 * One file of lines: a header, a line per device, a SHA-256 of all before it. It is written beside the old one, flushed
 * and renamed over it, so that a crash at any moment leaves one whole file. A file that is damaged, or that belongs to
 * another server or credential, counts as none: nobody is allowed until the server has been heard.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { readLines } from './lines.ts';
import { type KnownVerdicts, openTable, type Verdict } from './table.ts';

const headerSchema = z.strictObject({
  muster: z.literal('proxy-table'),
  version: z.literal(1),
  source: z.string(),
  position: z.string().nullable(),
  contactAt: z.number().nullable(),
});
const rowSchema = z.tuple([
  z.string(),
  z.string().nullable(),
  z.string().nullable(),
  z.enum(['allow', 'deny']),
  z.string(),
  z.number(),
]);
const footerSchema = z.strictObject({ sha256: z.string() });

/** Ties a file to the server and credential its verdicts came from, without storing either. */
export const sourceOf = (serverUrl: URL, serverToken: string): string =>
  createHash('sha256').update(`${serverUrl.href}\n${serverToken}`).digest('hex');

const nothingKnown = (): KnownVerdicts => ({
  table: openTable(),
  position: null,
  contactAt: null,
  connected: false,
});

/** What the file holds, or nothing when there is no usable one; the reason is logged. Never throws. */
export const loadVerdicts = async (
  file: string,
  source: string,
  log: Logger,
  clock: Clock,
): Promise<KnownVerdicts> => {
  try {
    const known = await readVerdicts(file, source);
    // A clock that was set back must not make old verdicts look fresh for longer than they are.
    if (known.contactAt !== null) known.contactAt = Math.min(known.contactAt, clock());
    log.info({ devices: known.table.size(), position: known.position }, 'verdicts read from disk');
    return known;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') log.info({ file }, 'no verdicts on disk yet');
    else
      log.error(
        { err: error, file },
        'the verdicts on disk are unusable; nobody is allowed until the server is heard',
      );
    return nothingKnown();
  }
};

const readVerdicts = async (file: string, source: string): Promise<KnownVerdicts> => {
  const known = nothingKnown();
  const hash = createHash('sha256');
  let header: z.output<typeof headerSchema> | undefined;
  let isWhole = false;
  for await (const line of readLines(createReadStream(file), 64 * 1024)) {
    if (isWhole) throw new Error('there is more after the checksum');
    const value: unknown = JSON.parse(line);
    if (Array.isArray(value)) known.table.upsert(verdictOf(rowSchema.parse(value)));
    else if (header === undefined) header = headerSchema.parse(value);
    else isWhole = footerSchema.parse(value).sha256 === hash.copy().digest('hex');
    hash.update(`${line}\n`);
  }
  if (header === undefined || !isWhole) throw new Error('the checksum is missing or wrong');
  if (header.source !== source) throw new Error('the verdicts are of another server or credential');
  return { ...known, position: header.position, contactAt: header.contactAt };
};

const verdictOf = ([deviceId, easDeviceId, userEmail, access, reason, position]: z.output<
  typeof rowSchema
>): Verdict => ({
  deviceId,
  easDeviceId,
  userEmail,
  access,
  reason,
  position,
});

const rowOf = ({
  deviceId,
  easDeviceId,
  userEmail,
  access,
  reason,
  position,
}: Verdict): z.output<typeof rowSchema> => [deviceId, easDeviceId, userEmail, access, reason, position];

/** Writes the verdicts when asked to, one write at a time. */
export interface Saver {
  /** Verdicts changed: write soon. */
  readonly changed: () => void;
  /** Only the time of contact changed: write when the file is minutes behind. */
  readonly confirmed: () => void;
  /** Writes what is not yet on disk; settles when it is. */
  readonly flush: () => Promise<void>;
}

/** The file may understate the last contact by this much: it errs towards refusing. */
const contactLagMs = 5 * 60_000;
/** A writer rests this many times as long as it wrote, so that a large table under steady change costs a tenth of the disk. */
const restFactor = 9;

/** A saver of `known` into `file`. */
export const openSaver = (file: string, source: string, known: KnownVerdicts, log: Logger): Saver => {
  let dirty = false;
  let savedContactAt = known.contactAt;
  let writing: Promise<void> | null = null;
  let rest: NodeJS.Timeout | null = null;

  const write = async (): Promise<void> => {
    const startedAt = performance.now();
    dirty = false;
    const contactAt = known.contactAt;
    try {
      await writeVerdicts(file, source, known);
      savedContactAt = contactAt;
    } catch (error) {
      dirty = true;
      log.error({ err: error, file }, 'the verdicts could not be written to disk');
    }
    const restMs = dirty ? 5_000 : Math.min(60_000, restFactor * (performance.now() - startedAt));
    rest = setTimeout(() => {
      rest = null;
      if (dirty) start();
    }, restMs);
    rest.unref();
  };
  const start = (): void => {
    if (writing !== null || rest !== null) return;
    writing = write().finally(() => {
      writing = null;
    });
  };
  const changed = (): void => {
    dirty = true;
    start();
  };
  return {
    changed,
    confirmed: () => {
      if (known.contactAt !== null && known.contactAt - (savedContactAt ?? 0) >= contactLagMs) changed();
    },
    flush: async () => {
      await writing;
      if (rest !== null) clearTimeout(rest);
      rest = null;
      if (dirty || known.contactAt !== savedContactAt) await write();
      if (rest !== null) clearTimeout(rest);
      rest = null;
    },
  };
};

const writeVerdicts = async (file: string, source: string, known: KnownVerdicts): Promise<void> => {
  const beside = `${file}.tmp`;
  const handle = await open(beside, 'w', 0o600);
  try {
    await writeLines(handle, source, known);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(beside, file);
  await syncFolder(dirname(file));
};

/** Rows written while verdicts arrive may be newer than the header's position: the feed repeats those, harmlessly. */
const writeLines = async (handle: FileHandle, source: string, known: KnownVerdicts): Promise<void> => {
  const hash = createHash('sha256');
  const put = async (text: string) => {
    hash.update(text);
    await handle.write(text);
  };
  const { position, contactAt, table } = known;
  let batch = `${JSON.stringify({ muster: 'proxy-table', version: 1, source, position, contactAt })}\n`;
  for (const verdict of table.verdicts()) {
    batch += `${JSON.stringify(rowOf(verdict))}\n`;
    if (batch.length < 256 * 1024) continue;
    await put(batch);
    batch = '';
  }
  await put(batch);
  await handle.write(`${JSON.stringify({ sha256: hash.digest('hex') })}\n`);
};

/** Makes the rename itself durable; systems that cannot open folders do without. */
const syncFolder = async (folder: string): Promise<void> => {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch (error) {
    if (!/EISDIR|EPERM|EACCES|EINVAL/.test((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
};
