/**
 * Somebody at an identity provider, as accounts and users are bound to it. Called by the facts of accounts, users and
 * identity providers.
 */
import { z } from 'zod';
import { line } from '../text.ts';

/** An issuer identifier (OpenID Connect Discovery 1.0 §3): https, without query, fragment or credentials. */
export const issuerUrl = z
  .url({ protocol: /^https$/ })
  .max(300)
  .refine((url) => !/[?#@]/.test(url), 'has no query, fragment or credentials')
  .refine((url) => !/[\s\p{Cc}]/u.test(url), 'contains a blank');

/** What the provider calls somebody; it never gives it to another one (OpenID Connect Core 1.0 §2). */
export const subject = line(255);

export const identity = z.strictObject({ issuer: issuerUrl, subject });
export type Identity = z.infer<typeof identity>;

/**
 * Whether somebody who is bound to `bound` may be bound to `wanted`: to nobody else of the same provider. What was
 * bound at another provider no longer counts: the tenant has changed over.
 */
export const mayBind = (bound: Identity | null, wanted: Identity): boolean =>
  bound === null || bound.issuer !== wanted.issuer || bound.subject === wanted.subject;
