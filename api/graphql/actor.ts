/**
 * Who caused something, in GraphQL. Called by policy.ts, compliance-policy.ts, task-bundle.ts and audit.ts.
 */
import { accountId } from '../../domain/ids.ts';
import type { Actor } from '../../platform/event-store.ts';
import { findAccount } from '../../projections/accounts.ts';
import { builder } from './builder.ts';
import { signedIn } from './context.ts';
import { ActorKind } from './enums.ts';
import { Account } from './refs.ts';

export const ActorType = builder.objectRef<Actor>('Actor').implement({
  description:
    'Who caused something: an account, a user of the portal, a device, a proxy, or a part of Muster itself.',
  fields: (t) => ({
    kind: t.expose('kind', { type: ActorKind }),
    id: t.exposeString('id'),
    support: t.boolean({
      description: 'True: an operator, by the support access that the tenant granted.',
      resolve: ({ support }) => support === true,
    }),
    account: t.field({
      type: Account,
      nullable: true,
      description: 'Null unless it is an account of this tenant.',
      resolve: async ({ id }, _args, context) => {
        const known = accountId.safeParse(id);
        if (!known.success) return null;
        return (await findAccount(context.deps.sql, signedIn(context).tenantId, known.data)) ?? null;
      },
    }),
  }),
});
