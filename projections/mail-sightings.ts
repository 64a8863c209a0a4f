/**
 * Read model of the quarantine: devices that nobody knows, seen at the mail gate with a password that the mail server took.
 * Called by api/graphql/mail-sighting.ts.
 */
import type { Fact } from '../domain/decider.ts';
import type { DeviceId, MailSightingId, TenantId } from '../domain/ids.ts';
import {
  evolveMailSighting,
  initialMailSighting,
  type MailSightingEvent,
  type MailSightingState,
} from '../domain/mail-sighting/mail-sighting.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

type Existing = Exclude<MailSightingState, { status: 'none' }>;

/** A sighting. Times are ISO 8601, UTC; what the phone says of itself is only that. */
export interface MailSightingRow {
  readonly sightingId: MailSightingId;
  readonly status: Existing['status'];
  readonly easDeviceId: string;
  readonly user: string;
  readonly deviceType: string | null;
  readonly userAgent: string | null;
  readonly address: string | null;
  readonly firstSeenAt: string;
  readonly lastSeenAt: string;
  readonly deviceId: DeviceId | null;
}

export const mailSightingsProjection: Projection = {
  name: 'mail-sightings',
  version: 1,
  categories: ['mail-sighting'],
  tables: [
    {
      name: 'mail_sightings',
      columns: `sighting_id ${key} not null, status text not null, seen_at ${key} not null, ${foldedColumns},
        primary key (tenant_id, sighting_id)`,
      indexes: ['(tenant_id, seen_at, sighting_id)', '(tenant_id, status, seen_at, sighting_id)'],
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'mail_sightings',
      id: 'sighting_id',
      evolve: (state, event) =>
        evolveMailSighting(state ?? initialMailSighting, factOf<Fact<MailSightingEvent>>(event)) as Existing,
      columns: ({ status, at }) => ({ status, seen_at: at }),
    }),
};

const columns = columnsOf<MailSightingRow>({
  sightingId: 'sighting_id',
  status: 'status',
  easDeviceId: `state->>'easDeviceId'`,
  user: `state->>'user'`,
  deviceType: `state->>'deviceType'`,
  userAgent: `state->>'userAgent'`,
  address: `state->>'address'`,
  firstSeenAt: `state->>'firstSeenAt'`,
  lastSeenAt: 'seen_at',
  deviceId: `state->>'deviceId'`,
});

/** One sighting of the tenant. */
export const findMailSighting = (
  sql: Sql,
  tenantId: TenantId,
  sightingId: MailSightingId,
): Promise<MailSightingRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<MailSightingRow[]>`
      select ${tx.unsafe(columns)} from read.mail_sightings where sighting_id = ${sightingId}`;
    return row;
  });

/** Sightings, the last seen first; of one status when it is given. */
export const listMailSightings = (
  sql: Sql,
  tenantId: TenantId,
  status: Existing['status'] | undefined,
  page: PageRequest,
): Promise<Page<MailSightingRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.mail_sightings',
        where: status === undefined ? [] : [tx`status = ${status}`],
        order: [
          { column: 'seen_at', type: 'text' },
          { column: 'sighting_id', type: 'text' },
        ],
        descending: true,
      },
      page,
    ),
  );
