/**
 * Job: makes an enrolment code for every active member of a user group. Queued by react.ts. Codes and ids follow from
 * the handout and the user, so that a job that is run again makes the same ones.
 */
import { type EnrolmentCommand, enrolmentDecider } from '../domain/enrolment/decide.ts';
import { type HandoutCommand, handoutDecider } from '../domain/handout/decide.ts';
import { type HandoutState, type IssuedCode, mostCodesPerEvent } from '../domain/handout/handout.ts';
import { isRefusal } from '../domain/refusals.ts';
import { derivedId } from '../platform/derived-id.ts';
import { MusterError } from '../platform/errors.ts';
import { handoutCode } from '../platform/handout-code.ts';
import { canonicalCode, hashSecret } from '../platform/new-id.ts';
import { handoutPurpose } from '../platform/sealed-secrets.ts';
import { listActiveMembersAfter } from '../projections/user-groups.ts';
import { causeOf } from './cause.ts';
import { eachOf } from './in-turn.ts';
import type { JobData, JobKind, Parts, RunningJob } from './jobs.ts';
import { untilProjected } from './pages.ts';

const codesAtOnce = 8;

type HandoutJob = RunningJob<JobData['issue-handout']>;
type Requested = Exclude<HandoutState, { status: 'none' }>;

const stateOf = async ({ data }: HandoutJob, { deps }: Parts): Promise<Requested> => {
  const target = { tenantId: data.origin.tenantId, id: data.handoutId };
  const { state } = await deps.handler.load(handoutDecider, target);
  if (state.status === 'none') throw new MusterError('internal', `${data.handoutId} was never requested`);
  return state;
};

const say = async (job: HandoutJob, { deps }: Parts, command: HandoutCommand): Promise<void> => {
  const { origin, handoutId } = job.data;
  const target = { tenantId: origin.tenantId, id: handoutId };
  const cause = causeOf('issue-handout', `${job.id}.${command.type}`, origin);
  const handled = await deps.handler.handle(handoutDecider, target, command, cause);
  if (isRefusal(handled)) throw new MusterError('internal', `${handoutId} refused: ${handled.refused}`);
};

const issue = async (
  job: HandoutJob,
  { deps }: Parts,
  secret: string,
  state: Requested,
  { userId, email }: Omit<IssuedCode, 'enrolmentId'>,
): Promise<IssuedCode> => {
  const { origin, handoutId } = job.data;
  const { platform, ownership, groupId, expiresAt, requestedAt } = state;
  const enrolmentId = derivedId('enr', requestedAt, `${handoutId}/${userId}`);
  const command: EnrolmentCommand = {
    type: 'CreateEnrolment',
    codeHash: hashSecret(canonicalCode(handoutCode(secret, enrolmentId))),
    deviceId: null,
    userEmail: email,
    platform,
    ownership,
    groupId,
    expiresAt,
  };
  const target = { tenantId: origin.tenantId, id: enrolmentId };
  const cause = causeOf('issue-handout', `${job.id}.${userId}`, origin);
  const handled = await deps.handler.handle(enrolmentDecider, target, command, cause);
  if (isRefusal(handled)) throw new MusterError('internal', `${enrolmentId} refused: ${handled.refused}`);
  return { userId, email, enrolmentId };
};

export const issueHandout: JobKind<'issue-handout'> = {
  queue: 'issue-handout',
  concurrency: 2,
  async run(job, parts) {
    const { origin, handoutId } = job.data;
    const { tenantId } = origin;
    const secret = await parts.secrets.get(tenantId, handoutPurpose(handoutId));
    await untilProjected(parts, BigInt(origin.position));
    for (;;) {
      parts.stopping.throwIfAborted();
      const state = await stateOf(job, parts);
      if (state.status === 'finished') return { issued: state.issued };
      const members = await listActiveMembersAfter(
        parts.deps.sql,
        tenantId,
        state.userGroupId,
        state.lastUserId,
        mostCodesPerEvent,
      );
      if (members.length === 0 || secret === null) {
        await say(job, parts, { type: 'FinishHandout' });
        continue;
      }
      const codes: IssuedCode[] = [];
      await eachOf(members, codesAtOnce, async (member) => {
        codes.push(await issue(job, parts, secret, state, member));
      });
      codes.sort((a, b) => (a.userId < b.userId ? -1 : 1));
      await say(job, parts, { type: 'RecordHandoutCodes', from: state.issued, codes });
      await job.progress({ issued: state.issued + codes.length });
    }
  },
};
