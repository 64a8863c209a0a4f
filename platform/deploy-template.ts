/**
 * Brings a template to one tenant: what the tenant has, the plan, and the ordinary commands that carry it out.
 * Called by api/ (previews, drift, new tenants) and workers/deploy-template.ts, so that a preview is what happens.
 */
import { createHash } from 'node:crypto';
import { compliancePolicyDecider } from '../domain/compliance-policy/decide.ts';
import type { Decider } from '../domain/decider.ts';
import { groupDecider } from '../domain/group/decide.ts';
import type { TemplateId, TenantId } from '../domain/ids.ts';
import { policyDecider } from '../domain/policy/decide.ts';
import { isRefusal, type Refusal } from '../domain/refusals.ts';
import { same } from '../domain/same.ts';
import { taskBundleDecider } from '../domain/task-bundle/decide.ts';
import { itemsOf, type TemplateContent, withIds } from '../domain/template/content.ts';
import { type PlacedItem, type PlannedItem, type Present, planTemplate } from '../domain/template/plan.ts';
import { type TemplateEvent, templateEvents } from '../domain/template/template.ts';
import { tenantDecider } from '../domain/tenant/decide.ts';
import { type ExistingTenant, operatorTenantId, tenantDefaults } from '../domain/tenant/tenant.ts';
import { idInTenant } from './derived-id.ts';
import { MusterError } from './errors.ts';
import { type EventStore, streamName } from './event-store.ts';
import type { Cause, Handler } from './handle.ts';

/** One version of a template. */
export interface TemplateVersion {
  readonly templateId: TemplateId;
  readonly version: number;
  readonly content: TemplateContent;
}

/** Reads one version of a template from the log. */
export const readTemplateVersion = async (
  store: EventStore,
  templateId: TemplateId,
  version: number,
): Promise<TemplateVersion> => {
  const stream = streamName(templateEvents.category, operatorTenantId, templateId);
  for await (const stored of store.readStream(stream, 0n)) {
    const { type, data } = stored as unknown as TemplateEvent;
    const found = type === 'TemplateCreated' ? 1 : type === 'TemplateRevised' ? data.version : undefined;
    if (found === version && 'content' in data) return { templateId, version, content: data.content };
  }
  throw new MusterError('internal', `${stream} has no version ${version}`);
};

const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, canonical(inner)]),
  );
};

/** SHA-256, hex, of a JSON value whatever the order of its keys. */
export const digestOf = (value: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(canonical(value)))
    .digest('hex');

/** The items of a template as they are in one tenant: with the tenant's ids. */
export const placedItems = (content: TemplateContent, tenantId: TenantId): readonly PlacedItem[] => {
  const idOf = (id: string) => idInTenant(id, tenantId);
  return itemsOf(content).map((item) => ({
    ...item,
    id: item.kind === 'setting' ? item.key : idOf(item.key),
    value:
      item.kind === 'setting'
        ? { value: asSet(withIds(item.value['value'], idOf)) }
        : withIds(item.value, idOf),
  }));
};

type AnyEvent = { readonly type: string; readonly data: unknown };
type AnyState = { readonly status: string };

/** How one kind of item is an aggregate: which fields make its content, and the commands that lead to a content. */
interface Kind {
  readonly decider: Decider<AnyState, unknown, AnyEvent>;
  readonly fields: readonly string[];
  readonly create: (value: Readonly<Record<string, unknown>>) => readonly unknown[];
  readonly change: (value: Readonly<Record<string, unknown>>) => readonly unknown[];
}

const kindOf = (kind: Omit<Kind, 'decider'> & { readonly decider: unknown }): Kind => kind as Kind;

const kinds: Readonly<Record<Exclude<PlacedItem['kind'], 'setting'>, Kind>> = {
  policy: kindOf({
    decider: policyDecider,
    fields: ['name', 'policyType', 'platforms', 'settings'],
    create: (value) => [{ type: 'CreatePolicy', ...value }],
    change: ({ name, settings }) => [
      { type: 'RevisePolicy', settings },
      { type: 'RenamePolicy', name },
    ],
  }),
  'task-bundle': kindOf({
    decider: taskBundleDecider,
    fields: ['name', 'platforms', 'tasks'],
    create: (value) => [{ type: 'CreateTaskBundle', ...value }],
    change: ({ name, tasks }) => [
      { type: 'ReviseTaskBundle', tasks },
      { type: 'RenameTaskBundle', name },
    ],
  }),
  'compliance-policy': kindOf({
    decider: compliancePolicyDecider,
    fields: ['name', 'settings'],
    create: (value) => [{ type: 'CreateCompliancePolicy', ...value }],
    change: ({ name, settings }) => [
      { type: 'ReviseCompliancePolicy', settings },
      { type: 'RenameCompliancePolicy', name },
    ],
  }),
  group: kindOf({
    decider: groupDecider,
    fields: ['name', 'compliancePolicyId'],
    create: ({ name, compliancePolicyId }) => [
      { type: 'CreateGroup', name },
      { type: 'AssignGroupCompliancePolicy', compliancePolicyId },
    ],
    change: ({ name, compliancePolicyId }) => [
      { type: 'RenameGroup', name },
      { type: 'AssignGroupCompliancePolicy', compliancePolicyId },
    ],
  }),
};

