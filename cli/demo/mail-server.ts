/**
 * A stand-in for the mail server of the demo: answers ActiveSync requests on loopback and remembers who reached it.
 * Called by story.ts. The demo has no mailbox; everything in front of it is real.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A mail server that answers OPTIONS and every POST as Exchange would a request without changes (MS-ASHTTP 2.2.2). */
export interface MailServer {
  readonly url: string;
  /** Query strings of the requests that reached it. */
  readonly reached: readonly string[];
  stop(): Promise<void>;
}

const protocolHeaders = {
  'MS-Server-ActiveSync': '15.2',
  'MS-ASProtocolVersions': '14.0,14.1,16.0,16.1',
  'MS-ASProtocolCommands': 'Sync,SendMail,FolderSync,Ping,Provision,Settings',
};

/** Starts the stand-in on a free loopback port. */
export const startMailServer = async (): Promise<MailServer> => {
  const reached: string[] = [];
  const server = createServer((req, res) => {
    req.resume().on('end', () => {
      reached.push(req.url ?? '');
      res.writeHead(200, {
        ...protocolHeaders,
        'content-type': 'application/vnd.ms-sync.wbxml',
        'content-length': '0',
      });
      res.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    reached,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
