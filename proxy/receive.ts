/**
 * What each line of the feed does to the table. Called by feed.ts with every line of one connection.
 *
 * `{"kind":"snapshot"}` starts a new table that replaces the old one at the next position line, so that a broken
 * connection never leaves half a table; `{"kind":"verdict",…}` is the newest word on one device; and
 * `{"kind":"position","position":"…"}` confirms everything up to there and doubles as the heartbeat.
 */
import { z } from 'zod';
import type { Clock } from '../platform/clock.ts';
import { type KnownVerdicts, openTable, type Table } from './table.ts';

const position = z.string().regex(/^\d{1,20}$/);

const lineSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('snapshot') }),
  z.object({
    kind: z.literal('verdict'),
    deviceId: z.string().min(1).max(128),
    easDeviceId: z.string().min(1).max(256).nullable(),
    userEmail: z.string().min(1).max(320).nullable(),
    access: z.enum(['allow', 'deny']),
    reason: z.string().max(4_096),
    position,
  }),
  z.object({ kind: z.literal('position'), position }),
]);

type Line = z.output<typeof lineSchema>;

export interface ReceiverParts {
  readonly known: KnownVerdicts;
  readonly clock: Clock;
  /** Told after every change: the EAS ids concerned, undefined for all of them. */
  readonly onVerdicts: (easIds: readonly string[] | undefined) => void;
  /** Told after the server confirmed the table without changing it. */
  readonly onContact: () => void;
}

/** Takes the lines of one connection in order; throws on a line that breaks the contract. */
export const openReceiver = ({
  known,
  clock,
  onVerdicts,
  onContact,
}: ReceiverParts): ((line: string) => void) => {
  let staging: Table | null = null;
  /** Position of the last verdict: more verdicts of the same position may follow, so it confirms only those before it. */
  let unconfirmed: string | null = null;
  const mustBeSnapshot = known.position === null;
  let isFirst = true;

  const onVerdict = ({ kind: _, ...given }: Extract<Line, { kind: 'verdict' }>): void => {
    const verdict = { ...given, position: Number(given.position) };
    if (staging !== null) {
      staging.upsert(verdict);
      return;
    }
    if (unconfirmed !== null && unconfirmed !== given.position) known.position = unconfirmed;
    unconfirmed = given.position;
    known.contactAt = clock();
    onVerdicts(known.table.upsert(verdict));
  };

  const onPosition = (at: string): void => {
    known.position = at;
    known.contactAt = clock();
    unconfirmed = null;
    if (staging === null) {
      onContact();
      return;
    }
    known.table = staging;
    staging = null;
    onVerdicts(undefined);
  };

  return (text) => {
    const line = lineSchema.parse(JSON.parse(text));
    if (isFirst && mustBeSnapshot && line.kind !== 'snapshot')
      throw new Error('the feed does not start with a snapshot');
    isFirst = false;
    if (line.kind === 'snapshot') staging = openTable();
    else if (line.kind === 'verdict') onVerdict(line);
    else onPosition(line.position);
  };
};
