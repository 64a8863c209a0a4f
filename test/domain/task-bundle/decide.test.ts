/** Specifications of the task bundle decider. */
import { test } from 'node:test';
import { taskBundleDecider } from '../../../domain/task-bundle/decide.ts';
import type { TaskBundleEvent } from '../../../domain/task-bundle/task-bundle.ts';
import type { Task } from '../../../domain/task-bundle/tasks/index.ts';
import { casesOf } from '../../support/given.ts';
import { idOf } from '../../support/ids.ts';

const task = (type: Task['type'], parameters: Record<string, unknown> = {}): Task => ({ type, parameters });
const tasks = [task('lock'), task('refresh')];
const data = { name: 'Lost', platforms: ['android' as const, 'macos' as const], tasks };
const created: TaskBundleEvent = { type: 'TaskBundleCreated', data };
const revised: TaskBundleEvent = { type: 'TaskBundleRevised', data: { version: 2, tasks: [task('lock')] } };
const retired: TaskBundleEvent = { type: 'TaskBundleRetired', data: {} };
const target = { kind: 'device', deviceId: idOf('dev', 1) } as const;
const transfer = { type: 'TransferTaskBundle', transferId: idOf('trf', 1), target } as const;
const field = 'taskBundleId';

const cases = casesOf(taskBundleDecider, {
  CreateTaskBundle: {
    accepts: [{ given: [], when: { type: 'CreateTaskBundle', ...data }, events: [created] }],
    refuses: [
      {
        given: [created],
        when: { type: 'CreateTaskBundle', ...data, tasks: [task('lock')] },
        refused: 'name-taken',
      },
      {
        given: [],
        when: { type: 'CreateTaskBundle', ...data, tasks: [task('wipe'), task('unenrol')] },
        refused: 'bundle-conflict',
        field: 'tasks',
      },
      {
        given: [],
        when: { type: 'CreateTaskBundle', ...data, tasks: [task('reset-passcode')] },
        refused: 'platform-mismatch',
        field: 'tasks',
      },
    ],
  },
  RenameTaskBundle: {
    accepts: [
      {
        given: [created],
        when: { type: 'RenameTaskBundle', name: 'Stolen' },
        events: [{ type: 'TaskBundleRenamed', data: { name: 'Stolen' } }],
      },
    ],
    refuses: [{ given: [], when: { type: 'RenameTaskBundle', name: 'x' }, refused: 'bundle-missing', field }],
  },
  ReviseTaskBundle: {
    accepts: [
      {
        given: [created],
        when: { type: 'ReviseTaskBundle', tasks: [task('lock')], expectedVersion: 1 },
        events: [revised],
      },
    ],
    refuses: [
      { given: [], when: { type: 'ReviseTaskBundle', tasks }, refused: 'bundle-missing', field },
      {
        given: [created, retired],
        when: { type: 'ReviseTaskBundle', tasks: [task('lock')] },
        refused: 'bundle-retired',
        field,
      },
      {
        given: [created, revised],
        when: { type: 'ReviseTaskBundle', tasks, expectedVersion: 1 },
        refused: 'version-conflict',
        field: 'expectedVersion',
      },
      {
        given: [created],
        when: { type: 'ReviseTaskBundle', tasks: [task('unenrol'), task('lock'), task('wipe')] },
        refused: 'bundle-conflict',
        field: 'tasks',
      },
    ],
  },
  RetireTaskBundle: {
    accepts: [{ given: [created], when: { type: 'RetireTaskBundle' }, events: [retired] }],
    refuses: [{ given: [], when: { type: 'RetireTaskBundle' }, refused: 'bundle-missing', field }],
  },
  TransferTaskBundle: {
    accepts: [
      {
        given: [created, revised],
        when: transfer,
        events: [
          {
            type: 'TaskBundleTransferred',
            data: { transferId: idOf('trf', 1), target, version: 2, tasks: [task('lock')] },
          },
        ],
      },
    ],
    refuses: [
      { given: [], when: transfer, refused: 'bundle-missing', field },
      { given: [created, retired], when: transfer, refused: 'bundle-retired', field },
    ],
  },
});

for (const [name, run] of cases) test(name, run);
