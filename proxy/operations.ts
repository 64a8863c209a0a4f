/**
 * Everything by which a proxy is watched, opened together: access log, metrics, tally of refusals and the reports to
 * the server. Opened by main.ts; `observe` is told of every request.
 */
import { readFileSync } from 'node:fs';
import type { Agent } from 'undici';
import { type Clock, isoTime } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { type AccessEntry, type AccessLogSettings, openAccessLog } from './access-log.ts';
import { deniesAll, type Health } from './admin.ts';
import { openDenialTally } from './denial-tally.ts';
import { type InstanceFigures, type Metrics, openMetrics } from './metrics.ts';
import { openReporter, type Reporter, type ReporterParts, type ReportTiming } from './report.ts';

export interface OperationsParts {
  readonly log: Logger;
  readonly clock: Clock;
  readonly settings: AccessLogSettings;
  /** Whether the proxy shares the process of the server. */
  readonly internal: boolean;
  readonly instances: () => readonly InstanceFigures[];
}

/** Whom an instance reports to, and how it is. */
export interface ReportTarget {
  readonly serverUrl: URL;
  /** The client by which the server knows the instance. */
  readonly agent: Agent;
  readonly figures: () => InstanceFigures;
  readonly takeSightings: ReporterParts['takeSightings'];
  readonly timing?: Partial<ReportTiming> | undefined;
}

export interface Operations {
  readonly metrics: Metrics;
  readonly observe: (entry: AccessEntry) => void;
  /** Starts to report; the instance stops it before it closes its client. */
  readonly reportTo: (target: ReportTarget) => Reporter;
  /** Opens the access log again; for SIGHUP. */
  readonly reopenLog: () => void;
  readonly stop: () => Promise<void>;
}

/** The version in package.json. */
export const proxyVersion = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** What metrics and reports say of one instance. */
export const figuresOf = (
  instance: string,
  health: Health,
  heldRequests: number,
  now: number,
): InstanceFigures => {
  const { devices, position, connected, stale, draining, verifiesServer, lastContactAt } = health;
  const { certificateExpiresAt: end } = health;
  const certificateExpiresAt = end === undefined ? null : Date.parse(end);
  const ageSeconds = lastContactAt === null ? null : Math.max(0, (now - Date.parse(lastContactAt)) / 1_000);
  return {
    instance,
    heldRequests,
    devices,
    position,
    ageSeconds,
    connected,
    stale,
    deniesAll: deniesAll(health),
    verifiesServer,
    draining,
    certificateExpiresAt,
  };
};

/** Opens them. Throws when the access log cannot be opened. */
export const openOperations = ({
  log,
  clock,
  settings,
  internal,
  instances,
}: OperationsParts): Operations => {
  const access = openAccessLog(settings, { clock, log });
  const metrics = openMetrics({ version: proxyVersion, instances, logDropped: access.dropped });
  const startedAt = isoTime(clock());
  const tallies = new Map<string, { tally: ReturnType<typeof openDenialTally>; reporter: Reporter }>();

  const reportTo = ({ serverUrl, agent, figures, takeSightings, timing }: ReportTarget): Reporter => {
    const { instance } = figures();
    const tally = openDenialTally(clock);
    const state = () => {
      const now = figures();
      const { position, ageSeconds, certificateExpiresAt, connected, stale, devices, heldRequests } = now;
      return {
        version: proxyVersion,
        internal,
        startedAt,
        position,
        lagSeconds: ageSeconds === null ? null : Math.round(ageSeconds),
        connected,
        stale,
        devices,
        heldRequests,
        denials: tally.total(),
        certificateExpiresAt: certificateExpiresAt === null ? null : isoTime(certificateExpiresAt),
      };
    };
    const reporter = openReporter({
      serverUrl,
      agent,
      state,
      tally,
      takeSightings,
      log: log.child({ instance }),
      timing,
    });
    tallies.set(instance, { tally, reporter });
    return reporter;
  };

  return {
    metrics,
    observe: (entry) => {
      access.write(entry);
      metrics.observe(entry);
      const own = tallies.get(entry.instance ?? '');
      if (own?.tally.record(entry)) own.reporter.soon();
    },
    reportTo,
    reopenLog: access.reopen,
    stop: () => access.close(),
  };
};
