/**
 * Facts and state of a template: what tenants have in common, versioned, defined once in the operator tenant.
 * Decided by decide.ts beside this file; deployed to tenants as domain/deployment/ records.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { line, name } from '../text.ts';
import { type TemplateContent, templateContent } from './content.ts';

export const templateDescription = line(500).nullable();

export const templateEvents = defineEvents('template', {
  TemplateCreated: z.strictObject({ name, description: templateDescription, content: templateContent }),
  TemplateRenamed: z.strictObject({ name, description: templateDescription }),
  TemplateRevised: z.strictObject({ version: z.int().min(2), content: templateContent }),
  TemplateRetired: z.strictObject({}),
});

export type TemplateEvent = EventOf<typeof templateEvents>;

export type TemplateState =
  | { readonly status: 'none' }
  | {
      readonly status: 'active' | 'retired';
      readonly name: string;
      readonly description: string | null;
      /** 1 when created, one more with each revision. */
      readonly version: number;
      readonly content: TemplateContent;
    };

export const initialTemplate: TemplateState = { status: 'none' };

/** Folds one fact into the state. */
export const evolveTemplate = (state: TemplateState, { type, data }: Fact<TemplateEvent>): TemplateState => {
  if (type === 'TemplateCreated') return { status: 'active', version: 1, ...data };
  if (state.status === 'none') return state;
  switch (type) {
    case 'TemplateRenamed':
      return { ...state, ...data };
    case 'TemplateRevised':
      return { ...state, ...data };
    case 'TemplateRetired':
      return { ...state, status: 'retired' };
    default:
      return never(type);
  }
};
