/** Ports for processes that must be told one before they listen there, and when they do. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { freePort } from '../../cli/free-port.ts';

/** A free one below the range from which the system hands out ports: no connection of a parallel test is given it. */
export const quietPort = (): Promise<number> => freePort(20_000 + Math.floor(Math.random() * 10_000));

/** Settles once somebody listens there; fails when the program has ended before. */
export const untilListening = async (port: number, program: ChildProcess): Promise<void> => {
  let over = false;
  program.once('exit', () => {
    over = true;
  });
  for (;;) {
    if (over) throw new Error(`${program.spawnfile} ended before it listened`);
    const socket = connect(port, '127.0.0.1');
    const [event] = await Promise.race([
      once(socket, 'connect').then(() => ['connect']),
      once(socket, 'error').then(() => ['error']),
    ]).catch(() => ['error']);
    socket.destroy();
    if (event === 'connect') return;
  }
};
