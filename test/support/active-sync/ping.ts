/**
 * Ping: held until a watched folder has something new, or the heartbeat ends. Registered in commands.ts.
 * Source: MS-ASCMD 2.2.1.13 (Ping), 2.2.3.177.11 (its statuses).
 */
import type { Call, Command } from './call.ts';
import { onlyStatus } from './call.ts';
import { folderOf, newsFor } from './mailbox.ts';
import { all, find, type ReadElement, text } from './read-wbxml.ts';
import { element } from './wbxml.ts';

/** Heartbeats (s) that this server agrees to. */
export const heartbeatBounds = { min: 60, max: 3_540 } as const;
const maxFolders = 200;

const answer = (status: number, ...more: ReturnType<typeof element>[]) => onlyStatus('Ping', status, ...more);

export const ping: Command = async (call) => {
  const request = call.body ?? call.partnership.lastPing;
  const heartbeat = Number(text(request, 'HeartbeatInterval') ?? Number.NaN);
  const watched = all(find(request, 'Folders'), 'Folder').map((folder) => text(folder, 'Id') ?? '');
  if (request === null || Number.isNaN(heartbeat) || watched.length === 0) return answer(3);
  const bound = Math.min(Math.max(heartbeat, heartbeatBounds.min), heartbeatBounds.max);
  if (bound !== heartbeat) return answer(5, element('Ping:HeartbeatInterval', String(bound)));
  if (watched.length > maxFolders) return answer(6, element('Ping:MaxFolders', String(maxFolders)));
  if (watched.some((id) => folderOf(call.mailbox, id) === undefined)) return answer(7);
  return hold(call, request, watched);
};

const hold = async (call: Call, request: ReadElement, watched: readonly string[]) => {
  call.partnership.lastPing = request;
  const changed = () => {
    const ids = watched.filter((id) => hasNews(call, id));
    return ids.length === 0 ? undefined : ids;
  };
  const found = await call.waiting.hold(call.signal, changed);
  if (found === 'left') return found;
  if (found === 'over') return answer(1);
  return answer(2, element('Ping:Folders', ...found.map((id) => element('Ping:Folder', id))));
};

/** Whether the folder has changes that the device has not been told by Sync. */
const hasNews = ({ mailbox, partnership, line }: Call, id: string): boolean => {
  const folder = folderOf(mailbox, id);
  const at = partnership.folders.get(id)?.at ?? 0;
  return folder !== undefined && newsFor(folder, line.deviceId, at).length > 0;
};
