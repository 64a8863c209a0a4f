/**
 * The registry of rules of each protocol, in the order in which they are asked. Read by decide.ts; a new rule is one file
 * and one line.
 */
import type { Rule } from '../question.ts';
import type { Space } from '../target.ts';
import { account } from './account.ts';
import { body } from './body.ts';
import { certificate } from './certificate.ts';
import { client } from './client.ts';
import { credential } from './credential.ts';
import { device } from './device.ts';
import { method } from './method.ts';
import { options } from './options.ts';
import { path } from './path.ts';
import { request } from './request.ts';
import { stale } from './stale.ts';
import { traveler } from './traveler.ts';
import { unready } from './unready.ts';
import { user } from './user.ts';
import { validate } from './validate.ts';
import { verdict } from './verdict.ts';
import { wipe } from './wipe.ts';

export const rules: Readonly<Record<Space, readonly Rule[]>> = {
  eas: [
    certificate,
    path,
    method,
    request,
    client,
    options,
    unready,
    stale,
    credential,
    validate,
    body,
    device,
    user,
    wipe,
    verdict,
  ],
  ews: [certificate, method, request, client, unready, stale, credential, body, account],
  traveler: [certificate, method, request, client, unready, stale, traveler],
};
