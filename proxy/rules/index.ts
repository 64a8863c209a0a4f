/**
 * The registry of rules, in the order in which they are asked. Read by decide.ts; a new rule is one file and one line.
 */
import type { Rule } from '../question.ts';
import { certificate } from './certificate.ts';
import { credential } from './credential.ts';
import { device } from './device.ts';
import { method } from './method.ts';
import { options } from './options.ts';
import { path } from './path.ts';
import { request } from './request.ts';
import { stale } from './stale.ts';
import { user } from './user.ts';
import { validate } from './validate.ts';
import { verdict } from './verdict.ts';

export const rules: readonly Rule[] = [
  certificate,
  path,
  method,
  request,
  options,
  stale,
  credential,
  validate,
  device,
  user,
  verdict,
];
