/**
 * The GraphQL schema: a new noun is a file beside this one and a line here. Called by server.ts and docs/generate.ts.
 */
import './account.ts';
import './alert.ts';
import './api-key.ts';
import './app.ts';
import './approval.ts';
import './audit.ts';
import './compliance-policy.ts';
import './dead-job.ts';
import './deployment.ts';
import './device.ts';
import './device-changes.ts';
import './directory.ts';
import './enrolment.ts';
import './exchange.ts';
import './group.ts';
import './licence.ts';
import './handout.ts';
import './mail-sighting.ts';
import './identity-provider.ts';
import './import.ts';
import './node.ts';
import './policy.ts';
import './portal.ts';
import './explain-mail.ts';
import './proxy.ts';
import './role.ts';
import './safeguard.ts';
import './passkey.ts';
import './second-factor.ts';
import './session.ts';
import './session-list.ts';
import './sign-in.ts';
import './sign-in-link.ts';
import './support.ts';
import './task-bundle.ts';
import './template.ts';
import './tenant.ts';
import './user.ts';
import './user-group.ts';
import { builder } from './builder.ts';

/** The schema, sorted by name. */
export const schema = builder.toSchema({ sortSchema: true });
