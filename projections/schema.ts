/**
 * Keeps the database in the shape that the registered projections ask for: roles, one schema per version, row-level
 * security on every table, and the views of schema `read` that lead to the version in use. Called by run.ts.
 */
import { MusterError } from '../platform/errors.ts';
import { readerRole, type Sql, type Transaction, transaction } from '../platform/sql.ts';
import { operatorRole } from './operator.ts';
import { type Projection, schemaOf, type Table } from './projection.ts';

/** Channel on which each commit tells how far every read model has come. */
export const projectedChannel = 'muster_projected';

/** How far a version of a projection has come (-1n: nowhere), and whether the views lead to it. */
export interface Checkpoint {
  readonly name: string;
  readonly version: number;
  readonly position: bigint;
  readonly live: boolean;
}

const creating = (role: string): string => `do $$ begin
  if not exists (select from pg_roles where rolname = '${role}') then create role ${role} nologin; end if;
  if not (select rolsuper from pg_roles where rolname = current_user)
    and not exists (
      select from pg_auth_members m
      where m.roleid = '${role}'::regrole and m.member = current_user::regrole
        and coalesce((to_jsonb(m)->>'set_option')::boolean, true))
  then grant ${role} to current_user; end if;
exception when duplicate_object or unique_violation then null; end $$`;

/** Roles belong to the whole cluster: others may be creating the same ones at this moment. */
const roleAttempts = 5;

/** Creates the roles that read. Throws `config-invalid` when the database user may not and nobody did before. */
export const ensureRoles = async (sql: Sql): Promise<void> => {
  for (const role of [readerRole, operatorRole]) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await sql.unsafe(creating(role));
        break;
      } catch (cause) {
        const { code, message } = cause as { code?: string; message: string };
        if (code === '42501') {
          throw new MusterError(
            'config-invalid',
            `DATABASE_URL: its user cannot create the role ${role}; create it (nologin) and grant it to that user`,
            { cause },
          );
        }
        if (attempt >= roleAttempts || !/concurrently updated/.test(message)) throw cause;
      }
    }
  }
};

const createTable = async (tx: Transaction, schema: string, table: Table): Promise<void> => {
  const name = `${schema}.${table.name}`;
  await tx.unsafe(`
    create table ${name} (tenant_id text collate "C" not null, ${table.columns});
    ${(table.indexes ?? []).map((index) => `create index on ${name} ${index};`).join('\n')}
    alter table ${name} enable row level security;
    alter table ${name} force row level security;
    create policy tenant on ${name} for select to ${readerRole}
      using (tenant_id = current_setting('muster.tenant_id', true));
    create policy projector on ${name} to current_user using (true) with check (true);
    grant select on ${name} to ${readerRole};`);
  if (!table.operator) return;
  await tx.unsafe(`
    create policy operator on ${name} for select to ${operatorRole} using (true);
    grant select (${table.operator.columns.join(', ')}) on ${name} to ${operatorRole};`);
};

const createVersion = async (tx: Transaction, projection: Projection): Promise<void> => {
  const schema = schemaOf(projection);
  await tx.unsafe(`
    drop schema if exists ${schema} cascade;
    create schema ${schema};
    grant usage on schema ${schema} to ${readerRole}, ${operatorRole};`);
  for (const table of projection.tables) await createTable(tx, schema, table);
  await tx`
    insert into read.checkpoints (name, version, position, live)
    values (${projection.name}, ${projection.version}, -1, false)
    on conflict (name, version) do update set position = -1, live = false`;
};

/** Drops the views first: readers lock them first too, so neither waits for the other in a circle. */
const dropVersion = async (tx: Transaction, { name, version }: Pick<Projection, 'name' | 'version'>) => {
  const schema = schemaOf({ name, version });
  const views = await tx<{ view: string }[]>`
    select distinct v.relname as view from pg_class v
    join pg_namespace vn on vn.oid = v.relnamespace and vn.nspname = 'read'
    join pg_rewrite w on w.ev_class = v.oid
    join pg_depend d on d.objid = w.oid and d.classid = 'pg_rewrite'::regclass
    join pg_class t on t.oid = d.refobjid
    join pg_namespace tn on tn.oid = t.relnamespace and tn.nspname = ${schema}
    where v.relkind = 'v' order by 1`;
  for (const { view } of views) await tx`drop view read.${tx(view)}`;
  await tx`drop schema if exists ${tx(schema)} cascade`;
  await tx`delete from read.checkpoints where name = ${name} and version = ${version}`;
};

const createView = (view: string, columns: string, from: string, role: string): string => `
  create view read.${view} with (security_invoker = true) as select ${columns} from ${from};
  grant select on read.${view} to ${role};`;

