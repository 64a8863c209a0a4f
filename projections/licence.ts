/**
 * Read model of the licence, of what each tenant has of its seats, and of the seat of each device.
 * Called by api/graphql/licence.ts and workers/review-{licence,seats}.ts.
 *
 * Rows here come from several streams each (a tenant's seats from the licence and from the ledger; a device's from the
 * ledger and from the device), so they remember the log position they were folded to in place of a revision.
 */
import type { Fact } from '../domain/decider.ts';
import type { DeviceEvent } from '../domain/device/device.ts';
import { type DeviceId, deviceId, type EnrolmentId, type TenantId } from '../domain/ids.ts';
import {
  type Edition,
  evolveLicence,
  type Grant,
  initialLicence,
  type LicenceEvent,
  type LicenceState,
} from '../domain/licence/licence.ts';
import type { SeatEvent } from '../domain/seat/seat.ts';
import { operatorTenantId } from '../domain/tenant/tenant.ts';
import type { StoredEvent } from '../platform/event-store.ts';
import { asTenant, type Sql, type Transaction } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { asOperator } from './operator.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

/** The licence. `registrationEmail` is null until the trial is registered. */
export interface LicenceRow {
  readonly installationId: string;
  readonly registrationEmail: string | null;
  readonly grant: Grant | null;
  /** Sum of the seats allotted to tenants. */
  readonly allotted: number;
}

/** What a tenant has of the licence, and uses of it. The edition is as allotted, whatever the licence's. */
export interface SeatUseRow {
  readonly tenantId: TenantId;
  readonly allotted: number;
  readonly edition: Edition;
  /** Seats in use. */
  readonly taken: number;
}

/** A device whose seat and whose enrolment disagree since `since` (ISO 8601, UTC). */
export interface UnsettledSeatRow {
  readonly tenantId: TenantId;
  readonly deviceId: DeviceId;
  readonly since: string;
}

type Installed = Exclude<LicenceState, { status: 'none' }>;

/** A device's seat: the enrolment it was taken for, and the one under which the device is enrolled. */
interface DeviceSeat {
  readonly seat: EnrolmentId | null;
  readonly enrolled: EnrolmentId | null;
}

type SeatedEvent = SeatEvent | Extract<DeviceEvent, { type: 'DeviceEnrolled' | 'DeviceUnenrolled' }>;

const seatedTypes: readonly string[] = ['SeatTaken', 'SeatReleased', 'DeviceEnrolled', 'DeviceUnenrolled'];

const evolveDeviceSeat = (state: DeviceSeat, { type, data }: SeatedEvent): DeviceSeat => {
  switch (type) {
    case 'SeatTaken':
      return { ...state, seat: data.enrolmentId };
    case 'SeatReleased':
      return { ...state, seat: null };
    case 'DeviceEnrolled':
      return { ...state, enrolled: data.enrolmentId };
    case 'DeviceUnenrolled':
      return { ...state, enrolled: null };
  }
};

type TenantSeats = Omit<SeatUseRow, 'tenantId'>;
const noSeats: TenantSeats = { allotted: 0, edition: 'standard', taken: 0 };

const evolveTenantSeats = (state: TenantSeats, { type, data }: SeatEvent | LicenceEvent): TenantSeats => {
  switch (type) {
    case 'SeatsAllotted':
      return { ...state, allotted: data.seats, edition: data.edition };
    case 'SeatTaken':
    case 'SeatReleased':
      return { ...state, taken: data.taken };
    default:
      return state;
  }
};

const applyLicence = (tx: Transaction, events: readonly StoredEvent[]): Promise<void> =>
  foldRows<Installed>(
    tx,
    events.filter(({ category }) => category === 'licence'),
    {
      table: 'licence',
      // What each tenant was allotted is in rows of its own.
      evolve: (state, event) => ({
        ...(evolveLicence(state ?? initialLicence, factOf<Fact<LicenceEvent>>(event)) as Installed),
        allotments: [],
      }),
      columns: ({ installationId, registrationEmail, grant, allotted }) => ({
        installation_id: installationId,
        registration_email: registrationEmail,
        granted: grant,
        allotted,
      }),
    },
  );

