/**
 * The mapping from the catalogue of errors to HTTP: every code, and nothing else.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { isInnerFault, problemOf, requestIdOf, sendProblem, statusOf } from '../../api/problem.ts';
import { type RefusalCode, refusals, refuse } from '../../domain/refusals.ts';
import { describeCode, type ErrorCode, type FaultCode, faults, MusterError } from '../../platform/errors.ts';
import { testLog } from '../support/servers.ts';

const faultCodes = Object.keys(faults) as FaultCode[];
const refusalCodes = Object.keys(refusals) as RefusalCode[];

test('every fault and every refusal has an HTTP status of errors', () => {
  assert.ok(faultCodes.length > 15 && refusalCodes.length > 25);
  for (const code of [...faultCodes, ...refusalCodes]) {
    const status = statusOf(code);
    assert.ok(Number.isInteger(status) && status >= 400 && status <= 599, `${code}: ${status}`);
  }
});

test('no code is mapped that the catalogue does not know', () => {
  assert.equal(statusOf('no-such-code' as ErrorCode), undefined);
  assert.deepEqual(
    faultCodes.filter((code) => refusalCodes.includes(code as never)),
    [],
    'a code means one thing',
  );
});

test('a problem says code, title, detail, field, advice and request', () => {
  for (const code of faultCodes) {
    const problem = problemOf(new MusterError(code, 'the particulars', { field: 'name' }), 'r1');
    const { title, advice } = describeCode(code);
    const common = { type: `/errors#${code}`, title, status: statusOf(code), advice, requestId: 'r1' };
    // What goes wrong inside is for the log alone.
    assert.deepEqual(
      problem,
      isInnerFault(code) ? common : { ...common, detail: 'the particulars', field: 'name' },
    );
  }
  for (const code of refusalCodes) {
    const { title, advice } = describeCode(code);
    assert.deepEqual(problemOf(refuse(code, { detail: 'the particulars', field: 'name' }), 'r1'), {
      type: `/errors#${code}`,
      title,
      status: statusOf(code),
      detail: 'the particulars',
      field: 'name',
      advice,
      requestId: 'r1',
    });
    assert.deepEqual(Object.keys(problemOf(refuse(code), 'r1')), [
      'type',
      'title',
      'status',
      'advice',
      'requestId',
    ]);
  }
});

test('whatever else was thrown is internal and says nothing of itself', () => {
  for (const thrown of [new TypeError('secret'), 'secret', undefined, null, { secret: 1 }]) {
    const problem = problemOf(thrown, 'r1');
    assert.equal(problem.status, 500);
    assert.equal(problem.type, '/errors#internal');
    assert.ok(!JSON.stringify(problem).includes('secret'));
  }
});

test('a lost database is an outage, not a bug', () => {
  for (const code of ['ECONNREFUSED', 'CONNECTION_CLOSED', '57P01', '08006', '53300'])
    assert.equal(problemOf(Object.assign(new Error('x'), { code }), 'r1').status, 503, code);
  assert.equal(problemOf(Object.assign(new Error('x'), { code: '42P01' }), 'r1').status, 500);
});

test('it is sent with the headers that belong to it', async () => {
  const errors: Record<string, unknown> = {
    '/401': new MusterError('unauthenticated', 'x'),
    '/405': new MusterError('method-not-allowed', 'x'),
    '/429': new MusterError('too-many-attempts', 'x'),
    '/503': new MusterError('too-busy', 'x'),
    '/404': refuse('device-missing'),
  };
  const server = createServer((req, res) => {
    requestIdOf(res);
    const allow = req.url === '/405' ? { allow: 'GET' } : {};
    const pause = req.url === '/429' ? { retryAfterSeconds: 7 } : {};
    sendProblem(res, errors[req.url as string], { log: testLog, ...allow, ...pause });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const answers = new Map<string, { response: Response; body: Record<string, unknown> }>();
    for (const path of Object.keys(errors)) {
      const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
      answers.set(path, { response, body: (await response.json()) as Record<string, unknown> });
    }
    const headerOf = (path: string, name: string) => answers.get(path)?.response.headers.get(name);
    for (const [path, { response, body }] of answers) {
      assert.equal(response.status, Number(path.slice(1)));
      assert.equal(body['status'], response.status);
      assert.equal(response.headers.get('content-type'), 'application/problem+json');
      assert.equal(response.headers.get('x-request-id'), body['requestId']);
    }
    assert.equal(headerOf('/401', 'www-authenticate'), 'Bearer');
    assert.equal(headerOf('/405', 'allow'), 'GET');
    assert.equal(headerOf('/429', 'retry-after'), '7');
    assert.equal(headerOf('/503', 'retry-after'), '1');
    assert.equal(headerOf('/404', 'retry-after'), null);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
