/**
 * Ends the sessions of an account and says so in the log. Called wherever something ends them: password changes,
 * disabling, revoking, links.
 */
import type { SessionEnd } from '../../domain/sign-in/sign-in.ts';
import type { Actor } from '../../platform/event-store.ts';
import type { PasswordOwner } from '../vault/passwords.ts';
import type { Door } from './door.ts';
import type { EnterParts } from './enter.ts';

type Parts = Pick<EnterParts, 'credentials' | 'requestId' | 'address'> & {
  readonly door: Pick<Door, 'recorder'>;
};

/** Why, and by whom. */
export interface Ending {
  readonly reason: SessionEnd;
  readonly by: Actor;
}

/** How many sessions ended, and where the log says so; nothing is told when there were none. */
export interface Ended {
  readonly ended: number;
  readonly position: bigint | undefined;
}

const tell = async (
  { door, requestId, address }: Parts,
  { tenantId, accountId }: PasswordOwner,
  sessionId: string | null,
  sessions: number,
  { reason, by }: Ending,
): Promise<Ended> => {
  if (sessions === 0) return { ended: 0, position: undefined };
  const { position } = await door.recorder.tell(
    tenantId,
    { type: 'SessionsEnded', data: { accountId, sessionId, sessions, reason, address } },
    { actor: by, requestId },
  );
  return { ended: sessions, position };
};

/** Ends every session of an account, but for that of `exceptToken`, and its half-done sign-ins, at once. */
export const endSessions = async (
  parts: Parts,
  owner: PasswordOwner,
  ending: Ending,
  exceptToken?: string,
): Promise<Ended> => {
  const { tenantId, accountId } = owner;
  await parts.credentials.pendingSignIns.endAll(tenantId, accountId);
  const sessions = await parts.credentials.sessions.endAll(tenantId, accountId, exceptToken);
  return tell(parts, owner, null, sessions, ending);
};

/** Ends one session of an account, at once. */
export const endSession = async (
  parts: Parts,
  owner: PasswordOwner,
  sessionId: string,
  ending: Ending,
): Promise<Ended> => {
  const { tenantId, accountId } = owner;
  const ended = await parts.credentials.sessions.endOne(tenantId, accountId, sessionId);
  return tell(parts, owner, sessionId, ended ? 1 : 0, ending);
};
