/** Specifications of the import decider. */
import { test } from 'node:test';
import { importDecider } from '../../../domain/import/decide.ts';
import type { RowResult } from '../../../domain/import/import.ts';
import { casesOf } from '../../support/given.ts';
import { digestOf } from '../../support/ids.ts';

const data = {
  kind: 'users',
  mode: 'create',
  fileName: 'people.csv',
  digest: digestOf('a'),
  rows: 2,
} as const;
const requested = { type: 'ImportRequested', data } as const;
const failed: RowResult = {
  row: 2,
  outcome: 'failed',
  entityId: null,
  column: 'email',
  code: 'invalid-input',
  detail: 'is empty',
};
const created: RowResult = {
  ...failed,
  row: 3,
  outcome: 'created',
  entityId: 'usr',
  column: null,
  code: null,
};
const results: RowResult[] = [failed, created];
const done = { type: 'ImportRowsDone' as const, data: { from: 0, results } };
const finished = {
  type: 'ImportFinished',
  data: { counts: { created: 1, updated: 0, skipped: 0, failed: 1 } },
} as const;
const missing = { refused: 'import-missing', field: 'importId' } as const;

const cases = casesOf(importDecider, {
  RequestImport: {
    accepts: [{ given: [], when: { type: 'RequestImport', ...data }, events: [requested] }],
    refuses: 'a second request for the same file is a repetition',
  },
  RecordImportRows: {
    accepts: [
      {
        given: [requested],
        when: { type: 'RecordImportRows', from: 0, results: [failed, created] },
        events: [done],
      },
    ],
    refuses: [{ given: [], when: { type: 'RecordImportRows', from: 0, results: [failed] }, ...missing }],
  },
  FinishImport: {
    accepts: [{ given: [requested, done], when: { type: 'FinishImport' }, events: [finished] }],
    refuses: [{ given: [], when: { type: 'FinishImport' }, ...missing }],
  },
  AbandonImport: {
    accepts: [
      {
        given: [requested],
        when: { type: 'AbandonImport', reason: 'the file is gone' },
        events: [{ type: 'ImportAbandoned', data: { reason: 'the file is gone' } }],
      },
    ],
    refuses: [{ given: [], when: { type: 'AbandonImport', reason: 'x' }, ...missing }],
  },
});

for (const [name, run] of cases) test(name, run);
