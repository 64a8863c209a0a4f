/**
 * The enrolment codes of a handout follow from its secret: the job that makes them and the download that shows them
 * need not pass them on. Called by workers/issue-handout.ts and api/admin/handouts.ts.
 */
import { createHmac } from 'node:crypto';
import type { EnrolmentId } from '../domain/ids.ts';
import { codeOf } from './new-id.ts';

/** The code of one enrolment of a handout: 80 bits of an HMAC-SHA256 under the handout's secret. */
export const handoutCode = (secret: string, enrolmentId: EnrolmentId): string =>
  codeOf(createHmac('sha256', secret).update(enrolmentId).digest());
