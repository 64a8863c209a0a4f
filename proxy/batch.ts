/**
 * One batch of the feed, as it comes from the server and as it lies on disk. Called by receive.ts, state-file.ts and
 * ask.ts. docs/proxy-feed.md says what each field is for.
 */
import { z } from 'zod';
import { accesses, type Table, type Verdict } from './table.ts';

const position = z.string().regex(/^\d{1,19}$/);

/** deviceId, easDeviceId, userEmail, access (0 deny, 1 allow, 2 deny with a wipe pending), reason, position. */
export const verdictRow = z.tuple([
  z.string().min(1).max(128),
  z.string().min(1).max(1_024).nullable(),
  z.string().min(1).max(1_024).nullable(),
  z.literal([0, 1, 2]),
  z.string().max(4_096),
  z.int().min(0),
]);

const batch = z.object({
  tenantId: z.string(),
  nonce: z.string(),
  seq: z.int().min(0),
  from: position.nullable(),
  position,
  at: z.number(),
  staleRule: z.enum(['deny', 'allow-known']),
  /** Servers of before sightings do not say it. */
  learns: z.boolean().default(false),
  snapshot: z.enum(['part', 'last']).optional(),
  reset: z.literal(true).optional(),
  verdicts: z.array(verdictRow).max(5_000),
});
export type Batch = z.output<typeof batch>;

/** The longest line that a server of ours can send, with room to spare. */
export const longestLineBytes = 8 * 1024 * 1024;

/** Reads the text of a line whose signature was found good; throws when it breaks the contract. */
export const readBatch = (text: string): Batch => batch.parse(JSON.parse(text));

/** Puts rows into a table; answers the EAS ids whose decisions may have changed. */
export const fill = (table: Table, rows: Batch['verdicts']): readonly string[] =>
  rows.flatMap((row) => [...table.upsert(verdictOf(row))]);

const verdictOf = ([
  deviceId,
  easDeviceId,
  userEmail,
  access,
  reason,
  at,
]: Batch['verdicts'][number]): Verdict => ({
  deviceId,
  easDeviceId,
  userEmail,
  ...(accesses[access] ?? { access: 'deny' }),
  reason,
  position: at,
});
