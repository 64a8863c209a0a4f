/**
 * Tables of the event store. Applied by the writer, under its lock, before anything else.
 *
 * Wide columns first and stream names interned keep a row near 90 bytes beside its payload; the three indexes
 * (position, stream and revision, stream name) are all that reads need at 100 million events.
 */
import { usersDdl } from './security/users.ts';

/** Number of the layout below; older ones are brought up to it, newer ones are refused, never guessed at. */
export const layout = 2;

/** Advisory lock that the one writer of a database holds for its whole session. */
export const writerLock = 7_713_002_411;

/** Advisory lock that the one scavenger of a database holds for as long as it works. */
export const scavengeLock = 7_713_002_412;

/** Channel on which a scavenger tells the writer's process up to which position it has removed events. */
export const scavengedChannel = 'event_store_scavenged';

/**
 * A log's own name, for good: backups and restores tell by it an older state of this log from another log. Looked for
 * first, because even an idempotent `alter table` waits for every reader, and a backup reads for long.
 */
export const storeIdDdl = `
do $$ begin
  if not exists (
    select from pg_attribute where attrelid = 'event_store.store'::regclass and attname = 'id' and not attisdropped
  ) then
    alter table event_store.store add column if not exists id uuid not null default gen_random_uuid();
  end if;
end $$;
`;

/**
 * Idempotent DDL, and what brings older layouts up to this one.
 *
 * Layout 2 adds `scavenged`: every removal takes a beginning of a stream, so the revision that comes first now and
 * the number of events removed say all there is to say about the gap.
 */
export const ddl = `
create schema if not exists event_store;

create table if not exists event_store.store (
  only_row boolean primary key default true check (only_row),
  layout integer not null,
  created_at timestamptz not null default now()
);

create table if not exists event_store.streams (
  id bigint primary key,
  name text collate "C" not null unique
);

create table if not exists event_store.events (
  position bigint primary key,
  stream bigint not null,
  revision bigint not null,
  created bigint not null,
  id uuid not null,
  checksum integer not null,
  json boolean not null,
  type text collate "C" not null,
  data bytea not null,
  metadata bytea not null,
  unique (stream, revision)
);

create table if not exists event_store.scavenged (
  stream bigint primary key,
  first bigint not null,
  events bigint not null
);

update event_store.store set layout = 2 where layout = 1;
${storeIdDdl}
${usersDdl}
insert into event_store.store (layout) values (${layout}) on conflict do nothing;
`;
