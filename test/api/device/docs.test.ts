/** docs/device-rest.md against the code: its commands run, its answers fit, its codes are the document's. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { openApiDocument } from '../../../api/device/openapi.ts';
import { problem, syncReply } from '../../../api/device/wire.ts';
import { statusOf } from '../../../api/problem.ts';
import { startStage } from './stage.ts';

const run = promisify(execFile);
const page = readFileSync(new URL('../../../docs/device-rest.md', import.meta.url), 'utf8');
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(
    (match) => match[1] as string,
  );

const missingTool = await run('bash', ['-c', 'command -v curl && command -v gzip']).then(
  () => false as const,
  () => 'curl, gzip or bash is not installed',
);

test('the commands of the page run as they stand', { skip: missingTool }, async () => {
  const stage = await startStage();
  const folder = mkdtempSync(join(tmpdir(), 'muster-docs-'));
  try {
    const tenantId = await stage.newTenant('Acme');
    const { code } = await stage.newEnrolment(tenantId);
    const commands = blocks('sh');
    assert.equal(commands.length, 3);
    await run('bash', ['-euo', 'pipefail', '-c', commands.join('\n')], {
      cwd: folder,
      env: { ...process.env, MUSTER: `http://127.0.0.1:${stage.port}`, CODE: code },
    });
    const { deviceId } = JSON.parse(readFileSync(join(folder, 'enrolled.json'), 'utf8'));
    const checkIns = (await stage.eventsOf(tenantId, deviceId)).filter(
      (event) => event.type === 'DeviceCheckedIn',
    );
    assert.equal(checkIns.length, 2);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await stage.stop();
  }
});

test('the answers that the page shows fit the protocol', () => {
  const [reply, error, ...more] = blocks('json').map((text) => JSON.parse(text) as unknown);
  syncReply.parse(reply);
  problem.parse(error);
  assert.deepEqual(more, []);
});

test('the page names exactly the codes of the OpenAPI document, with their status, and those of any address', () => {
  const named = [...page.matchAll(/^\| (\d{3}) +\| `([a-z-]+)`/gm)].map(
    ([, status, code]) => `${status} ${code}`,
  );
  const descriptions = Object.values(openApiDocument.paths)
    .flatMap((operations) => Object.values(operations))
    .flatMap(({ responses }) => Object.values(responses as Record<string, { description: string }>));
  const declared = descriptions.flatMap(({ description }) =>
    [...description.matchAll(/`([a-z-]+)`:/g)].map(([, code]) => code as Parameters<typeof statusOf>[0]),
  );
  const expected = new Set([...declared, 'not-found' as const, 'method-not-allowed' as const]);
  assert.deepEqual(named.sort(), [...expected].map((code) => `${statusOf(code)} ${code}`).sort());
});
