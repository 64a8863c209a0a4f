/**
 * Commands and decisions of a template. Called through platform/handle.ts by api/graphql/template.ts.
 */
import { type Decider, type Decision, never } from '../decider.ts';
import { refuse } from '../refusals.ts';
import { same } from '../same.ts';
import { contentFault, type TemplateContent } from './content.ts';
import {
  evolveTemplate,
  initialTemplate,
  type TemplateEvent,
  type TemplateState,
  templateEvents,
} from './template.ts';

export type TemplateCommand =
  | {
      readonly type: 'CreateTemplate';
      readonly name: string;
      readonly description: string | null;
      readonly content: TemplateContent;
    }
  | { readonly type: 'RenameTemplate'; readonly name: string; readonly description: string | null }
  /** `expectedVersion` is the version that the editor saw; another one refuses instead of overwriting. */
  | {
      readonly type: 'ReviseTemplate';
      readonly content: TemplateContent;
      readonly expectedVersion?: number | undefined;
    }
  | { readonly type: 'RetireTemplate' };

/** Decides one command: see the refusals it names. */
export const decideTemplate = (command: TemplateCommand, state: TemplateState): Decision<TemplateEvent> => {
  if (command.type === 'CreateTemplate') {
    const { type: _, ...data } = command;
    if (state.status !== 'none') return same(state.content, command.content) ? [] : refuse('name-taken');
    return contentFault(command.content) ?? [{ type: 'TemplateCreated', data }];
  }
  if (state.status === 'none') return refuse('template-missing', { field: 'templateId' });
  switch (command.type) {
    case 'RenameTemplate': {
      const { name, description } = command;
      return same({ name, description }, { name: state.name, description: state.description })
        ? []
        : [{ type: 'TemplateRenamed', data: { name, description } }];
    }
    case 'ReviseTemplate': {
      if (state.status === 'retired') return refuse('template-retired', { field: 'templateId' });
      const { content, expectedVersion } = command;
      if (same(state.content, content)) return [];
      if (expectedVersion !== undefined && expectedVersion !== state.version)
        return refuse('version-conflict', {
          field: 'expectedVersion',
          detail: `the template is at version ${state.version}`,
        });
      return (
        contentFault(content, state.content) ?? [
          { type: 'TemplateRevised', data: { version: state.version + 1, content } },
        ]
      );
    }
    case 'RetireTemplate':
      return state.status === 'retired' ? [] : [{ type: 'TemplateRetired', data: {} }];
    default:
      return never(command);
  }
};

export const templateDecider: Decider<TemplateState, TemplateCommand, TemplateEvent> = {
  events: templateEvents,
  stateVersion: 1,
  initial: initialTemplate,
  evolve: evolveTemplate,
  decide: decideTemplate,
};
