/**
 * Ends the sessions of an account and says so in the log. Called wherever something ends them: password changes,
 * disabling, revoking, links.
 */
import type { AccountId } from '../../domain/ids.ts';
import type { SessionEnd } from '../../domain/sign-in/sign-in.ts';
import type { PasswordOwner } from '../vault/passwords.ts';
import type { EnterParts } from './enter.ts';

/** Ends every session of an account, but for that of `exceptToken`, at once; `by` caused it. */
export const endSessions = async (
  {
    credentials,
    door,
    requestId,
    address,
  }: Pick<EnterParts, 'credentials' | 'door' | 'requestId' | 'address'>,
  { tenantId, accountId }: PasswordOwner,
  reason: SessionEnd,
  by: AccountId,
  exceptToken?: string,
): Promise<number> => {
  const sessions = await credentials.sessions.endAll(tenantId, accountId, exceptToken);
  if (sessions > 0)
    await door.recorder.tell(
      tenantId,
      { type: 'SessionsEnded', data: { accountId, sessionId: null, sessions, reason, address } },
      { accountId: by, requestId },
    );
  return sessions;
};

/** Ends one session of an account, at once; whether there was one. */
export const endSession = async (
  {
    credentials,
    door,
    requestId,
    address,
  }: Pick<EnterParts, 'credentials' | 'door' | 'requestId' | 'address'>,
  { tenantId, accountId }: PasswordOwner,
  sessionId: string,
  reason: SessionEnd,
  by: AccountId,
): Promise<boolean> => {
  const ended = await credentials.sessions.endOne(tenantId, accountId, sessionId);
  if (ended)
    await door.recorder.tell(
      tenantId,
      { type: 'SessionsEnded', data: { accountId, sessionId, sessions: 1, reason, address } },
      { accountId: by, requestId },
    );
  return ended;
};
