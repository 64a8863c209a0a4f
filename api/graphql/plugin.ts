/**
 * What Muster adds to GraphQL Yoga: limits on documents, introspection for accounts only, and errors that say what
 * the catalogue says and nothing about the inside. Called by server.ts.
 */
import { type DocumentNode, GraphQLError, parse, visit } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { MusterError } from '../../platform/errors.ts';
import { isInnerFault, particularsOf } from '../problem.ts';
import { RefusedError } from './builder.ts';
import type { ApiContext } from './context.ts';
import { documentLimits, limitDocument } from './limits.ts';

/** What was thrown at the bottom of an error, where that is not graphql's own complaint. */
const originalOf = ({ originalError }: GraphQLError): Error | undefined =>
  originalError instanceof GraphQLError ? originalOf(originalError) : (originalError ?? undefined);

/** The same error as callers may see it; what is wrong inside goes to the log under the request's id. */
const shown = (error: GraphQLError, context: ApiContext): GraphQLError => {
  const { requestId, deps } = context;
  const { nodes, source, positions, path } = error;
  const originalError = originalOf(error);
  // Without an original, graphql itself complains about the caller's document or variables.
  const complaint = originalError === undefined;
  const { code, message, field, advice } = complaint
    ? {
        code: (error.extensions['code'] as string | undefined) ?? 'invalid-input',
        message: error.message,
        field: null,
        advice: null,
      }
    : particularsOf(originalError instanceof RefusedError ? originalError.refusal : originalError);
  if (isInnerFault(code as MusterError['code']))
    deps.log.error({ err: originalError, requestId, path }, 'GraphQL field failed');
  return new GraphQLError(message, {
    nodes: nodes ?? null,
    source: source ?? null,
    positions: positions ?? null,
    path: path ?? null,
    extensions: {
      code,
      ...(field === null ? {} : { field }),
      ...(advice === null ? {} : { advice }),
      requestId,
    },
  });
};

const asksForSchema = (document: DocumentNode): boolean => {
  let asks = false;
  visit(document, {
    Field: ({ name }) => {
      asks ||= name.value === '__schema' || name.value === '__type';
    },
  });
  return asks;
};

const withShownErrors = <Result extends { readonly errors?: readonly GraphQLError[] | undefined }>(
  result: Result,
  context: ApiContext,
): Result =>
  result.errors ? { ...result, errors: result.errors.map((error) => shown(error, context)) } : result;

const isStream = (result: unknown): boolean =>
  typeof result === 'object' && result !== null && Symbol.asyncIterator in result;

/** The plugin. */
export const musterPlugin: Plugin<ApiContext> = {
  onParse({ setParseFn }) {
    setParseFn(((source: string, options?: object) =>
      parse(source, { ...options, maxTokens: documentLimits.tokens })) as never);
  },
  onValidate({ addValidationRule }) {
    addValidationRule(limitDocument as never);
  },
  onExecute({ args, setResultAndStopExecution }) {
    const context = args.contextValue as unknown as ApiContext;
    if (context.credential?.kind !== 'account' && asksForSchema(args.document)) {
      const fault = new MusterError('unauthenticated', 'the schema is shown to accounts');
      setResultAndStopExecution({
        errors: [shown(new GraphQLError(fault.message, { originalError: fault }), context)],
      });
      return undefined;
    }
    return {
      onExecuteDone({ result, setResult }) {
        if (!isStream(result))
          setResult(withShownErrors(result as { errors?: GraphQLError[] }, context) as never);
      },
    };
  },
  onSubscribe({ args }) {
    const context = args.contextValue as unknown as ApiContext;
    return {
      onSubscribeResult({ result, setResult }) {
        if (!isStream(result))
          setResult(withShownErrors(result as { errors?: GraphQLError[] }, context) as never);
        return {
          onNext: ({ result: next, setResult: setNext }) =>
            setNext(withShownErrors(next as { errors?: GraphQLError[] }, context) as never),
        };
      },
    };
  },
};
