/**
 * Metrics of a proxy in Prometheus' text format, for `/metrics` of the admin listener. Opened by main.ts; counts every
 * access entry. Label values come from lists of ours, never from clients, so that series stay few.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { AccessEntry } from './access-log.ts';

/** What is read from one instance when somebody asks. */
export interface InstanceFigures {
  readonly instance: string;
  readonly heldRequests: number;
  readonly devices: number;
  readonly position: string | null;
  /** Since the server last confirmed the verdicts; null: never. */
  readonly ageSeconds: number | null;
  readonly connected: boolean;
  readonly stale: boolean;
  /** Stale, and the tenant wants that nobody is allowed then. */
  readonly deniesAll: boolean;
  /** False: it takes the server's certificate unchecked. */
  readonly verifiesServer: boolean;
  readonly draining: boolean;
  /** Ms since the epoch; null without TLS of its own. */
  readonly certificateExpiresAt: number | null;
}

export interface Metrics {
  readonly observe: (entry: AccessEntry) => void;
  /** The exposition and its content type. */
  readonly expose: () => Promise<{ readonly text: string; readonly contentType: string }>;
}

export interface MetricsParts {
  readonly version: string;
  readonly instances: () => readonly InstanceFigures[];
  readonly logDropped: () => number;
}

/** A long poll legitimately takes an hour. */
const buckets = [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600, 3600];

interface Counted {
  readonly instance: string;
  readonly decision: string;
  readonly requests: Counter.Internal;
  readonly seconds: Histogram.Internal<'instance'>;
}

/** Opens the registry; nothing runs until it is asked. */
export const openMetrics = ({ version, instances, logDropped }: MetricsParts): Metrics => {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: 'muster_proxy_' });
  const requests = new Counter({
    name: 'muster_proxy_requests_total',
    help: 'Requests answered, by decision and the rule that decided.',
    labelNames: ['instance', 'decision', 'rule'] as const,
    registers,
  });
  const seconds = new Histogram({
    name: 'muster_proxy_request_seconds',
    help: 'From the head of a request to the end of its answer; long polls included.',
    labelNames: ['instance', 'decision'] as const,
    buckets,
    registers,
  });
  const faults = new Counter({
    name: 'muster_proxy_backend_failures_total',
    help: 'Allowed requests to which the mail server gave no valid answer.',
    labelNames: ['instance'] as const,
    registers,
  });
  new Gauge({ name: 'muster_proxy_info', help: 'The version.', labelNames: ['version'], registers }).set(
    { version },
    1,
  );
  new Gauge({
    name: 'muster_proxy_access_log_dropped_lines',
    help: 'Lines of the access log that the disk did not take, since the start.',
    registers,
    collect() {
      this.set(logDropped());
    },
  });
  for (const [name, help, read] of gauges) {
    new Gauge({
      name: `muster_proxy_${name}`,
      help,
      labelNames: ['instance'],
      registers,
      collect() {
        this.reset();
        for (const figures of instances()) {
          const value = read(figures);
          if (value !== null) this.set({ instance: figures.instance }, value);
        }
      },
    });
  }

  /** Children by rule, decision and instance: looking them up by an object of labels would cost more than counting. */
  const known = new Map<string, Counted[]>();
  const countedOf = (instance: string, decision: string, rule: string): Counted => {
    const ofRule = known.get(rule) ?? [];
    const found = ofRule.find((of) => of.instance === instance && of.decision === decision);
    if (found !== undefined) return found;
    const made = {
      instance,
      decision,
      requests: requests.labels(instance, decision, rule),
      seconds: seconds.labels(instance, decision),
    };
    known.set(rule, [...ofRule, made]);
    return made;
  };

  return {
    observe: ({ instance, decision, rule, durationMs, fault, status }) => {
      const counted = countedOf(instance ?? '', decision, rule);
      counted.requests.inc();
      counted.seconds.observe(durationMs / 1_000);
      if (fault !== null && (status === null || status >= 500)) faults.inc({ instance: instance ?? '' });
    },
    expose: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
  };
};

const gauges: readonly (readonly [string, string, (figures: InstanceFigures) => number | null])[] = [
  ['held_requests', 'Requests now in flight to the mail server.', (of) => of.heldRequests],
  ['devices', 'Devices in the table of verdicts.', (of) => of.devices],
  [
    'feed_position',
    'Position in the server’s log up to which verdicts are known.',
    (of) => (of.position === null ? null : Number(of.position)),
  ],
  ['verdicts_age_seconds', 'Since the server last confirmed the verdicts.', (of) => of.ageSeconds],
  ['feed_connected', 'Whether the feed is connected.', (of) => Number(of.connected)],
  ['stale', 'Whether the verdicts are too old or missing.', (of) => Number(of.stale)],
  [
    'denies_all',
    'Whether nobody is allowed because the verdicts are too old or missing and the tenant’s rule is to deny.',
    (of) => Number(of.deniesAll),
  ],
  [
    'server_verified',
    'Whether the server’s certificate is verified; 0 with allowAnyServerCertificate.',
    (of) => Number(of.verifiesServer),
  ],
  ['draining', 'Whether the proxy is about to stop.', (of) => Number(of.draining)],
  [
    'certificate_expires_seconds',
    'When the certificate of the listener ends, in seconds since the epoch.',
    (of) => (of.certificateExpiresAt === null ? null : of.certificateExpiresAt / 1_000),
  ],
];
