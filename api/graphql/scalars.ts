/**
 * JSON values written as GraphQL literals. Called by builder.ts.
 */
import { GraphQLError, Kind, type ValueNode } from 'graphql';

/** The JSON value of a literal; keys become own properties whatever their name. */
export const jsonOf = (literal: ValueNode, variables: Readonly<Record<string, unknown>>): unknown => {
  switch (literal.kind) {
    case Kind.NULL:
      return null;
    case Kind.STRING:
    case Kind.BOOLEAN:
      return literal.value;
    case Kind.INT:
    case Kind.FLOAT:
      return Number(literal.value);
    case Kind.LIST:
      return literal.values.map((item) => jsonOf(item, variables));
    case Kind.OBJECT:
      return Object.fromEntries(
        literal.fields.map((field) => [field.name.value, jsonOf(field.value, variables)]),
      );
    case Kind.VARIABLE:
      return variables[literal.name.value];
    default:
      throw new GraphQLError('an enum value is not JSON', { nodes: literal });
  }
};
