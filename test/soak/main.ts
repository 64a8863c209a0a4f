/**
 * `npm run soak`: 100 cycles of kill -9 under load, then the comparison; `-- --cycles N` for more or fewer.
 * Ends with code 1 when anything acknowledged was lost, doubled or moved.
 */
import { parseArgs } from 'node:util';
import { soak } from './soak.ts';

/** The first faults say what went wrong; the rest mostly follow from them. */
const shownFaults = 20;

const { values } = parseArgs({ options: { cycles: { type: 'string', default: '100' } } });
const startedAt = Date.now();
const outcome = await soak(Number(values.cycles), (cycle, victim, acknowledged) => {
  console.log(`${cycle}/${values.cycles}  killed ${victim.padEnd(11)}  ${acknowledged} appends acknowledged`);
});
for (const fault of outcome.faults.slice(0, shownFaults)) console.log(fault);
console.log(
  `${outcome.cycles} kills in ${Math.round((Date.now() - startedAt) / 1000)} s: ${outcome.acknowledged} events acknowledged, ${outcome.repeated} appends repeated, ${outcome.faults.length} lost, doubled or out of order`,
);
process.exit(outcome.faults.length > 0 ? 1 : 0);