/** Lets the views lead to this version and drops the one they led to. Readers see either all of it or nothing. */
const goLive = async (tx: Transaction, projection: Projection): Promise<void> => {
  const { name, version } = projection;
  const others = await tx<Checkpoint[]>`
    select name, version from read.checkpoints where name = ${name} and version <> ${version}`;
  for (const other of others) await dropVersion(tx, other);
  for (const table of projection.tables) {
    const from = `${schemaOf(projection)}.${table.name}`;
    await tx.unsafe(createView(table.name, '*', from, readerRole));
    if (table.operator) {
      await tx.unsafe(createView(table.operator.view, table.operator.columns.join(', '), from, operatorRole));
    }
  }
  await tx`update read.checkpoints set live = true where name = ${name} and version = ${version}`;
};

const isComplete = async (tx: Transaction, projection: Projection): Promise<boolean> => {
  const names = projection.tables.map((table) => `${schemaOf(projection)}.${table.name}`);
  const [row] = await tx<{ complete: boolean }[]>`
    select bool_and(to_regclass(name) is not null) as complete
    from jsonb_array_elements_text(${tx.json(names)}) as name`;
  return row?.complete === true;
};

const hasViews = async (tx: Transaction, projection: Projection): Promise<boolean> => {
  const names = projection.tables.flatMap(({ name, operator }) => [
    name,
    ...(operator ? [operator.view] : []),
  ]);
  const [row] = await tx<{ complete: boolean }[]>`
    select bool_and(to_regclass('read.' || name) is not null) as complete
    from jsonb_array_elements_text(${tx.json(names)}) as name`;
  return row?.complete === true;
};

/** Puts one projection in place: its present version exists, and the views lead to it unless they lead to another. */
const preparing = async (
  tx: Transaction,
  projection: Projection,
  known: readonly Checkpoint[],
): Promise<void> => {
  const own = known.filter(({ name }) => name === projection.name);
  const present = own.find(({ version }) => version === projection.version);
  const complete = present !== undefined && (await isComplete(tx, projection));
  const live = own.find((row) => row.live);
  // A rebuild that was given up for a newer version.
  for (const row of own) if (!row.live && row !== present) await dropVersion(tx, row);
  if (!complete) await createVersion(tx, projection);
  const serving = live && (live !== present || complete) && (await hasViews(tx, projection));
  if (serving) return;
  if (complete && live === present) await dropViews(tx, projection);
  await goLive(tx, projection);
};

const dropViews = async (tx: Transaction, projection: Projection): Promise<void> => {
  for (const { name, operator } of projection.tables) {
    await tx`drop view if exists read.${tx(name)}`;
    if (operator) await tx`drop view if exists read.${tx(operator.view)}`;
  }
};

/**
 * Creates what is missing and drops what no registered projection uses. A projection whose tables or checkpoint are
 * gone starts again from the beginning of the log. Answers the checkpoint of each registered projection.
 */
export const prepare = (
  sql: Sql,
  projections: readonly Projection[],
): Promise<ReadonlyMap<string, Checkpoint>> =>
  transaction(sql, async (tx) => {
    await tx.unsafe(`
      create schema if not exists read;
      grant usage on schema read to ${readerRole}, ${operatorRole};
      create table if not exists read.checkpoints (
        name text not null, version int not null, position bigint not null, live boolean not null,
        primary key (name, version));`);
    const known = await tx<
      Checkpoint[]
    >`select name, version, position, live from read.checkpoints for update`;
    const registered = new Set(projections.map(({ name }) => name));
    for (const row of known) if (!registered.has(row.name)) await dropVersion(tx, row);
    for (const projection of projections) await preparing(tx, projection, known);
    const rows = await tx<Checkpoint[]>`select name, version, position, live from read.checkpoints`;
    return new Map(
      projections.map(({ name, version }) => [
        name,
        rows.find((row) => row.name === name && row.version === version) as Checkpoint,
      ]),
    );
  });

/** Tells, once the transaction commits, how far all that is read has come. */
export const tellPosition = (tx: Transaction): PromiseLike<unknown> =>
  // Not begun until somebody waits for it: it must follow the update of the checkpoints it tells.
  tx`select pg_notify(${projectedChannel}, min(position)::text) from read.checkpoints where live`;

/** Lets the views lead to versions that have caught up, and drops the versions they replace: in one transaction. */
export const swap = (sql: Sql, projections: readonly Projection[]): Promise<void> =>
  transaction(sql, async (tx) => {
    for (const projection of projections) await goLive(tx, projection);
    await tellPosition(tx);
  });
