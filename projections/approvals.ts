/**
 * Read model of what waits for the approval of a second administrator, and of what became of it.
 * Called by api/graphql/approval.ts.
 */
import type { Fact } from '../domain/decider.ts';
import type { ApprovalId, TenantId } from '../domain/ids.ts';
import type { Operation, SafeguardEvent } from '../domain/safeguard/safeguard.ts';
import type { Actor, StoredEvent } from '../platform/event-store.ts';
import { asTenant, type Sql } from '../platform/sql.ts';
import { factOf, foldEntities, foldedColumns, saveRows } from './fold.ts';
import { columnsOf, type Page, type PageRequest, readPage } from './page.ts';
import { key, type Projection } from './projection.ts';

/** Where an approval stands; one that is open after `expiresAt` can be decided no more. */
export const approvalStatuses = ['open', 'granted', 'refused', 'carried-out'] as const;
export type ApprovalStatus = (typeof approvalStatuses)[number];

/** A request for approval. Times are ISO 8601, UTC. */
export interface ApprovalRow {
  readonly approvalId: ApprovalId;
  readonly status: ApprovalStatus;
  /** Devices it concerns, as counted when it was asked for. */
  readonly devices: number;
  readonly operation: Operation;
  readonly requestedBy: Actor;
  readonly requestedAt: string;
  readonly expiresAt: string;
  /** null while nobody has decided. */
  readonly decidedBy: Actor | null;
  readonly decidedAt: string | null;
  /** Why it was refused. */
  readonly reason: string | null;
}

type State = Omit<ApprovalRow, 'approvalId'> & { readonly position: string };

const evolve = (state: State | undefined, event: StoredEvent): State => {
  const { type, data } = factOf<Fact<SafeguardEvent>>(event);
  const { actor } = event.metadata;
  const decided = { decidedBy: actor, decidedAt: event.at };
  if (type === 'ApprovalRequested') {
    const { devices, operation, expiresAt } = data;
    return {
      status: 'open',
      devices,
      operation,
      requestedBy: actor,
      requestedAt: event.at,
      expiresAt,
      decidedBy: null,
      decidedAt: null,
      reason: null,
      position: event.position.toString(),
    };
  }
  const known = state as State;
  if (type === 'ApprovalGranted') return { ...known, status: 'granted', ...decided };
  if (type === 'ApprovalRefused') return { ...known, status: 'refused', reason: data.reason, ...decided };
  return type === 'ApprovalCarriedOut' ? { ...known, status: 'carried-out' } : known;
};

const relevant = new Set(['ApprovalRequested', 'ApprovalGranted', 'ApprovalRefused', 'ApprovalCarriedOut']);

export const approvalsProjection: Projection = {
  name: 'approvals',
  version: 1,
  categories: ['safeguard'],
  tables: [
    {
      name: 'approvals',
      columns: `approval_id ${key} not null, status text not null, position bigint not null, ${foldedColumns},
        primary key (tenant_id, approval_id)`,
      indexes: ['(tenant_id, position, approval_id)', '(tenant_id, status, position, approval_id)'],
    },
  ],
  async apply(tx, events) {
    const folded = await foldEntities<State>(
      tx,
      events.filter(({ type }) => relevant.has(type)),
      {
        table: 'approvals',
        keys: ['approval_id'],
        keysOf: ({ data }) => [(data as { approvalId: string }).approvalId],
        evolve,
      },
    );
    await saveRows(
      tx,
      'approvals',
      ['approval_id'],
      folded.map(({ tenantId, keys, state, last }) => ({
        tenant_id: tenantId,
        approval_id: keys[0],
        status: state.status,
        position: state.position,
        revision: last.revision.toString(),
        state,
      })),
    );
  },
};

const columns = columnsOf<ApprovalRow>({
  approvalId: 'approval_id',
  status: 'status',
  devices: `(state->>'devices')::int`,
  operation: `state->'operation'`,
  requestedBy: `state->'requestedBy'`,
  requestedAt: `state->>'requestedAt'`,
  expiresAt: `state->>'expiresAt'`,
  decidedBy: `nullif(state->'decidedBy', 'null')`,
  decidedAt: `state->>'decidedAt'`,
  reason: `state->>'reason'`,
});

/** One approval of the tenant. */
export const findApproval = (
  sql: Sql,
  tenantId: TenantId,
  approvalId: ApprovalId,
): Promise<ApprovalRow | undefined> =>
  asTenant(sql, tenantId, async (tx) => {
    const [row] = await tx<ApprovalRow[]>`
      select ${tx.unsafe(columns)} from read.approvals where approval_id = ${approvalId}`;
    return row;
  });

/** Approvals, the newest first; only those of one status when it is given. */
export const listApprovals = (
  sql: Sql,
  tenantId: TenantId,
  status: ApprovalStatus | undefined,
  page: PageRequest,
): Promise<Page<ApprovalRow>> =>
  asTenant(sql, tenantId, (tx) =>
    readPage(
      tx,
      {
        columns,
        from: 'read.approvals',
        where: status === undefined ? [] : [tx`status = ${status}`],
        descending: true,
        order: [
          { column: 'position', type: 'bigint' },
          { column: 'approval_id', type: 'text' },
        ],
      },
      page,
    ),
  );
