/**
 * Walks a read model page by page, on rows that include the event a job reacts to. Called by jobs that concern many
 * devices.
 */

import { MusterError } from '../platform/errors.ts';
import { maximumPage, type Page, type PageRequest } from '../projections/page.ts';
import type { Parts } from './jobs.ts';

/** How long a job waits for the read model; then it is tried again later. */
const waitMs = 30_000;

/** Waits until the read model shows the log up to `position`; `dependency-unavailable` when it does not in time. */
export const untilProjected = async ({ projected, stopping }: Parts, position: bigint): Promise<void> => {
  const answered = new AbortController();
  const stopped = new Promise<false>((resolve) => {
    stopping.addEventListener('abort', () => resolve(false), { once: true, signal: answered.signal });
  });
  const reached = await Promise.race([projected.reached(position, waitMs), stopped]);
  answered.abort();
  stopping.throwIfAborted();
  if (!reached)
    throw new MusterError('dependency-unavailable', `the read model has not reached position ${position}`);
};

/** Yields the pages of a list until its end. Between pages a stopping process gives the job back. */
export async function* everyPage<Row>(
  { stopping }: Parts,
  read: (page: PageRequest) => Promise<Page<Row>>,
): AsyncGenerator<readonly Row[]> {
  let after: string | undefined;
  do {
    stopping.throwIfAborted();
    const page = await read({ first: maximumPage, after });
    if (page.rows.length > 0) yield page.rows;
    after = page.hasNextPage ? page.cursors.at(-1) : undefined;
  } while (after !== undefined);
}
