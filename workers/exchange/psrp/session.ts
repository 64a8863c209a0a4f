/**
 * One PowerShell session over WS-Management: a shell with a pool of one runspace, in which cmdlets run one after
 * another (MS-PSRP 3.1). Called by ../on-premises.ts.
 */
import { MusterError } from '../../../platform/errors.ts';
import { newUuid } from '../../../platform/new-id.ts';
import { type Arguments, asLine, type Row, saysMissing } from '../cmdlets.ts';
import type { Dialled } from '../dial.ts';
import { read } from './clixml.ts';
import {
  createPipeline,
  fragmentsOf,
  initRunspacePool,
  messageTypes,
  openDefragmenter,
  type PsrpMessage,
  sessionCapability,
} from './messages.ts';
import { createShell, deleteShell, endCommand, openCookies, receive, send, startCommand } from './wsman.ts';
import { findAll, parseXml } from './xml.ts';

const path = '/powershell/';
/** Receives that may come back empty: each is held for a minute. */
const mostEmptyReceives = 5;
const mostReceives = 2000;
const opened = 2;
/** Pipeline states (MS-PSRP 2.2.3.5). */
const ended = { stopped: 3, completed: 4, failed: 5 } as const;
const outOfOrder = (cause: unknown) =>
  cause instanceof RangeError
    ? new MusterError('exchange-unavailable', `the answer is not understood: ${cause.message}`, { cause })
    : cause;

const asRow = (value: unknown): Row =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Row) : { value };

const objectIn = ({ xml }: PsrpMessage): Row => asRow(xml === '' ? {} : read(parseXml(xml)));

/** What an error record says, its kind first: Exchange names the exception's type there. */
const errorText = (record: Row): string => {
  const exception = asRow(record['Exception'] ?? {});
  const parts = [
    exception['Message'],
    record['ErrorDetails_Message'],
    record['FullyQualifiedErrorId'] ?? record['fullyQualifiedErrorId'],
    record['ErrorCategory_Reason'],
    record['value'],
  ];
  return parts.filter((part) => typeof part === 'string').join(' ') || JSON.stringify(record).slice(0, 500);
};

const faultOf = (cmdlet: string, text: string): MusterError =>
  new MusterError(saysMissing(text) ? 'mailbox-missing' : 'exchange-refused', asLine(`${cmdlet}: ${text}`));

export interface PowerShellSession {
  run(cmdlet: string, args: Arguments): Promise<readonly Row[]>;
  close(): Promise<void>;
}

/** Opens a session; `authorization` is a Basic header. The shell is gone on the server once `close` returns. */
export const openPowerShell = async (server: Dialled, authorization: string): Promise<PowerShellSession> => {
  const at = { url: `${server.origin}${path}`, sessionId: newUuid() };
  const headers = { authorization, cookies: openCookies() };
  const poolId = newUuid();
  let objectId = 0n;
  const fragment = (message: Buffer): Buffer => {
    objectId += 1n;
    return fragmentsOf(objectId, message);
  };
  const post = (envelope: string) => send(server, path, headers, envelope);

  const creation = Buffer.concat([fragment(sessionCapability(poolId)), fragment(initRunspacePool(poolId))]);
  const created = await post(createShell(at, poolId, creation));
  const shellId =
    created === 'timed-out'
      ? undefined
      : (findAll(created, 'ShellId')[0]?.textContent ??
        findAll(created, 'Selector').find((one) => one.getAttribute('Name') === 'ShellId')?.textContent);
  if (!shellId) throw new MusterError('exchange-unavailable', 'Exchange opened no shell');

  /** Hands over messages until `take` says that it has what it wanted. */
  const receiveUntil = async (take: (message: PsrpMessage) => boolean, commandId?: string): Promise<void> => {
    const defragment = openDefragmenter();
    let empty = 0;
    for (let turn = 0; turn < mostReceives; turn += 1) {
      const answer = await post(receive(at, shellId, commandId));
      if (answer === 'timed-out') {
        empty += 1;
        if (empty >= mostEmptyReceives) break;
        continue;
      }
      empty = 0;
      for (const stream of findAll(answer, 'Stream')) {
        const messages = defragment(Buffer.from(stream.textContent ?? '', 'base64'));
        for (const message of messages) if (take(message)) return;
      }
      const done = findAll(answer, 'CommandState').some((one) =>
        one.getAttribute('State')?.endsWith('/Done'),
      );
      if (done) throw new MusterError('exchange-unavailable', 'the pipeline ended without saying how');
    }
    throw new MusterError('exchange-unavailable', 'Exchange does not come to an end');
  };

  const close = async () => {
    await post(deleteShell(at, shellId)).catch(() => {
      // A shell that cannot be deleted ends by its own idle time-out.
    });
  };

  const end = async (commandId: string) => {
    await post(endCommand(at, shellId, commandId)).catch(() => {
      // A command that cannot be ended goes with its shell.
    });
  };

  try {
    await receiveUntil((message) => {
      if (message.type !== messageTypes.runspacePoolState) return false;
      const state = Number(objectIn(message)['RunspaceState']);
      // 5 is broken, 3 closed: before it is open it passes through others.
      if (state === 3 || state === 5) throw new MusterError('exchange-refused', 'the runspace does not open');
      return state === opened;
    });
  } catch (error) {
    await close();
    throw outOfOrder(error);
  }

  return {
    async run(cmdlet, args) {
      const commandId = newUuid();
      const pipeline = fragment(createPipeline(poolId, commandId, cmdlet, args));
      await post(startCommand(at, shellId, commandId, pipeline));
      const rows: Row[] = [];
      let fault: string | undefined;
      const take = (message: PsrpMessage): boolean => {
        if (message.type === messageTypes.pipelineOutput) rows.push(objectIn(message));
        if (message.type === messageTypes.errorRecord) fault ??= errorText(objectIn(message));
        if (message.type !== messageTypes.pipelineState) return false;
        const end = objectIn(message);
        const state = Number(end['PipelineState']);
        if (state === ended.failed || state === ended.stopped)
          fault ??= errorText(asRow(end['ExceptionAsErrorRecord'] ?? {}));
        return state === ended.completed || state === ended.failed || state === ended.stopped;
      };
      try {
        await receiveUntil(take, commandId);
      } catch (error) {
        throw outOfOrder(error);
      } finally {
        await end(commandId);
      }
      if (fault !== undefined) throw faultOf(cmdlet, fault);
      return rows;
    },
    close,
  };
};
