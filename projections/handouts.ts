/**
 * Read model of handouts of enrolment codes: who got one, never the codes. Called by api/graphql/handout.ts and the
 * download of codes.
 */
import type { Fact } from '../domain/decider.ts';
import {
  evolveHandout,
  type HandoutEvent,
  type HandoutState,
  type IssuedCode,
  initialHandout,
} from '../domain/handout/handout.ts';
import type { HandoutId, TenantId, UserGroupId } from '../domain/ids.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldedColumns, foldRows, saveRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

/** A handout. Times are ISO 8601, UTC. */
export interface HandoutRow {
  readonly handoutId: HandoutId;
  readonly userGroupId: UserGroupId;
  readonly status: 'running' | 'finished';
  /** Codes made so far. */
  readonly issued: number;
  readonly expiresAt: string;
  readonly requestedAt: string;
}

type Existing = Exclude<HandoutState, { status: 'none' }>;

export const handoutsProjection: Projection = {
  name: 'handouts',
  version: 1,
  categories: ['handout'],
  tables: [
    {
      name: 'handouts',
      columns: `handout_id ${key} not null, status text not null, ${foldedColumns},
        primary key (tenant_id, handout_id)`,
    },
    {
      name: 'handout_codes',
      columns: `handout_id ${key} not null, user_id ${key} not null, email text not null,
        enrolment_id ${key} not null, primary key (tenant_id, handout_id, user_id)`,
    },
  ],
  apply: async (tx, events) => {
    await foldRows<Existing>(tx, events, {
      table: 'handouts',
      id: 'handout_id',
      evolve: (state, event) =>
        evolveHandout(state ?? initialHandout, factOf<Fact<HandoutEvent>>(event)) as Existing,
      columns: ({ status }) => ({ status }),
    });
    await saveRows(
      tx,
      'handout_codes',
      ['handout_id', 'user_id'],
      events
        .filter(({ type }) => type === 'HandoutCodesIssued')
        .flatMap(({ tenantId, entityId, data }) =>
          (data as { codes: IssuedCode[] }).codes.map(({ userId, email, enrolmentId }) => ({
            tenant_id: tenantId,
            handout_id: entityId,
            user_id: userId,
            email,
            enrolment_id: enrolmentId,
          })),
        ),
    );
  },
};

const columns = columnsOf<HandoutRow>({
  handoutId: 'handout_id',
  userGroupId: `state->>'userGroupId'`,
  status: 'status',
  issued: `(state->>'issued')::int`,
  expiresAt: `state->>'expiresAt'`,
  requestedAt: `state->>'requestedAt'`,
});

/** One handout of the tenant. */
export const findHandout = (
  sql: Sql,
  tenantId: TenantId,
  handoutId: HandoutId,
): Promise<HandoutRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<HandoutRow[]>`
      select ${tx.unsafe(columns)} from read.handouts where handout_id = ${handoutId}`;
    return row;
  });

/** Handouts, the newest first. */
export const listHandouts = (sql: Sql, tenantId: TenantId, page: PageRequest): Promise<Page<HandoutRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.handouts',
        order: [{ column: 'handout_id', type: 'text' }],
        descending: true,
      },
      page,
    ),
  );

/** For whom a handout made codes, by the user's id. */
export const listHandoutCodes = (
  sql: Sql,
  tenantId: TenantId,
  handoutId: HandoutId,
  page: PageRequest,
): Promise<Page<IssuedCode>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns: columnsOf<IssuedCode>({
          userId: 'user_id',
          email: 'email',
          enrolmentId: 'enrolment_id',
        }),
        from: 'read.handout_codes',
        where: [tx`handout_id = ${handoutId}`],
        order: [{ column: 'user_id', type: 'text' }],
      },
      page,
    ),
  );
