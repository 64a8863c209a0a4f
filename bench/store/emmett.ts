/**
 * Appends through @event-driven-io/emmett-postgresql: the nearest event store a TypeScript team would otherwise choose.
 * Called by appends.ts. Installed by `npm run bench` beside the benches (bench/package.json), not with Muster.
 */
import { newUuid } from '../../platform/new-id.ts';
import { closedLoop, type Measured } from '../measure.ts';

interface EmmettStore {
  appendToStream(
    stream: string,
    events: readonly { type: string; data: unknown; metadata: unknown }[],
    options: { expectedStreamVersion: bigint | 'STREAM_DOES_NOT_EXIST' },
  ): Promise<{ nextExpectedStreamVersion: bigint }>;
  close(): Promise<void>;
}

/** The part of the package that is used; its own types need packages that only the bench installs. */
interface EmmettModule {
  getPostgreSQLEventStore(connectionString: string): EmmettStore;
}

const packageName: string = '@event-driven-io/emmett-postgresql';

/** Opens emmett's store in the database at `databaseUrl`. */
export const openEmmett = async (databaseUrl: string): Promise<EmmettStore> => {
  const emmett = (await import(packageName)) as EmmettModule;
  return emmett.getPostgreSQLEventStore(databaseUrl);
};

/** Appends with the expected version checked, `callers` at a time, each to a stream of its own. */
export const emmettAppends = (
  store: EmmettStore,
  payload: unknown,
  callers: number,
  durationMs: number,
): Promise<Measured> => {
  const run = newUuid().replaceAll('-', '');
  const versions: (bigint | undefined)[] = [];
  return closedLoop(callers, durationMs, async (caller) => {
    const result = await store.appendToStream(
      `bench-${run}_${caller}`,
      [{ type: 'Benched', data: payload, metadata: { at: 'now' } }],
      { expectedStreamVersion: versions[caller] ?? 'STREAM_DOES_NOT_EXIST' },
    );
    versions[caller] = result.nextExpectedStreamVersion;
  });
};
