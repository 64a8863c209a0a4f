/**
 * Read model of enrolments, with the one lookup across tenants: by the digest of a code, at enrolment.
 * Called by api/graphql/enrolment.ts and api/device/enrol.ts.
 */
import type { Fact } from '../domain/decider.ts';
import {
  type EnrolmentEvent,
  type EnrolmentState,
  evolveEnrolment,
  initialEnrolment,
} from '../domain/enrolment/enrolment.ts';
import type { DeviceId, EnrolmentId, GroupId, TenantId } from '../domain/ids.ts';
import type { Ownership, Platform } from '../domain/text.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows } from './fold.ts';
import { asOperator } from './operator.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

/** An enrolment. Times are ISO 8601, UTC. An open one is of no use once `expiresAt` has passed. */
export interface EnrolmentRow {
  readonly enrolmentId: EnrolmentId;
  readonly status: 'open' | 'used' | 'revoked';
  /** The registered device to enrol, or once used the device that enrolled. */
  readonly deviceId: DeviceId | null;
  readonly userEmail: string | null;
  readonly platform: Platform | null;
  readonly ownership: Ownership;
  readonly groupId: GroupId | null;
  readonly expiresAt: string;
  readonly createdAt: string;
}

type Existing = Exclude<EnrolmentState, { status: 'none' }> & {
  readonly createdAt: string;
  readonly codeHash: string;
};

const evolve = (state: Existing | undefined, event: Fact<EnrolmentEvent>): Existing => ({
  ...(evolveEnrolment(state ?? initialEnrolment, event) as Existing),
  // Only the write side needs to recognise a repeated request.
  requestId: null,
  createdAt: state?.createdAt ?? event.at,
  codeHash: event.type === 'EnrolmentCreated' ? event.data.codeHash : (state?.codeHash ?? ''),
});

export const enrolmentsProjection: Projection = {
  name: 'enrolments',
  version: 1,
  categories: ['enrolment'],
  tables: [
    {
      name: 'enrolments',
      columns: `enrolment_id ${key} not null, code_hash ${key} not null, status text not null, device_id ${key},
        user_email text, platform text, ownership text not null, group_id ${key}, expires_at ${key} not null,
        created_at ${key} not null, ${foldedColumns}, primary key (tenant_id, enrolment_id)`,
      indexes: ['(code_hash)'],
      operator: { view: 'enrolment_codes', columns: ['tenant_id', 'enrolment_id', 'code_hash'] },
    },
  ],
  apply: (tx, events) =>
    foldRows<Existing>(tx, events, {
      table: 'enrolments',
      id: 'enrolment_id',
      evolve: (state, event) => evolve(state, factOf(event)),
      columns: (state) => ({
        code_hash: state.codeHash,
        status: state.status,
        device_id: state.deviceId,
        user_email: state.userEmail,
        platform: state.platform,
        ownership: state.ownership,
        group_id: state.groupId,
        expires_at: state.expiresAt,
        created_at: state.createdAt,
      }),
    }),
};

const columns = columnsOf<EnrolmentRow>({
  enrolmentId: 'enrolment_id',
  status: 'status',
  deviceId: 'device_id',
  userEmail: 'user_email',
  platform: 'platform',
  ownership: 'ownership',
  groupId: 'group_id',
  expiresAt: 'expires_at',
  createdAt: 'created_at',
});

/** One enrolment of the tenant. */
export const findEnrolment = (
  sql: Sql,
  tenantId: TenantId,
  enrolmentId: EnrolmentId,
): Promise<EnrolmentRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<EnrolmentRow[]>`
      select ${tx.unsafe(columns)} from read.enrolments where enrolment_id = ${enrolmentId}`;
    return row;
  });

/** Enrolments, the newest first. */
export const listEnrolments = (
  sql: Sql,
  tenantId: TenantId,
  page: PageRequest,
): Promise<Page<EnrolmentRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.enrolments',
        order: [{ column: 'enrolment_id', type: 'text' }],
        descending: true,
      },
      page,
    ),
  );

/**
 * Across tenants, at enrolment: which enrolment a code (its SHA-256, hex) belongs to. A device that enrols has no
 * credential yet, so the code alone says which tenant it joins.
 */
export const findEnrolmentByCodeHash = (
  sql: Sql,
  codeHash: string,
): Promise<{ readonly tenantId: TenantId; readonly enrolmentId: EnrolmentId } | undefined> =>
  asOperator(sql, async (tx) => {
    const [row] = await tx<{ tenantId: TenantId; enrolmentId: EnrolmentId }[]>`
      select tenant_id as "tenantId", enrolment_id as "enrolmentId" from read.enrolment_codes
      where code_hash = ${codeHash} order by enrolment_id limit 1`;
    return row;
  });
