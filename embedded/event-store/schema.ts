/**
 * Tables of the event store. Applied by the writer, under its lock, before anything else.
 *
 * Wide columns first and stream names interned keep a row near 90 bytes beside its payload; the three indexes
 * (position, stream and revision, stream name) are all that reads need at 100 million events.
 */
import { usersDdl } from './security/users.ts';

/** Number of the layout below; a store of another layout is refused, never guessed at. */
export const layout = 1;

/** Advisory lock that the one writer of a database holds for its whole session. */
export const writerLock = 7_713_002_411;

/** Idempotent DDL. */
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
${usersDdl}
insert into event_store.store (layout) values (${layout}) on conflict do nothing;
`;
