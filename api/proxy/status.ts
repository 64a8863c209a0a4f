/**
 * `POST /proxy/v1/status`: a proxy tells how it is and whom it refused. Its state replaces the one before; refusals
 * become events, already counted together by the proxy. Called by api/proxy/main.ts; its other end is proxy/report.ts.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { type MailDenial, mailDenial } from '../../domain/access/access.ts';
import { accessDecider } from '../../domain/access/decide.ts';
import { mailSightingDecider } from '../../domain/mail-sighting/decide.ts';
import { type Sighting, sighting } from '../../domain/mail-sighting/mail-sighting.ts';
import { mailSightingIdOf } from '../../platform/bind-mail-device.ts';
import { isoTime } from '../../platform/clock.ts';
import type { Deps } from '../../platform/deps.ts';
import { MusterError } from '../../platform/errors.ts';
import type { IdentifiedProxy } from '../identify/proxy.ts';
import type { RouteDeclaration } from '../route.ts';
import { proxyState, saveProxyState } from '../vault/proxy-states.ts';
import { readBody } from './body.ts';

export const proxyStatusRoute = {
  methods: ['POST'],
  path: '/proxy/v1/status',
  access: 'proxy',
} as const satisfies RouteDeclaration;

/** A proxy counts no more kinds of refusals than this in ten minutes. */
const maxDenials = 100;
/** And sees no more unknown devices than this between two reports. */
const maxSightings = 50;
const bodyBytes = 256 * 1024;

const report = z.object({
  /** Chosen by the proxy; a report that is sent again is recorded once. */
  reportId: z.uuid(),
  state: proxyState,
  denials: z.array(z.unknown()).max(maxDenials),
  others: z.int().min(0),
  /** Proxies of before sightings send none. */
  sightings: z.array(z.unknown()).max(maxSightings).default([]),
});

interface Report extends Omit<z.infer<typeof report>, 'denials' | 'sightings'> {
  readonly denials: readonly MailDenial[];
  readonly sightings: readonly Sighting[];
}

/** Phones choose the texts of a refusal: one that the log does not take is only counted, and hides no others. */
const reportOf = (body: unknown): Report => {
  const parsed = report.safeParse(body);
  if (parsed.success) {
    const denials = parsed.data.denials.flatMap((given) => mailDenial.safeParse(given).data ?? []);
    return {
      ...parsed.data,
      sightings: parsed.data.sightings.flatMap((given) => sighting.safeParse(given).data ?? []),
      denials,
      others: parsed.data.others + parsed.data.denials.length - denials.length,
    };
  }
  const [issue] = parsed.error.issues;
  throw new MusterError('invalid-input', issue?.message ?? '', { field: issue?.path.join('.') ?? '' });
};

/** A tenant that wants no quarantine gets none, whatever a proxy still reports. */
const recordSightings = async (
  { handler }: Pick<Deps, 'handler'>,
  { tenantId, proxyId, unknownMailDevices }: IdentifiedProxy,
  { sightings, reportId }: Pick<Report, 'sightings' | 'reportId'>,
): Promise<void> => {
  if (unknownMailDevices === 'refuse') return;
  for (const seen of sightings) {
    const id = mailSightingIdOf(tenantId, seen);
    await handler.handle(
      mailSightingDecider,
      { tenantId, id },
      { type: 'SightMailDevice', ...seen },
      { actor: { kind: 'proxy', id: proxyId }, commandId: `${reportId} ${id}` },
    );
  }
};

/** Keeps what an identified proxy reports; answers 204. */
export const takeReport = async (
  { handler, sql, clock }: Pick<Deps, 'handler' | 'sql' | 'clock'>,
  proxy: IdentifiedProxy,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> => {
  const { tenantId, proxyId } = proxy;
  const { reportId, state, denials, others, sightings } = reportOf(await readBody(req, bodyBytes));
  const now = clock();
  await recordSightings({ handler }, proxy, { sightings, reportId });
  await saveProxyState(sql, { tenantId, proxyId }, state, now);
  if (denials.length > 0 || others > 0) {
    await handler.handle(
      accessDecider,
      { tenantId, id: proxyId },
      { type: 'RecordMailDenials', denials, others, now: isoTime(now), reportId },
      { actor: { kind: 'proxy', id: proxyId }, commandId: reportId },
    );
  }
  res.writeHead(204).end();
};
