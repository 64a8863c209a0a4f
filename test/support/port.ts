/** Ports for processes that must be told one before they listen there. */
import { freePort } from '../../cli/free-port.ts';

/** A free one below the range from which the system hands out ports: no connection of a parallel test is given it. */
export const quietPort = (): Promise<number> => freePort(20_000 + Math.floor(Math.random() * 10_000));
