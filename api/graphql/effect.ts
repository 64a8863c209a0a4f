/**
 * Carries out a mutation: one command through the write side, then a bounded wait until its effect can be read.
 * Called by the mutations of every api/graphql/<noun>.ts.
 */
import type { ObjectRef } from '@pothos/core';
import type { Decider } from '../../domain/decider.ts';
import type { TenantId } from '../../domain/ids.ts';
import { isRefusal, type Refusal } from '../../domain/refusals.ts';
import type { Cause, Handled } from '../../platform/handle.ts';
import type { Sql } from '../../platform/sql.ts';
import { actorOf } from '../credentials.ts';
import { builder, RefusedError, type Types } from './builder.ts';
import { type ApiContext, signedIn } from './context.ts';

/** Any event of any aggregate. */
export type AnyEvent = { readonly type: string; readonly data: unknown };

/** What every mutation answers besides what it changed. */
export interface Effect {
  /** True when the effect was stored, but could not be read yet when the answer was due. */
  readonly pending: boolean;
  /** Log position of the effect; null when nothing had to change. */
  readonly position: string | null;
}

export const EffectInterface = builder.interfaceRef<Effect>('Effect').implement({
  description: 'What every mutation answers besides what it changed.',
  fields: (t) => ({
    pending: t.exposeBoolean('pending', {
      description: 'True: the change is stored for good, but is not visible in queries yet.',
    }),
    position: t.exposeString('position', {
      nullable: true,
      description: 'Position of the change in the log; null when nothing had to change.',
    }),
  }),
});

/** The cause of what the caller does in this request. */
export const causeOf = (context: ApiContext): Cause => ({
  actor: actorOf(signedIn(context)),
  commandId: context.requestId,
});

/** Throws a refusal, to be answered as the typed result. */
export const refuseIf = (refusal: Refusal | undefined): void => {
  if (refusal) throw new RefusedError(refusal);
};

/** Sends a command to an aggregate of `tenantId`, by default the account's own; a refusal is thrown. */
export const act = async <State, Command, Event extends AnyEvent>(
  context: ApiContext,
  decider: Decider<State, Command, Event>,
  id: string,
  command: Command | ((now: string) => Command | Promise<Command>),
  tenantId: TenantId = signedIn(context).tenantId,
): Promise<Handled<State, Event>> => {
  const handled = await context.deps.handler.handle(decider, { tenantId, id }, command, causeOf(context));
  if (isRefusal(handled)) throw new RefusedError(handled);
  return handled;
};

/** Folds an aggregate of the account's own tenant as it is now: another tenant's id finds nothing. */
export const stateOf = async <State, Command, Event extends AnyEvent>(
  context: ApiContext,
  decider: Decider<State, Command, Event>,
  id: string,
): Promise<State> => {
  const { tenantId } = signedIn(context);
  return (await context.deps.handler.load(decider, { tenantId, id })).state;
};

/** Waits, at most `config.mutationWaitMs`, until the last of what was done can be read. */
export const settle = async (
  context: ApiContext,
  ...done: readonly { readonly position: bigint | undefined }[]
): Promise<Effect> => {
  const last = done.reduce<bigint | undefined>(
    (latest, { position }) =>
      position !== undefined && (latest === undefined || position > latest) ? position : latest,
    undefined,
  );
  if (last === undefined) return { pending: false, position: null };
  const visible = await context.waiter.reached(last, context.config.mutationWaitMs);
  return { pending: !visible, position: last.toString() };
};

/** What a mutation of the entity `id` answers with. */
export interface Changed<Id extends string> extends Effect {
  readonly id: Id;
}

/** Declares `<Name>Payload`: the effect and the entity as it can be read now (null while a creation is pending). */
export const payloadOf = <Id extends string, Row extends object>(
  name: string,
  field: string,
  type: ObjectRef<Types, Row>,
  find: (sql: Sql, tenantId: TenantId, id: Id) => Promise<Row | undefined>,
): ObjectRef<Types, Changed<Id>> =>
  builder.objectRef<Changed<Id>>(`${name}Payload`).implement({
    interfaces: [EffectInterface],
    fields: (t) => ({
      [field]: t.field({
        type,
        nullable: true,
        resolve: (async ({ id }: Changed<Id>, _args: object, context: ApiContext) =>
          (await find(context.deps.sql, signedIn(context).tenantId, id)) ?? null) as never,
      }),
    }),
  });
