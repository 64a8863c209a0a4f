/**
 * Checks the import rules of docs/adr/0001 with dependency-cruiser and refuses to be green on nothing.
 * Called by `npm run boundaries` and by the test of the same name.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cruise, type ICruiseResult, type IForbiddenRuleType } from 'dependency-cruiser';

/** npm runs scripts in the folder of the package; a compiled copy of this module is elsewhere. */
const root = process.cwd();
const layers = ['domain', 'platform', 'projections', 'api', 'workers', 'proxy', 'embedded', 'cli'] as const;
const above = (folders: readonly string[]) => `^(${folders.join('|')})/`;
const forbid = (name: string, from: string, to: string, comment: string): IForbiddenRuleType => ({
  name,
  comment,
  severity: 'error',
  from: { path: from },
  to: { path: to },
});

const rules: IForbiddenRuleType[] = [
  { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
  {
    name: 'domain-is-pure',
    comment: 'domain imports nothing but itself and zod: no npm package, no node: module',
    severity: 'error',
    from: { path: '^domain/' },
    to: { pathNot: ['^domain/', '^node_modules/zod/'] },
  },
  forbid('platform-below', '^platform/', above(layers.slice(2)), 'platform knows domain only'),
  forbid(
    'projections-below',
    '^projections/',
    above(layers.slice(3)),
    'projections know platform and domain',
  ),
  forbid(
    'projections-facts-only',
    '^projections/',
    '^domain/.*decide\\.ts$',
    'projections read facts, never decide',
  ),
  forbid(
    'api-alone',
    '^api/',
    above(['workers', 'proxy', 'embedded', 'cli']),
    'processes never import each other',
  ),
  forbid(
    'workers-alone',
    '^workers/',
    above(['api', 'proxy', 'embedded', 'cli']),
    'processes never import each other',
  ),
  forbid(
    'proxy-alone',
    '^proxy/',
    above(['api', 'workers', 'embedded', 'cli', 'projections']),
    'proxy reaches the server over its feed',
  ),
  forbid(
    'embedded-servers',
    '^embedded/',
    above(['domain', 'projections', 'api', 'workers', 'proxy', 'cli']),
    'embedded servers know no domain',
  ),
  forbid(
    'nobody-imports-tests',
    above(layers),
    above(['test', 'bench', 'docs', 'console']),
    'product code stands alone',
  ),
];

/** What is read as a module: an entry point may have to run before anything compiles TypeScript. */
const isModule = (path: string): boolean => /\.(ts|mjs)$/.test(path);

/** Result of one check: how many modules there are, which of them were not seen, and what broke a rule. */
export const checkBoundaries = async (): Promise<{
  expected: number;
  unseen: string[];
  violations: string[];
}> => {
  const sources = layers.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter(isModule)
      .map((path) => `${folder}/${path.replaceAll('\\', '/')}`),
  );
  const result = await cruise([...layers], {
    baseDir: root,
    validate: true,
    ruleSet: { forbidden: rules },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  });
  const output = result.output as ICruiseResult;
  // By name: a number is also reached when one is missing and another, that nobody expected, is there.
  const seen = new Set(output.modules.map(({ source }) => source));
  return {
    expected: sources.length,
    unseen: sources.filter((source) => !seen.has(source)),
    violations: output.summary.violations.map((v) => `${v.rule.name}: ${v.from} -> ${v.to}`),
  };
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { expected, unseen, violations } = await checkBoundaries();
  for (const violation of violations) console.error(violation);
  for (const source of unseen) console.error(`${source} was not looked at`);
  const blind = unseen.length > 0 || expected < 20;
  console.log(`${expected - unseen.length} of ${expected} modules checked, ${violations.length} violations`);
  process.exit(blind || violations.length > 0 ? 1 : 0);
}
