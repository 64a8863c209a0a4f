/**
 * What a template holds: settings, policies, task bundles, compliance policies and groups, each valid by the schema of
 * the real thing. Items name one another by their ids within the template; each tenant gets ids of its own.
 * Called by template.ts, plan.ts and by the edges that validate input.
 */
import { z } from 'zod';
import { complianceSettings } from '../compliance/settings.ts';
import { compliancePolicyId, groupId, policyId, taskBundleId } from '../ids.ts';
import { policyType } from '../policy/policy.ts';
import { policySettings } from '../policy/settings.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { same } from '../same.ts';
import { bundleFault } from '../task-bundle/decide.ts';
import { task } from '../task-bundle/tasks/index.ts';
import { chosenPlatforms, directory, privacy, tenantDescription } from '../tenant/tenant.ts';
import { name, platform } from '../text.ts';

const most = 100;

/** The content of a template. Whatever is absent from `settings` is left alone. */
export const templateContent = z.strictObject({
  settings: z
    .strictObject({
      description: tenantDescription.nullable(),
      platforms: chosenPlatforms,
      privacy,
      directory,
      /** Compliance policy of the template that the tenant itself is put under. */
      compliancePolicyId,
    })
    .partial()
    .default({}),
  policies: z
    .array(
      z.strictObject({
        id: policyId,
        name,
        policyType,
        platforms: z.array(platform).min(1),
        settings: policySettings,
      }),
    )
    .max(most)
    .default([]),
  taskBundles: z
    .array(
      z.strictObject({
        id: taskBundleId,
        name,
        platforms: z.array(platform).min(1),
        tasks: z.array(task).min(1).max(50),
      }),
    )
    .max(most)
    .default([]),
  compliancePolicies: z
    .array(z.strictObject({ id: compliancePolicyId, name, settings: complianceSettings }))
    .max(most)
    .default([]),
  groups: z
    .array(z.strictObject({ id: groupId, name, compliancePolicyId: compliancePolicyId.nullable() }))
    .max(most)
    .default([]),
});
export type TemplateContent = z.infer<typeof templateContent>;

/** Kinds of items in the order in which they are deployed: what is named by others comes first. */
export const itemKinds = ['policy', 'task-bundle', 'compliance-policy', 'group', 'setting'] as const;
export type ItemKind = (typeof itemKinds)[number];

/** One item: `key` is its id within the template, for a setting its name; `value` is all else of it. */
export interface TemplateItem {
  readonly kind: ItemKind;
  readonly key: string;
  readonly name: string;
  readonly value: Readonly<Record<string, unknown>>;
}

const itemsOfKind = (
  kind: ItemKind,
  list: readonly { readonly id: string; readonly name: string }[],
): TemplateItem[] => list.map(({ id, ...value }) => ({ kind, key: id, name: value.name, value }));

/** Every item of a template, in the order of deployment. */
export const itemsOf = (content: TemplateContent): readonly TemplateItem[] => [
  ...itemsOfKind('policy', content.policies),
  ...itemsOfKind('task-bundle', content.taskBundles),
  ...itemsOfKind('compliance-policy', content.compliancePolicies),
  ...itemsOfKind('group', content.groups),
  ...Object.entries(content.settings).flatMap(([key, value]) =>
    value === undefined ? [] : [{ kind: 'setting' as const, key, name: key, value: { value } }],
  ),
];

const anyId = /^(?:pol|bdl|cmp|grp)[0-9a-hjkmnp-tv-z]{26}$/;

/** Every id that a value names, at any depth. */
const idsIn = (value: unknown): readonly string[] => {
  if (typeof value === 'string') return anyId.test(value) ? [value] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(idsIn);
};

/** The value with every id replaced by what `idOf` makes of it. */
export const withIds = <T>(value: T, idOf: (id: string) => string): T => {
  if (typeof value === 'string') return (anyId.test(value) ? idOf(value) : value) as T;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((inner) => withIds(inner, idOf)) as T;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withIds(inner, idOf)])) as T;
};

/** What an item cannot change once it was deployed: another item would be needed. */
const fixed = (value: TemplateItem['value']) => [value['policyType'] ?? null, value['platforms'] ?? null];

const invalid = (detail: string): Refusal => refuse('template-invalid', { field: 'content', detail });

/** Why the content does not fit together, or cannot follow `earlier`; undefined when it does. */
export const contentFault = (content: TemplateContent, earlier?: TemplateContent): Refusal | undefined => {
  const items = itemsOf(content);
  const keys = new Set(items.map(({ key }) => key));
  if (keys.size < items.length) return invalid('an id is given twice');
  const names = new Set(items.map(({ kind, name: called }) => `${kind}/${called}`));
  if (names.size < items.length) return invalid('two items of one kind have the same name');
  for (const { name: called, value } of items) {
    const missing = idsIn(value).find((id) => !keys.has(id));
    if (missing) return invalid(`${called} names ${missing}, which is not in the template`);
  }
  for (const { name: called, tasks, platforms } of content.taskBundles) {
    const fault = bundleFault(tasks, platforms);
    if (fault) return invalid(`${called}: ${fault.detail}`);
  }
  const before = new Map((earlier ? itemsOf(earlier) : []).map((item) => [item.key, item]));
  for (const { kind, key, name: called, value } of items) {
    const known = before.get(key);
    if (kind !== 'setting' && known && !same(fixed(known.value), fixed(value)))
      return invalid(`${called}: type and platforms stay; give a new item a new id`);
  }
  return undefined;
};
