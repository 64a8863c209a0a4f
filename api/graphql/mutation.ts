/**
 * Declares a mutation: its one `input` argument, scope and typed result. Called by every api/graphql/<noun>.ts.
 */
import type { InputFieldMap, InputShapeFromFields, ObjectRef } from '@pothos/core';
import type { Permission } from '../../domain/account/permissions.ts';
import { builder, type Types } from './builder.ts';
import type { ApiContext } from './context.ts';
import type { AuthScopes, ScopeName } from './scopes.ts';

type InputBuilder = PothosSchemaTypes.InputFieldBuilder<Types, 'InputObject'>;

type Guarded = { readonly permission: Permission } | { readonly scope: ScopeName };

const capital = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

/**
 * Declares mutation `name` with `<Name>Input` and the result `<Name>Result`: `type`, `Refusal` or `Fault`. Without
 * `input` it takes no argument. It names either the permission that it needs or one of the looser scopes.
 */
export const mutation = <Fields extends InputFieldMap, Answer extends object>(
  name: string,
  options: Guarded & {
    readonly description: string;
    readonly type: ObjectRef<Types, Answer>;
    readonly input?: (t: InputBuilder) => Fields;
    readonly run: (input: InputShapeFromFields<Fields>, context: ApiContext) => Promise<Answer>;
  },
): void => {
  const { description, type, input, run } = options;
  const authScopes: Partial<AuthScopes> =
    'permission' in options ? { permission: options.permission } : { [options.scope]: true };
  const inputType = input && builder.inputType(`${capital(name)}Input`, { fields: input });
  builder.mutationField(name, (t) =>
    t.field({
      type,
      description,
      authScopes,
      errors: { union: { name: `${capital(name)}Result` } },
      args: inputType ? { input: t.arg({ type: inputType, required: true }) } : {},
      resolve: (_root: object, args: { readonly input?: unknown }, context: ApiContext) =>
        run((args.input ?? {}) as InputShapeFromFields<Fields>, context),
    } as never),
  );
};
