/**
 * Everything by which a proxy is watched, opened together: access log, metrics, tally of refusals and the reports to
 * the server. Opened by main.ts; `observe` is told of every request.
 */

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent } from 'undici';
import { type Clock, isoTime } from '../platform/clock.ts';
import type { Logger } from '../platform/log.ts';
import { type AccessEntry, type AccessLogSettings, openAccessLog } from './access-log.ts';
import type { Health } from './admin.ts';
import { openDenialTally } from './denial-tally.ts';
import { type InstanceFigures, type Metrics, openMetrics } from './metrics.ts';
import { openReporter, type Reporter, type ReportTiming } from './report.ts';

export interface OperationsParts {
  readonly log: Logger;
  readonly clock: Clock;
  readonly settings: AccessLogSettings;
  readonly instances: () => readonly InstanceFigures[];
}

/** Whom an instance reports to, and how it is. */
export interface ReportTarget {
  readonly serverUrl: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** PEM, when the server's CA is not one that Node trusts. */
  readonly ca: string | undefined;
  readonly allowsAnyServerCertificate: boolean;
  readonly figures: () => InstanceFigures;
  readonly timing?: Partial<ReportTiming> | undefined;
}

export interface Operations {
  readonly metrics: Metrics;
  readonly observe: (entry: AccessEntry) => void;
  readonly reportTo: (target: ReportTarget) => void;
  /** Opens the access log again; for SIGHUP. */
  readonly reopenLog: () => void;
  readonly stop: () => Promise<void>;
}

/** The version in package.json. */
export const proxyVersion = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** When the certificate that this PEM begins with ends, ms since the epoch; null when it is none. */
export const certificateEnd = (pem: Buffer | undefined): number | null => {
  if (pem === undefined) return null;
  try {
    return Date.parse(new X509Certificate(pem).validTo);
  } catch {
    return null;
  }
};

/** What metrics and reports say of one instance. */
export const figuresOf = (
  instance: string,
  health: Health,
  heldRequests: number,
  certificateExpiresAt: number | null,
  now: number,
): InstanceFigures => {
  const { devices, position, connected, stale, lastContactAt } = health;
  const ageSeconds = lastContactAt === null ? null : Math.max(0, (now - Date.parse(lastContactAt)) / 1_000);
  return { instance, heldRequests, devices, position, ageSeconds, connected, stale, certificateExpiresAt };
};

/** Opens them. Throws when the access log cannot be opened. */
export const openOperations = ({ log, clock, settings, instances }: OperationsParts): Operations => {
  const access = openAccessLog(settings, { clock, log });
  const metrics = openMetrics({ version: proxyVersion, instances, logDropped: access.dropped });
  const startedAt = isoTime(clock());
  const tallies = new Map<string, { tally: ReturnType<typeof openDenialTally>; reporter: Reporter }>();
  const agents: Agent[] = [];

  const report = (target: ReportTarget): void => {
    const { serverUrl, headers, ca, figures, allowsAnyServerCertificate, timing } = target;
    const { instance } = figures();
    const tally = openDenialTally(clock);
    const dispatcher = new Agent({
      connections: 1,
      connect: {
        timeout: 10_000,
        ...(ca === undefined ? {} : { ca }),
        ...(allowsAnyServerCertificate ? { rejectUnauthorized: false } : {}),
      },
    });
    agents.push(dispatcher);
    const state = () => {
      const { position, ageSeconds, certificateExpiresAt, connected, stale, devices, heldRequests } =
        figures();
      return {
        version: proxyVersion,
        startedAt,
        position,
        lagSeconds: ageSeconds === null ? null : Math.round(ageSeconds),
        connected,
        stale,
        devices,
        heldRequests,
        denials: tally.total(),
        certificateExpiresAt: certificateExpiresAt === null ? null : isoTime(certificateExpiresAt),
        allowsAnyServerCertificate,
      };
    };
    const reporter = openReporter({ serverUrl, headers, dispatcher, state, tally, log, timing });
    tallies.set(instance, { tally, reporter });
  };

  return {
    metrics,
    observe: (entry) => {
      access.write(entry);
      metrics.observe(entry);
      const own = tallies.get(entry.instance ?? '');
      if (own?.tally.record(entry)) own.reporter.soon();
    },
    reportTo: report,
    reopenLog: access.reopen,
    stop: async () => {
      await Promise.all([...tallies.values()].map(({ reporter }) => reporter.stop()));
      await Promise.all(agents.map((agent) => agent.destroy()));
      await access.close();
    },
  };
};
