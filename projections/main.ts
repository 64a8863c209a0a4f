/**
 * Starts the projector of this process: it projects, or stands by while another process does.
 * Called by cli/ as part of `muster serve`.
 */
import type { ServerConfig } from '../platform/config.ts';
import type { Deps } from '../platform/deps.ts';
import { MusterError } from '../platform/errors.ts';
import { projections as registered } from './index.ts';
import type { Projection } from './projection.ts';
import { type ProjectorState, runProjections } from './run.ts';
import { ensureRoles } from './schema.ts';

export type { ProjectorState } from './run.ts';

/** The running projector. */
export interface Projector {
  /** Never resolves; rejects when the projector stopped for good, with the fault that stopped it. */
  readonly failed: Promise<never>;
  /** For /readyz: ready when `live`, or `standby` behind another process. */
  state(): ProjectorState;
  stop(): Promise<void>;
}

/** What tests choose otherwise. */
export interface ProjectorOptions {
  readonly projections?: readonly Projection[];
  /** Most events in one transaction. */
  readonly maxBatch?: number;
}

/**
 * Creates roles, schemas and tables where they are missing and starts to project. Resolves as soon as the views can
 * be queried, or another process is found to project. Rejects with `config-invalid` when the database user may not
 * create the roles, and with `log-behind-readers` when the log ends before what was projected from it.
 */
export const start = async (
  _: ServerConfig,
  deps: Deps,
  { projections = registered, maxBatch = 2000 }: ProjectorOptions = {},
): Promise<Projector> => {
  await ensureRoles(deps.sql);
  const stopping = new AbortController();
  let olderLog: MusterError | undefined;
  let state: ProjectorState = { status: 'catching-up', position: -1n };
  let begun: () => void = () => {};
  const prepared = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const running = runProjections(
    {
      deps,
      projections,
      maxBatch,
      onState: (next) => {
        state = { ...state, ...next };
        begun();
      },
    },
    stopping.signal,
  );
  const failed = new Promise<never>((_resolve, reject) => {
    running.catch((err: unknown) => {
      const reason = err instanceof Error ? err.message : String(err);
      state = { status: 'failed', position: state.position, reason };
      if (err instanceof MusterError && err.code === 'log-behind-readers') olderLog = err;
      deps.log.fatal({ err, position: state.position.toString() }, 'the projector stopped');
      begun();
      reject(err);
    });
  });
  // Whoever cares attaches to it; the state and the log tell it to everybody else.
  failed.catch(() => {});
  await prepared;
  if (olderLog) throw olderLog;
  return {
    failed,
    state: () => state,
    async stop() {
      stopping.abort();
      await running.catch(() => {});
    },
  };
};
