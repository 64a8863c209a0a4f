/**
 * The wire contract of the device protocol: every request and reply as a schema, built from the device's own facts.
 * Called by enrol.ts and sync.ts, which parse with it, and by openapi.ts, which publishes it.
 */
import { z } from 'zod';
import { violation } from '../../domain/compliance/verdict.ts';
import { checkInId, pushAddress } from '../../domain/device/device.ts';
import { app, appsDelta, inventory } from '../../domain/device/inventory.ts';
import { requestId } from '../../domain/enrolment/enrolment.ts';
import { deviceId, policyId, taskId } from '../../domain/ids.ts';
import { policyType } from '../../domain/policy/policy.ts';
import { policySettings } from '../../domain/policy/settings.ts';
import { taskTypes } from '../../domain/task-bundle/tasks/index.ts';
import { line, name, platform, time } from '../../domain/text.ts';
import { MusterError } from '../../platform/errors.ts';

/** At most this many apps are known of one device. */
export const appsPerDevice = 5000;

const once = <T>(list: readonly T[], key: (item: T) => string): boolean =>
  list.length < 2 || new Set(list.map(key)).size === list.length;

const apps = appsDelta
  .extend({
    installed: z
      .array(app)
      .max(2000)
      .refine((list) => once(list, ({ id }) => id), 'names an app twice')
      .optional(),
  })
  .describe(
    'Apps that changed since the last acknowledged report. `complete: true` says that `installed` is the whole list.',
  );

/** What a device may report at enrolment and at every check-in. */
const report = {
  inventory: inventory
    .describe('Values that changed since the last acknowledged report; null withdraws one.')
    .optional(),
  apps: apps.optional(),
  push: pushAddress.nullable().describe('Where the device can be woken; null withdraws it.').optional(),
};

/** Body of `POST /device/v1/enroll`. */
export const enrolRequest = z.strictObject({
  code: line(64).describe('The enrolment code; case, hyphens and spaces do not matter.'),
  requestId: requestId.describe('Made by the device, repeated when it repeats the request.'),
  platform,
  name: name.optional(),
  ...report,
});
export type EnrolRequest = z.infer<typeof enrolRequest>;

/** Reply to an enrolment. */
export const enrolReply = z.strictObject({
  deviceId,
  deviceToken: z
    .string()
    .regex(/^muster-device\.ten[0-9a-z]{26}\.dev[0-9a-z]{26}\.[\w-]{43}$/)
    .describe('The credential of the device. Shown here and nowhere else.'),
  tenantName: name,
  nextSyncSeconds: z.int().min(1),
});
export type EnrolReply = z.infer<typeof enrolReply>;

const taskResult = z.strictObject({
  taskId,
  status: z.enum(['completed', 'failed']),
  retry: z.boolean().describe('Of a failure: send the task again later, up to five times.').optional(),
  message: line(2000).optional(),
});

/** Body of `POST /device/v1/sync`: one check-in. */
export const syncRequest = z.strictObject({
  checkInId: checkInId.describe(
    'Made by the device for each check-in, repeated when it repeats the check-in.',
  ),
  ...report,
  taskResults: z
    .array(taskResult)
    .max(100)
    .refine((list) => once(list, (result) => result.taskId), 'names a task twice')
    .optional(),
  appliedPolicies: z
    .array(z.strictObject({ policyId, version: z.int().min(1).max(1_000_000) }))
    .max(20)
    .refine((list) => once(list, (applied) => applied.policyId), 'names a policy twice')
    .describe('Every policy in force on the device.')
    .optional(),
});
export type SyncRequest = z.infer<typeof syncRequest>;

const taskOf = (type: (typeof taskTypes)[number]) =>
  z.strictObject({
    taskId,
    type: z.literal(type.type),
    parameters: type.parameters,
    attempt: z.int().min(1),
    expiresAt: time,
  });

/** Reply to a check-in. */
export const syncReply = z.strictObject({
  tasks: z.array(z.discriminatedUnion('type', taskTypes.map(taskOf) as [ReturnType<typeof taskOf>])),
  policies: z
    .array(z.strictObject({ policyId, policyType, version: z.int().min(1), settings: policySettings }))
    .describe('Assigned policies whose present version the device has not confirmed.'),
  removedPolicies: z
    .array(policyId)
    .describe('Policies among `appliedPolicies` that are not assigned: the device removes them.')
    .optional(),
  compliance: z.strictObject({
    status: z.enum(['compliant', 'non-compliant', 'unchecked']),
    violations: z.array(violation.pick({ rule: true, why: true, since: true })),
  }),
  nextSyncSeconds: z.int().min(1),
  serverTime: time,
  taskResults: z.strictObject({
    accepted: z.array(taskId),
    unknown: z.array(taskId).describe('Results for tasks that this device was never given: drop them.'),
  }),
});

/** A problem details object (RFC 9457 §3). */
export const problem = z.strictObject({
  type: z.string().describe('`/errors#<code>`: the code is the part to act on.'),
  title: z.string(),
  status: z.int(),
  detail: z.string().optional(),
  field: z.string().describe('The input it concerns, as a path such as `apps.installed[0].id`.').optional(),
  advice: z.string(),
  requestId: z.string(),
});

const pathOf = (path: readonly PropertyKey[]): string =>
  path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '')
    .slice(0, 200);

/** Parses a body; throws `invalid-input` that names the first field at fault. */
export const parseBody = <Schema extends z.ZodType>(schema: Schema, body: unknown): z.infer<Schema> => {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue?.code === 'unrecognized_keys') {
    const field = pathOf([...issue.path, issue.keys[0] as string]);
    throw new MusterError('invalid-input', 'the key is unknown', { field });
  }
  const field = pathOf(issue?.path ?? []);
  throw new MusterError('invalid-input', issue?.message ?? 'invalid', field === '' ? {} : { field });
};
