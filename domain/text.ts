/**
 * Schemas of the values that several nouns share: text that is safe to store and show, times, platforms.
 * Called by the facts of each noun and by the edges that validate input.
 */
import { z } from 'zod';

const controls = /[\p{Cc}\p{Zl}\p{Zp}]/u;
const loneSurrogate = /\p{Cs}/u;

/** One line of text of 1 to `max` UTF-16 units: no control characters, no lone surrogates, not blank. */
export const line = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((value) => !loneSurrogate.test(value), 'contains a lone surrogate')
    .refine((value) => !controls.test(value), 'contains a control character')
    .refine((value) => value.trim() !== '', 'is blank');

/** A name that people give to things. */
export const name = line(120);

/** ISO 8601 in UTC with milliseconds, the one form in which times are stored. */
export const time = z.iso.datetime({ precision: 3 });

/** E-mail address, lower-case: the identity of people across mail, accounts and enrolments. */
export const email = z.email().max(254).toLowerCase();

/** Platforms that a device can be of. */
export const platforms = ['ios', 'android', 'macos', 'windows'] as const;
export const platform = z.enum(platforms);
export type Platform = z.infer<typeof platform>;

/** Who owns the device. */
export const ownership = z.enum(['corporate', 'personal']);
export type Ownership = z.infer<typeof ownership>;
