/**
 * Bounds what one GraphQL document may ask for: levels, aliases, directives and rows. Called by server.ts as a
 * validation rule, so that nothing of a document beyond them is executed.
 */
import {
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  type SelectionSetNode,
  type ValidationContext,
} from 'graphql';
import { maximumPage } from '../../projections/page.ts';
import { defaultPage } from './connection.ts';

/** Bounds of one document. `rows` counts the objects it can make the server read; introspection is free. */
export const documentLimits = {
  characters: 32_768,
  tokens: 2000,
  depth: 10,
  aliases: 15,
  directives: 20,
  rows: 10_000,
} as const;

interface Weight {
  readonly depth: number;
  readonly aliases: number;
  readonly directives: number;
  readonly rows: number;
}

const nothing: Weight = { depth: 0, aliases: 0, directives: 0, rows: 0 };

const sum = (a: Weight, b: Weight): Weight => ({
  depth: Math.max(a.depth, b.depth),
  aliases: a.aliases + b.aliases,
  directives: a.directives + b.directives,
  rows: a.rows + b.rows,
});

/** Rows per page that a field asks for; a variable may hold the most there can be. */
const pageSize = (field: FieldNode): number => {
  const first = field.arguments?.find((argument) => argument.name.value === 'first')?.value;
  if (!first) return defaultPage;
  return first.kind === Kind.INT ? Math.min(Number(first.value), maximumPage) : maximumPage;
};

/** Weighs documents; each fragment once per page size, however often it is spread. */
const openScales = (fragments: ReadonlyMap<string, FragmentDefinitionNode>) => {
  const known = new Map<string, Weight>();

  const ofField = (field: FieldNode, page: number): Weight => {
    const own = { ...nothing, aliases: field.alias ? 1 : 0, directives: field.directives?.length ?? 0 };
    const name = field.name.value;
    if (name === '__schema' || name === '__type') return own;
    if (!field.selectionSet) return { ...own, depth: 1 };
    const inner = ofSelections(field.selectionSet, pageSize(field));
    const times = name === 'edges' || name === 'nodes' ? page : 1;
    return sum(own, { ...inner, depth: inner.depth + 1, rows: times * (1 + inner.rows) });
  };

  const ofFragment = (name: string, page: number): Weight => {
    const key = `${name} ${page}`;
    const weighed = known.get(key);
    if (weighed) return weighed;
    // A fragment that spreads itself is refused by another rule: here it only must not be followed for ever.
    known.set(key, nothing);
    const fragment = fragments.get(name);
    const weight = fragment ? ofSelections(fragment.selectionSet, page) : nothing;
    known.set(key, weight);
    return weight;
  };

  const ofSelections = ({ selections }: SelectionSetNode, page: number): Weight =>
    selections.reduce<Weight>((weight, selection) => {
      if (selection.kind === Kind.FIELD) return sum(weight, ofField(selection, page));
      const directives = { ...nothing, directives: selection.directives?.length ?? 0 };
      const inner =
        selection.kind === Kind.FRAGMENT_SPREAD
          ? ofFragment(selection.name.value, page)
          : ofSelections(selection.selectionSet, page);
      return sum(sum(weight, directives), inner);
    }, nothing);

  return ofSelections;
};

/** Validation rule: each operation stays within the limits; `query-too-complex` otherwise. */
export const limitDocument = (context: ValidationContext) => ({
  Document() {
    const { definitions } = context.getDocument();
    const fragments = new Map(
      definitions.flatMap((definition) =>
        definition.kind === Kind.FRAGMENT_DEFINITION ? [[definition.name.value, definition] as const] : [],
      ),
    );
    const weigh = openScales(fragments);
    for (const definition of definitions) {
      if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
      const weight = weigh(definition.selectionSet, defaultPage);
      for (const [what, most] of Object.entries(documentLimits)) {
        const found = weight[what as keyof Weight];
        if (found === undefined || found <= most) continue;
        context.reportError(
          new GraphQLError(`The query asks for too much at once: ${found} ${what}, at most ${most}`, {
            extensions: { code: 'query-too-complex' },
          }),
        );
      }
    }
  },
});
