/**
 * Finds a free loopback port. Called by demo.ts, which must tell a port to a process before it listens there.
 */

import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';

const tryPort = (port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const taken = (server.address() as AddressInfo).port;
      server.close(() => resolve(taken));
    });
  });

/** `preferred` when it is free, else any free port. */
export const freePort = async (preferred = 0): Promise<number> =>
  (await tryPort(preferred)) ?? ((await tryPort(0)) as number);
