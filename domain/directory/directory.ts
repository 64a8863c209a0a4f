/**
 * Facts and state of a tenant's directory: the LDAP server that its users are looked up in and sign in against. The
 * bind password is never an event. Decided by decide.ts; read by projections/directories.ts. Protocol: RFC 4511.
 */
import { z } from 'zod';
import { defineEvents, type EventOf, type Fact, never } from '../decider.ts';
import { digest } from '../proxy/proxy.ts';
import { line, time } from '../text.ts';

/** `ldaps://host[:port]` or `ldap://host[:port]`, and nothing more: neither credentials nor a path. */
export const directoryUrl = z
  .string()
  .max(300)
  .regex(/^ldaps?:\/\/(\[[0-9a-fA-F:.]{2,45}\]|[a-zA-Z0-9.-]{1,253})(:\d{1,5})?$/, 'ldaps://host:port');

/** A name of an attribute (RFC 4512 section 2.5), without options. */
const attribute = z.string().regex(/^[a-zA-Z][a-zA-Z0-9-]{0,63}$/, 'the name of an attribute');

/** A search filter (RFC 4515) in one pair of brackets; whether it is one is known when it is used. */
const filter = line(1000).refine((text) => /^\(.*\)$/.test(text), 'stands in brackets');

/** Which attribute of an entry is what of a user. */
export const attributeMapping = z.strictObject({
  email: attribute,
  name: attribute,
  /** A lasting id of the entry: `entryUUID` (RFC 4530), or `objectGUID` of Active Directory. */
  guid: attribute,
  externalId: attribute.nullable(),
  department: attribute.nullable(),
  phone: attribute.nullable(),
});
export type AttributeMapping = z.infer<typeof attributeMapping>;

export const directorySettings = z.strictObject({
  /** Tried one after another. */
  urls: z.array(directoryUrl).min(1).max(5),
  /** TLS over ldap:// (RFC 4511 section 4.14). */
  startTls: z.boolean(),
  /** Lets passwords cross the network unencrypted. Never do it. */
  unsafeWithoutTls: z.boolean(),
  /** CA of the server in PEM, when it is not a public one. */
  caCertificate: z
    .string()
    .max(20_000)
    .regex(/-----BEGIN CERTIFICATE-----/, 'a certificate in PEM')
    .nullable(),
  /** SHA-256 of the server's own certificate, hex: no other is talked to. */
  certificateSha256: digest.nullable(),
  baseDns: z.array(line(500)).min(1).max(10),
  /** Who looks up; null: nobody in particular (an anonymous bind). */
  bindDn: line(500).nullable(),
  userFilter: filter,
  /** Attributes that people may type as their name at sign-in. */
  loginAttributes: z.array(attribute).min(1).max(5),
  attributes: attributeMapping,
  /** null: users are not kept in step by themselves. */
  syncIntervalHours: z.int().min(1).max(168).nullable(),
});
export type DirectorySettings = z.infer<typeof directorySettings>;

const count = z.int().min(0);

export const directoryEvents = defineEvents('directory', {
  DirectoryConfigured: z.strictObject({ settings: directorySettings }),
  DirectoryPasswordChanged: z.strictObject({}),
  DirectorySynced: z.strictObject({
    startedAt: time,
    found: count,
    updated: count,
    disabled: count,
  }),
  DirectorySyncFailed: z.strictObject({ startedAt: time, reason: line(300) }),
  DirectoryRemoved: z.strictObject({}),
});

export type DirectoryEvent = EventOf<typeof directoryEvents>;

/** How the last sync went. */
export interface LastSync {
  readonly at: string;
  /** null: it went well. */
  readonly failure: string | null;
}

export type DirectoryState =
  | { readonly status: 'none' }
  | {
      readonly status: 'configured';
      readonly settings: DirectorySettings;
      readonly lastSync: LastSync | null;
      /** When the next sync is due; null: never. */
      readonly syncDueAt: string | null;
    };

export const initialDirectory: DirectoryState = { status: 'none' };

const hourMs = 3_600_000;
const later = (at: string, hours: number | null): string | null =>
  hours === null ? null : new Date(Date.parse(at) + hours * hourMs).toISOString();

/** Folds one fact into the state. */
export const evolveDirectory = (
  state: DirectoryState,
  { type, data, at }: Fact<DirectoryEvent>,
): DirectoryState => {
  if (type === 'DirectoryConfigured') {
    const { settings } = data;
    const lastSync = state.status === 'none' ? null : state.lastSync;
    return { status: 'configured', settings, lastSync, syncDueAt: later(at, settings.syncIntervalHours) };
  }
  if (state.status === 'none') return state;
  const { syncIntervalHours } = state.settings;
  switch (type) {
    case 'DirectoryPasswordChanged':
      return state;
    case 'DirectorySynced':
      return { ...state, lastSync: { at, failure: null }, syncDueAt: later(at, syncIntervalHours) };
    case 'DirectorySyncFailed':
      return { ...state, lastSync: { at, failure: data.reason }, syncDueAt: later(at, syncIntervalHours) };
    case 'DirectoryRemoved':
      return initialDirectory;
    default:
      return never(type);
  }
};
