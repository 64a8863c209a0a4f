/**
 * What a device route answers with. Yielded by enrol.ts and sync.ts, written to the wire by main.ts.
 */
import type { Refusal } from '../../domain/refusals.ts';

/** A JSON reply, or the refusal to answer with a problem. Faults are thrown. */
export type Answer = { readonly status: 200 | 201; readonly body: unknown } | { readonly refusal: Refusal };
