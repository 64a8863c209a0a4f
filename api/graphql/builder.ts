/**
 * The Pothos schema builder: plugins, scalars, scopes and the error types that every mutation can answer with.
 * Called by every api/graphql/<noun>.ts; schema.ts builds.
 */
import SchemaBuilder from '@pothos/core';
import ErrorsPlugin from '@pothos/plugin-errors';
import RelayPlugin from '@pothos/plugin-relay';
import ScopeAuthPlugin from '@pothos/plugin-scope-auth';
import ValidationPlugin from '@pothos/plugin-validation';
import type { Refusal } from '../../domain/refusals.ts';
import { MusterError } from '../../platform/errors.ts';
import { particularsOf } from '../problem.ts';
import type { ApiContext } from './context.ts';
import { guardPlugin } from './guard.ts';
import { typenameOf } from './node-id.ts';
import { jsonOf } from './scalars.ts';
import { type AuthScopes, accessFault } from './scopes.ts';

/** An expected refusal on its way to the caller, as the typed result `Refusal`. */
export class RefusedError extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.refused);
    this.name = 'RefusedError';
    this.refusal = refusal;
  }
}

export const builder = new SchemaBuilder<{
  Context: ApiContext;
  DefaultFieldNullability: false;
  AuthScopes: AuthScopes;
  Scalars: {
    ID: { Input: string; Output: string };
    DateTime: { Input: string; Output: string };
    JSON: { Input: unknown; Output: unknown };
  };
}>({
  defaultFieldNullability: false,
  // The first plugin is the outermost: errors thrown by the guard and by validation become typed results.
  plugins: [ErrorsPlugin, guardPlugin, ValidationPlugin, ScopeAuthPlugin, RelayPlugin],
  scopeAuth: {
    authScopes: ({ credential }) => ({
      public: true,
      signedIn: accessFault(credential, 'signedIn') === undefined,
      ownPassword: accessFault(credential, 'ownPassword') === undefined,
      member: accessFault(credential, 'member') === undefined,
      selfService: accessFault(credential, 'selfService') === undefined,
      permission: (permission) => accessFault(credential, permission) === undefined,
    }),
    unauthorizedError: () => new MusterError('forbidden', 'the credential lacks the scope'),
  },
  errors: {
    defaultTypes: [RefusedError, MusterError],
    directResult: true,
    // Safe, since the guard checks the scope before any argument is looked at.
    unsafelyHandleInputErrors: true,
  },
  validation: {
    validationError: ({ issues }) => {
      const [first] = issues;
      const path = (first?.path ?? [])
        .map((step) => String(typeof step === 'object' ? step.key : step))
        .filter((step, index) => index > 0 || step !== 'input');
      return new MusterError(
        'invalid-input',
        `${path.join('.')} ${first?.message ?? 'is invalid'}`.trim(),
        path.length === 0 ? {} : { field: path.join('.') },
      );
    },
  },
  relay: {
    clientMutationId: 'omit',
    cursorType: 'String',
    // Every id of Muster says by itself what it names: it is its own global id.
    encodeGlobalID: (_typename, id) => String(id),
    decodeGlobalID: (id) => ({ typename: typenameOf(id), id }),
    nodeQueryOptions: false,
    nodesQueryOptions: false,
  },
});

/** The types that the builder knows, for helpers that declare types of their own. */
export type Types = typeof builder extends PothosSchemaTypes.SchemaBuilder<infer T> ? T : never;

builder.queryType({ description: 'Reads. Everything but `viewer` is what the credential’s own tenant has.' });
builder.mutationType({
  description:
    'Changes. Each waits until its own effect can be read; if that takes too long it answers `pending`.',
});
builder.subscriptionType({ description: 'Changes as they happen, by server-sent events.' });

builder.scalarType('DateTime', {
  description: 'ISO 8601 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`.',
  serialize: (value) => value,
  parseValue: (value) => String(value),
});

builder.scalarType('JSON', {
  description: 'Any JSON value; the field that takes one says of which schema.',
  serialize: (value) => value,
  parseValue: (value) => value,
  parseLiteral: (literal, variables) => jsonOf(literal, variables ?? {}),
});

/** What every error says. */
export const ErrorInterface = builder.interfaceRef<Error>('Error').implement({
  description: 'What every error says.',
  fields: (t) => ({
    code: t.string({
      description: 'Stable; see docs/reference/errors.md.',
      resolve: (error) => sayOf(error).code,
    }),
    message: t.string({ description: 'For people.', resolve: (error) => sayOf(error).message }),
    field: t.string({
      nullable: true,
      description: 'The input it concerns, as a dotted path, when it concerns one.',
      resolve: (error) => sayOf(error).field,
    }),
    advice: t.string({ description: 'What to do about it.', resolve: (error) => sayOf(error).advice }),
  }),
});

/** Particulars of an error as Pothos hands it over: behind a proxy, which `instanceof` does not see through. */
const sayOf = (error: Error) => {
  if ('refusal' in error) return particularsOf(error.refusal);
  const { code, message, field } = error as MusterError;
  return particularsOf(new MusterError(code, message, field === undefined ? {} : { field }));
};

builder.objectType(RefusedError, {
  name: 'Refusal',
  description: 'An expected refusal: nothing was changed.',
  interfaces: [ErrorInterface],
});

builder.objectType(MusterError, {
  name: 'Fault',
  description:
    'Invalid input, a missing scope or an outage. `retryable` says whether repeating it later can succeed.',
  interfaces: [ErrorInterface],
  fields: (t) => ({
    retryable: t.exposeBoolean('retryable'),
    requestId: t.string({ resolve: (_error, _args, { requestId }) => requestId }),
  }),
});
