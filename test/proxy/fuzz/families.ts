/** Every kind of hostile message, and a mixture of them that a seed makes again. Called by ../fuzz.test.ts. */
import fc from 'fast-check';
import { content } from './content.ts';
import { framing } from './framing.ts';
import { noises } from './noise.ts';
import type { Hostile } from './request.ts';
import { services } from './services.ts';
import { target } from './target.ts';

/** A message that goes for the connection needs one of its own and costs the more time: there are fewer of them. */
const weighted = [...framing, ...target, ...content, ...services, ...noises].map((arbitrary) => {
  const [example] = fc.sample(arbitrary, { seed: 1, numRuns: 1 });
  return { weight: example?.outcome === 'goes-on' ? 3 : 1, arbitrary };
});

/** The text in one piece: Node would otherwise join it when it is sent, which looks like a leak of the proxy. */
const flat = (message: Hostile): Hostile => ({
  ...message,
  bytes: Buffer.from(message.bytes, 'latin1').toString('latin1'),
});

/** `count` messages in the order in which `seed` makes them. */
export const hostiles = (seed: number, count: number): Hostile[] =>
  fc.sample(fc.oneof(...weighted), { seed, numRuns: count }).map(flat);
