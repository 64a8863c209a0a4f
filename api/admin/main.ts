/**
 * REST beside GraphQL, for what is too large for it: `/admin/v1/imports` takes files, and tables are downloaded. The
 * tenant is the credential's, always. Called by api/app.ts.
 */
import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import type { Permission } from '../../domain/account/permissions.ts';
import { handoutId, importId, type TenantId } from '../../domain/ids.ts';
import { importKind, importMode } from '../../domain/import/import.ts';
import { line } from '../../domain/text.ts';
import { mostCsvBytes } from '../../platform/csv.ts';
import { MusterError } from '../../platform/errors.ts';
import { addressOf } from '../address.ts';
import { bearerToken } from '../credentials.ts';
import { refuseAccess } from '../graphql/scopes.ts';
import { identify } from '../identify/index.ts';
import { only, type RouteDeclaration } from '../route.ts';
import { browserOf, tokenOf } from '../sign-in/browser.ts';
import type { AdminParts } from './parts.ts';
import { previewImport } from './preview.ts';
import { deviceTable, handoutTable, importTable, sendTable, userTable } from './tables.ts';

/** Every route, and the permissions that its caller needs. */
export const adminRoutes = [
  { methods: ['POST'], path: '/admin/v1/imports', access: ['user.manage', 'device.manage'] },
  { methods: ['GET'], path: '/admin/v1/imports/:id/results.csv', access: ['user.read', 'device.read'] },
  { methods: ['GET'], path: '/admin/v1/exports/users.csv', access: ['user.read'] },
  { methods: ['GET'], path: '/admin/v1/exports/devices.csv', access: ['device.read'] },
  { methods: ['GET'], path: '/admin/v1/handouts/:id/codes.csv', access: ['enrolment.manage'] },
] as const satisfies readonly RouteDeclaration[];

const tenants = new WeakMap<Request, TenantId>();
const tenantOf = (req: Request): TenantId => tenants.get(req) as TenantId;

/** Lets accounts with all the permissions pass, before the body is read; others get the fault. */
const admit =
  (
    { deps, credentials, config, denials }: AdminParts,
    path: string,
    access: readonly Permission[],
  ): RequestHandler =>
  async (req, res, next) => {
    const token = tokenOf(bearerToken(req), browserOf(req, res, config.publicUrl));
    const address = addressOf(req, config.trustedProxies);
    const credential = await identify(deps, credentials, { token, address });
    for (const permission of access)
      refuseAccess({ credential, denials, address }, permission, `${req.method} ${path}`);
    if (credential) tenants.set(req, credential.tenantId);
    next();
  };

const uploadQuery = z.strictObject({
  kind: importKind,
  mode: importMode.default('create'),
  fileName: line(200).nullable().default(null),
  mapping: z
    .string()
    .max(5000)
    .transform((text, issues) => {
      try {
        return z.record(line(64), line(200)).parse(JSON.parse(text));
      } catch {
        issues.addIssue('is no JSON object of texts');
        return z.NEVER;
      }
    })
    .default({}),
});

const idOf = <Schema extends z.ZodType>(schema: Schema, req: Request): z.infer<Schema> => {
  const parsed = schema.safeParse(req.params['id']);
  if (!parsed.success) throw new MusterError('not-found', '');
  return parsed.data;
};

const upload = async ({ deps }: AdminParts, req: Request, res: Response): Promise<void> => {
  const options = uploadQuery.safeParse({ ...req.query });
  if (!options.success) {
    const [issue] = options.error.issues;
    throw new MusterError('invalid-input', issue?.message ?? '', { field: String(issue?.path[0] ?? '') });
  }
  if (!Buffer.isBuffer(req.body)) throw new MusterError('unsupported-media-type', 'send text/csv');
  res.status(201).json(await previewImport(deps, tenantOf(req), options.data, req.body));
};

type Work = (parts: AdminParts, req: Request, res: Response) => Promise<void>;

const work: Readonly<Record<(typeof adminRoutes)[number]['path'], Work>> = {
  '/admin/v1/imports': upload,
  '/admin/v1/imports/:id/results.csv': async (parts, req, res) =>
    sendTable(parts, res, 'results.csv', await importTable(parts, tenantOf(req), idOf(importId, req))),
  '/admin/v1/exports/users.csv': async (parts, req, res) =>
    sendTable(parts, res, 'users.csv', userTable(parts, tenantOf(req))),
  '/admin/v1/exports/devices.csv': async (parts, req, res) =>
    sendTable(parts, res, 'devices.csv', deviceTable(parts, tenantOf(req))),
  '/admin/v1/handouts/:id/codes.csv': async (parts, req, res) =>
    sendTable(parts, res, 'codes.csv', await handoutTable(parts, tenantOf(req), idOf(handoutId, req))),
};

/** Adds the routes. */
export const addAdminRoutes = (app: Express, parts: AdminParts): void => {
  for (const route of adminRoutes) {
    const { methods, path, access } = route;
    const takesBody = (methods as readonly string[]).includes('POST');
    app.all(
      path,
      only(route),
      admit(parts, path, access),
      ...(takesBody ? [express.raw({ limit: mostCsvBytes, type: 'text/csv' })] : []),
      (req: Request, res: Response) => work[path](parts, req, res),
    );
  }
};
