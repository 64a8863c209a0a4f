/**
 * Plans what a template would change in one tenant: pure, from what the tenant has and what was deployed to it before.
 * Called by platform/deploy-template.ts for previews, drift, deployments and new tenants alike, so that all agree.
 */
import type { DeployedItems } from '../tenant/tenant.ts';
import type { ItemKind, TemplateItem } from './content.ts';

/**
 * What happens to an item. `conflicting`: the tenant has another one by that name. `drifted`: the tenant changed it
 * since it was deployed, or had set it by itself; both are left as they are unless overwriting is asked for.
 */
export const itemActions = ['create', 'revise', 'unchanged', 'conflicting', 'drifted'] as const;
export type ItemAction = (typeof itemActions)[number];

/** What the tenant has in the place of an item. */
export interface Present {
  readonly status: 'none' | 'active' | 'retired';
  /** Its content in the shape of the item's value; meaningless while there is none. */
  readonly value: Readonly<Record<string, unknown>>;
  /** Of a setting: nobody has set it yet. */
  readonly unset?: boolean;
}

/** An item as it concerns one tenant: `id` and every id in `value` are the tenant's. */
export interface PlacedItem extends TemplateItem {
  readonly id: string;
}

export interface PlannedItem {
  readonly item: PlacedItem;
  readonly action: ItemAction;
  /** Whether the deployment carries it out. */
  readonly applied: boolean;
  /** Digest of the value to be remembered as deployed; undefined: as before. */
  readonly digest: string | undefined;
}

export interface PlanInput {
  readonly items: readonly PlacedItem[];
  readonly present: ReadonlyMap<string, Present>;
  /** Ids by kind and name, of what the tenant has under names of the template. */
  readonly names: ReadonlyMap<string, string>;
  readonly deployed: DeployedItems;
  readonly overwrite: boolean;
  /** Digest of a JSON value, whatever the order of its keys. */
  readonly digestOf: (value: unknown) => string;
}

/** Key of `names`. */
export const nameKey = (kind: ItemKind, name: string): string => `${kind}/${name}`;

const missing: Present = { status: 'none', value: {} };

const actionOn = (item: PlacedItem, target: string, input: PlanInput): ItemAction => {
  const present = input.present.get(item.key) ?? missing;
  if (present.status === 'none') {
    const holder = input.names.get(nameKey(item.kind, item.name));
    return holder !== undefined && holder !== item.id ? 'conflicting' : 'create';
  }
  const current = input.digestOf(present.value);
  if (current === target) return present.status === 'retired' ? 'drifted' : 'unchanged';
  const deployed = input.deployed[item.key];
  if (present.status === 'retired') return 'drifted';
  if (deployed !== undefined) return current === deployed ? 'revise' : 'drifted';
  // Never recorded as deployed: an item of that id is what an interrupted deployment left, a setting is the tenant's.
  return item.kind === 'setting' && present.unset !== true ? 'drifted' : 'revise';
};

/** Plans every item. What is retired in the tenant stays retired, even when overwriting. */
export const planTemplate = (input: PlanInput): readonly PlannedItem[] =>
  input.items.map((item) => {
    const target = input.digestOf(item.value);
    const action = actionOn(item, target, input);
    const retired = input.present.get(item.key)?.status === 'retired';
    const applied =
      action === 'create' || action === 'revise' || (action === 'drifted' && input.overwrite && !retired);
    return { item, action, applied, digest: applied || action === 'unchanged' ? target : undefined };
  });

/** How many items meet each action. */
export type PlanCounts = Readonly<Record<ItemAction, number>>;

/** Counts a plan. */
export const countPlan = (plan: readonly PlannedItem[]): PlanCounts =>
  Object.fromEntries(
    itemActions.map((action) => [action, plan.filter((planned) => planned.action === action).length]),
  ) as PlanCounts;
