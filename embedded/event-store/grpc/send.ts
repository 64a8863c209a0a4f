/**
 * Sends a read's answers at the pace of the client and notices when it leaves.
 * Called by read.ts, once per call.
 */
import type grpc from '@grpc/grpc-js';
import type { streams } from './protocol.ts';

/** A read call: encoded answers go out. */
export type ReadCall = grpc.ServerWritableStream<streams.ReadReq, Buffer>;

/** One call's outgoing side. */
export interface Outlet {
  /** Aborted when the client left or the server stops; nothing more needs to be sent then. */
  readonly signal: AbortSignal;
  /** Queues one answer; resolves or returns at once while the client keeps up. */
  send(encoded: Buffer): Promise<void> | undefined;
}

/** Wraps `call`. `leave` ends the outlet from the server's side. */
export const openOutlet = (call: ReadCall): Outlet & { leave(): void } => {
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  call.on('cancelled', leave);
  call.on('close', leave);
  call.on('finish', leave);
  // A client that vanishes surfaces as an error of the call; there is nobody left to tell.
  call.on('error', leave);

  const drained = (): Promise<void> =>
    new Promise((resolve) => {
      const done = (): void => {
        call.removeListener('drain', done);
        gone.signal.removeEventListener('abort', done);
        resolve();
      };
      call.on('drain', done);
      gone.signal.addEventListener('abort', done);
    });

  return {
    signal: gone.signal,
    leave,
    send: (encoded) => {
      if (gone.signal.aborted || call.write(encoded)) return undefined;
      return drained();
    },
  };
};
