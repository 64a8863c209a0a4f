/**
 * Declares a mutation: its one `input` argument, scope and typed result. Called by every api/graphql/<noun>.ts.
 */
import type { InputFieldMap, InputShapeFromFields, ObjectRef } from '@pothos/core';
import { builder, type Types } from './builder.ts';
import type { ApiContext } from './context.ts';
import type { ScopeName } from './scopes.ts';

type InputBuilder = PothosSchemaTypes.InputFieldBuilder<Types, 'InputObject'>;

const capital = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

/**
 * Declares mutation `name` with `<Name>Input` and the result `<Name>Result`: `type`, `Refusal` or `Fault`. Without
 * `input` it takes no argument. The scope is `administrator` unless another is named.
 */
export const mutation = <Fields extends InputFieldMap, Answer extends object>(
  name: string,
  options: {
    readonly description: string;
    readonly type: ObjectRef<Types, Answer>;
    readonly scope?: ScopeName;
    readonly input?: (t: InputBuilder) => Fields;
    readonly run: (input: InputShapeFromFields<Fields>, context: ApiContext) => Promise<Answer>;
  },
): void => {
  const { description, type, scope = 'administrator', input, run } = options;
  const inputType = input && builder.inputType(`${capital(name)}Input`, { fields: input });
  builder.mutationField(name, (t) =>
    t.field({
      type,
      description,
      authScopes: { [scope]: true },
      errors: { union: { name: `${capital(name)}Result` } },
      args: inputType ? { input: t.arg({ type: inputType, required: true }) } : {},
      resolve: (_root: object, args: { readonly input?: unknown }, context: ApiContext) =>
        run((args.input ?? {}) as InputShapeFromFields<Fields>, context),
    } as never),
  );
};