/** Lists among settings are sets. */
const asSet = (value: unknown): unknown => (Array.isArray(value) ? [...value].sort() : value);

const presentSetting = (tenant: ExistingTenant, key: string): Present => {
  const value = tenant[key as keyof ExistingTenant] ?? null;
  const initial = tenantDefaults[key as keyof typeof tenantDefaults] ?? null;
  return { status: 'active', value: { value: asSet(value) }, unset: same(asSet(value), asSet(initial)) };
};

const fieldsOf = (state: AnyState, fields: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(fields.map((field) => [field, (state as unknown as Record<string, unknown>)[field]]));

/** How many aggregates of a tenant are read at once. */
const readsAtOnce = 8;

const loadPresent = async (
  handler: Handler,
  tenantId: TenantId,
  tenant: ExistingTenant,
  items: readonly PlacedItem[],
): Promise<Map<string, Present>> => {
  const present = new Map<string, Present>();
  const waiting = items.values();
  const lane = async () => {
    for (const { kind, key, id } of waiting) {
      if (kind === 'setting') present.set(key, presentSetting(tenant, key));
      else {
        const { decider, fields } = kinds[kind];
        const { state } = await handler.load(decider, { tenantId, id });
        const status = state.status as Present['status'];
        present.set(key, { status, value: status === 'none' ? {} : fieldsOf(state, fields) });
      }
    }
  };
  await Promise.all(Array.from({ length: readsAtOnce }, lane));
  return present;
};

/** What a plan is made for. `names`: ids by kind and name (see nameKey) of what the tenant has under such names. */
export interface PlanRequest {
  readonly tenantId: TenantId;
  readonly tenant: ExistingTenant;
  readonly template: TemplateVersion;
  readonly names: ReadonlyMap<string, string>;
  readonly overwrite: boolean;
}

/** Plans what a version of a template would change in a tenant; changes nothing. */
export const planDeployment = async (
  handler: Handler,
  { tenantId, tenant, template, names, overwrite }: PlanRequest,
): Promise<readonly PlannedItem[]> => {
  const items = placedItems(template.content, tenantId);
  const deployed = tenant.templates[template.templateId]?.items ?? {};
  const present = await loadPresent(handler, tenantId, tenant, items);
  return planTemplate({ items, present, names, deployed, overwrite, digestOf });
};

const commandsFor = ({ item, action }: PlannedItem): readonly unknown[] => {
  if (item.kind === 'setting') {
    const { value } = item.value;
    return item.key === 'compliancePolicyId'
      ? [{ type: 'AssignTenantCompliancePolicy', compliancePolicyId: value }]
      : [{ type: 'ConfigureTenant', changes: { [item.key]: value } }];
  }
  const kind = kinds[item.kind];
  return action === 'create' ? kind.create(item.value) : kind.change(item.value);
};

/** The items of a plan that are aggregates of their own, carried out one after another; stops at a refusal. */
export const applyItems = async (
  handler: Handler,
  tenantId: TenantId,
  plan: readonly PlannedItem[],
  cause: Cause,
): Promise<Refusal | undefined> => {
  for (const planned of plan) {
    if (!planned.applied || planned.item.kind === 'setting') continue;
    const { decider } = kinds[planned.item.kind];
    for (const [index, command] of commandsFor(planned).entries()) {
      const commandId = `${cause.commandId}.${planned.item.key}.${index}`;
      const target = { tenantId, id: planned.item.id };
      const handled = await handler.handle(decider, target, command, { ...cause, commandId });
      if (isRefusal(handled)) return handled;
    }
  }
  return undefined;
};

/** The settings of a plan, and the record of what was deployed, on the tenant itself; answers the log position. */
export const applySettings = async (
  handler: Handler,
  { tenantId, tenant, template }: Pick<PlanRequest, 'tenantId' | 'tenant' | 'template'>,
  plan: readonly PlannedItem[],
  cause: Cause,
): Promise<{ readonly position: bigint | undefined } | Refusal> => {
  const settings = plan.filter(({ item, applied }) => applied && item.kind === 'setting');
  const digests = plan.flatMap(({ item, digest }) => (digest === undefined ? [] : [[item.key, digest]]));
  const { templateId, version } = template;
  const items = { ...tenant.templates[templateId]?.items, ...Object.fromEntries(digests) };
  const commands = [
    ...settings.flatMap(commandsFor),
    { type: 'RecordTemplateDeployed', templateId, version, items },
  ];
  let position: bigint | undefined;
  for (const [index, command] of commands.entries()) {
    const handled = await handler.handle(tenantDecider, { tenantId, id: tenantId }, command as never, {
      ...cause,
      commandId: `${cause.commandId}.tenant.${index}`,
    });
    if (isRefusal(handled)) return handled;
    position = handled.position ?? position;
  }
  return { position };
};
