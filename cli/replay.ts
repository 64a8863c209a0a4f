/**
 * `muster replay`: a tenant's history from the log alone, and the state it folds to, as NDJSON on standard output.
 */
import { Command } from 'commander';
import { deciders } from '../domain/deciders.ts';
import { type TenantId, tenantId as tenantIdSchema } from '../domain/ids.ts';
import { redact } from '../domain/redact.ts';
import { startEmbedded } from '../embedded/main.ts';
import { readConfig, type ServerConfig, serverSettings } from '../platform/config.ts';
import { MusterError } from '../platform/errors.ts';
import { type EventStore, openEventStore, type StoredEvent } from '../platform/event-store.ts';
import { type Logger, openLog } from '../platform/log.ts';
import { findRunning } from './running.ts';

interface Options {
  readonly tenant: string;
  readonly until?: string;
  readonly state: boolean;
  readonly dataDir?: string;
}

/** The tenant of that id or short name. */
const findTenant = async (store: EventStore, idOrSlug: string): Promise<TenantId> => {
  const id = tenantIdSchema.safeParse(idOrSlug);
  if (id.success) return id.data;
  for await (const event of store.readAll()) {
    if (event.type === 'TenantCreated' && (event.data as { slug: string }).slug === idOrSlug)
      return event.tenantId;
  }
  throw new MusterError('invalid-input', `No tenant has the id or short name "${idOrSlug}".`, {
    field: '--tenant',
  });
};

const lineOf = (event: StoredEvent) => ({
  position: event.position.toString(),
  at: event.at,
  stream: event.stream,
  revision: Number(event.revision),
  type: event.type,
  actor: event.metadata.actor,
  correlationId: event.metadata.$correlationId,
  causationId: event.metadata.$causationId,
  data: redact(event.data),
});

/** Writes a line, waiting when the reader of a pipe is slower. */
const write = (value: unknown): Promise<void> =>
  new Promise((resolve, reject) => {
    process.stdout.write(`${JSON.stringify(value)}\n`, (error) => (error ? reject(error) : resolve()));
  });

/**
 * Writes the history of a tenant in log order, up to and including `until` (ISO 8601), then one line per aggregate
 * with the state that its events fold to. Secrets are redacted.
 */
export const replay = async (
  store: EventStore,
  options: { tenant: string; until?: string | undefined; state: boolean },
  writeLine: (value: unknown) => Promise<void> = write,
): Promise<void> => {
  const tenantId = await findTenant(store, options.tenant);
  const until = options.until === undefined ? undefined : Date.parse(options.until);
  if (Number.isNaN(until))
    throw new MusterError('invalid-input', `"${options.until}" is not an ISO 8601 time.`, {
      field: '--until',
    });
  const states = new Map<string, unknown>();
  for await (const event of store.readAll({ tenantId })) {
    if (until !== undefined && Date.parse(event.at) > until) continue;
    await writeLine(lineOf(event));
    const decider = deciders.get(event.category);
    if (!decider || !options.state) continue;
    states.set(event.stream, decider.evolve(states.get(event.stream) ?? decider.initial, event));
  }
  for (const [stream, state] of states) await writeLine({ stream, state: redact(state) });
};

/** The log of the configured, the running, or else a newly started embedded event store. */
const openLogOfEvents = async (
  config: ServerConfig,
  log: Logger,
): Promise<{ store: EventStore; close(): Promise<void> }> => {
  const url = config.eventStoreUrl ?? findRunning(config.dataDir)?.eventStoreUrl;
  if (url !== undefined) {
    const store = openEventStore(url);
    return { store, close: () => store.close() };
  }
  const embedded = await startEmbedded({ ...config, eventStorePort: 0 }, { log });
  const store = openEventStore(embedded.eventStoreUrl);
  return { store, close: () => store.close().finally(() => embedded.stop()) };
};

const run = async (options: Options): Promise<void> => {
  const config = readConfig(serverSettings, { dataDir: options.dataDir });
  const { store, close } = await openLogOfEvents(config, openLog({ level: 'warn', name: 'replay' }));
  try {
    await replay(store, options);
  } finally {
    await close();
  }
};

/** The subcommand, for muster.ts. */
export const replayCommand = (): Command =>
  new Command('replay')
    .description('Print a tenant’s history as NDJSON, and the state it folds to, from the log alone.')
    .requiredOption('--tenant <id or short name>', 'whose history')
    .option('--until <time>', 'leave out what happened after this time (ISO 8601)')
    .option('--no-state', 'print the events only')
    .option('--data-dir <folder>', 'data folder of the server (MUSTER_DATA_DIR)')
    .action(run);