const applyTenantSeats = (tx: Transaction, events: readonly StoredEvent[]): Promise<void> =>
  foldRows<TenantSeats>(
    tx,
    events.flatMap((event) => {
      const { type, data, position: revision } = event;
      if (type === 'SeatsAllotted')
        return [{ ...event, tenantId: (data as { tenantId: TenantId }).tenantId, revision }];
      return event.category === 'seat' ? [{ ...event, revision }] : [];
    }),
    {
      table: 'tenant_seats',
      evolve: (state = noSeats, event) => evolveTenantSeats(state, event as unknown as SeatEvent),
      columns: ({ allotted, edition, taken }) => ({ allotted, edition, taken }),
    },
  );

const applyDeviceSeats = (tx: Transaction, events: readonly StoredEvent[]): Promise<void> =>
  foldRows<DeviceSeat>(
    tx,
    events.flatMap((event) => {
      if (!seatedTypes.includes(event.type)) return [];
      const entityId =
        event.category === 'seat' ? (event.data as { deviceId: string }).deviceId : event.entityId;
      return [{ ...event, entityId: deviceId.parse(entityId), revision: event.position }];
    }),
    {
      table: 'device_seats',
      id: 'device_id',
      evolve: (state = { seat: null, enrolled: null }, event) =>
        evolveDeviceSeat(state, event as unknown as SeatedEvent),
      columns: ({ seat, enrolled }, { at }) => ({ settled: seat === enrolled, since: at }),
    },
  );

export const licenceProjection: Projection = {
  name: 'licence',
  version: 1,
  categories: ['licence', 'seat', 'device'],
  tables: [
    {
      name: 'licence',
      columns: `installation_id text not null, registration_email text, granted jsonb, allotted int not null,
        ${foldedColumns}, primary key (tenant_id)`,
    },
    {
      name: 'tenant_seats',
      columns: `allotted int not null, edition text not null, taken int not null, ${foldedColumns},
        primary key (tenant_id)`,
      operator: { view: 'all_tenant_seats', columns: ['tenant_id', 'allotted', 'edition', 'taken'] },
    },
    {
      name: 'device_seats',
      columns: `device_id ${key} not null, settled boolean not null, since ${key} not null, ${foldedColumns},
        primary key (tenant_id, device_id)`,
      indexes: ['(since, tenant_id, device_id) where not settled'],
      operator: { view: 'all_device_seats', columns: ['tenant_id', 'device_id', 'settled', 'since'] },
    },
  ],
  async apply(tx, events) {
    await applyLicence(tx, events);
    await applyTenantSeats(tx, events);
    await applyDeviceSeats(tx, events);
  },
};

const licenceColumns = columnsOf<LicenceRow>({
  installationId: 'installation_id',
  registrationEmail: 'registration_email',
  grant: 'granted',
  allotted: 'allotted',
});

const seatUseColumns = columnsOf<SeatUseRow>({
  tenantId: 'tenant_id',
  allotted: 'allotted',
  edition: 'edition',
  taken: 'taken',
});

/** The licence of the installation. */
export const findLicence = (sql: Sql): Promise<LicenceRow | undefined> =>
  asTenant(sql, operatorTenantId, async (tx) => {
    const [row] = await tx<LicenceRow[]>`select ${tx.unsafe(licenceColumns)} from read.licence`;
    return row;
  });

/** What the tenant has of the licence; nothing when it was never allotted anything. */
export const findSeatUse = (sql: Sql, tenantId: TenantId): Promise<SeatUseRow> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<SeatUseRow[]>`select ${tx.unsafe(seatUseColumns)} from read.tenant_seats`;
    return row ?? { tenantId, ...noSeats };
  });

/** Across tenants, for the operator: what each tenant has of the licence, by tenant. */
export const listSeatUses = (sql: Sql, page: PageRequest): Promise<Page<SeatUseRow>> =>
  asOperator(sql, (tx) =>
    readPage(
      tx,
      {
        columns: seatUseColumns,
        from: 'read.all_tenant_seats',
        order: [{ column: 'tenant_id', type: 'text' }],
      },
      page,
    ),
  );

/** Across tenants, for workers: devices whose seat and enrolment disagree since before `before`, the oldest first. */
export const listUnsettledSeats = (sql: Sql, before: string, limit: number): Promise<UnsettledSeatRow[]> =>
  asOperator(
    sql,
    (tx) => tx<UnsettledSeatRow[]>`
      select tenant_id as "tenantId", device_id as "deviceId", since from read.all_device_seats
      where not settled and since < ${before} order by since, tenant_id, device_id limit ${limit}`,
  );
