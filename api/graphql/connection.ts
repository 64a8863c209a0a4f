/**
 * Relay connections over the pages of projections/page.ts: forwards only, at most 100 rows.
 * Called by every api/graphql/<noun>.ts.
 */
import type { ObjectRef } from '@pothos/core';
import { z } from 'zod';
import { maximumPage, type Page, type PageRequest } from '../../projections/page.ts';
import { builder, type Types } from './builder.ts';

const first = z.int().min(1).max(maximumPage);
/** Cursors are opaque; a longer one is none of ours. */
const after = z.string().max(2000);

/** Rows per page unless the caller says otherwise. */
export const defaultPage = 20;

/** `first` (1 to 100) and `after` (a cursor of an earlier page). */
export const pageArgs = builder.args((t) => ({
  first: t.int({ required: true, defaultValue: defaultPage, validate: first, description: '1 to 100.' }),
  after: t.string({ validate: after, description: 'A cursor of an earlier page.' }),
}));

/** The page that the arguments ask for. */
export const pageOf = (args: { first: number; after?: string | null | undefined }): PageRequest => ({
  first: args.first,
  after: args.after ?? null,
});

/** What a connection is made of. */
export type Connection<Row> = Page<Row>;

const PageInfo = builder.objectRef<Page<unknown>>('PageInfo').implement({
  fields: (t) => ({
    hasNextPage: t.exposeBoolean('hasNextPage'),
    hasPreviousPage: t.boolean({ description: 'Always false: pages go forwards.', resolve: () => false }),
    startCursor: t.string({ nullable: true, resolve: ({ cursors }) => cursors[0] ?? null }),
    endCursor: t.string({ nullable: true, resolve: ({ cursors }) => cursors.at(-1) ?? null }),
  }),
});

/** Declares the connection of a node type: `<Name>Connection` with `<Name>Edge`. */
export const connectionOf = <Row extends object>(
  name: string,
  node: ObjectRef<Types, Row>,
): ObjectRef<Types, Page<Row>> => {
  const Edge = builder.objectRef<{ readonly cursor: string; readonly node: Row }>(`${name}Edge`).implement({
    fields: (t) => ({
      cursor: t.exposeString('cursor'),
      node: t.field({ type: node, resolve: (edge) => edge.node as never }),
    }),
  });
  return builder.objectRef<Page<Row>>(`${name}Connection`).implement({
    fields: (t) => ({
      edges: t.field({
        type: [Edge],
        resolve: ({ rows, cursors }) =>
          rows.map((row, index) => ({ cursor: cursors[index] ?? '', node: row })),
      }),
      nodes: t.field({ type: [node], resolve: ({ rows }) => [...rows] as never }),
      pageInfo: t.field({ type: PageInfo, resolve: (page) => page }),
    }),
  });
};
