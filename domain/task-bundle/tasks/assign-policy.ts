/**
 * Task: assign a policy; it is done when the device has applied it. Listed in index.ts.
 */
import { z } from 'zod';
import { policyId } from '../../ids.ts';
import { platforms } from '../../text.ts';
import { defineTask } from '../task.ts';

export const assignPolicy = defineTask({
  type: 'assign-policy',
  title: 'Assign policy',
  platforms: platforms,
  parameters: z.strictObject({ policyId }),
});
