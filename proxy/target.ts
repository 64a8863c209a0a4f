/**
 * Which of the protocols a request target belongs to, and what it says: ActiveSync, Autodiscover, EWS and Traveler each
 * have paths of their own, the latter two only when the instance serves them. Called by gate.ts; pure.
 */
import { autodiscoverForm } from './autodiscover.ts';
import type { InstanceConfig } from './config.ts';
import { type EasRequest, easPath, readTarget, type Unreadable } from './eas.ts';
import { ewsPath } from './ews.ts';
import { isTravelerPath, readTraveler, travelerEasPath } from './traveler.ts';

/** A protocol whose requests are decided by rules and forwarded. */
export type Space = 'eas' | 'ews' | 'traveler';

/** One request target, understood. */
export type Target =
  /** Answered by the proxy itself. */
  | { readonly space: 'autodiscover'; readonly form: 'xml' | 'json'; readonly query: string }
  | {
      readonly space: Space;
      /** What rules look at; of EWS and Traveler requests only the query and, if there is one, the device id. */
      readonly request: EasRequest | Unreadable;
      /** Path at the mail server. */
      readonly path: string;
    };

const blank: EasRequest = {
  form: 'none',
  version: null,
  command: null,
  deviceId: null,
  aliases: [],
  deviceType: null,
  queryUser: null,
  query: '',
};

/** Understands the target of a request to this instance. Never throws. */
export const readSpace = (
  method: string,
  target: string,
  { ews, traveler, backend }: Pick<InstanceConfig, 'ews' | 'traveler' | 'backend'>,
): Target => {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  // As nearly all do, in just this spelling; the others are then not worth a comparison.
  if (path === easPath) return easTarget(method, target, backend.url);
  const query = mark < 0 ? '' : target.slice(mark);
  const form = autodiscoverForm(path);
  if (form !== null) return { space: 'autodiscover', form, query: query.slice(1) };
  if (ews.enabled && path.toLowerCase() === ewsPath.toLowerCase()) return ewsTarget(query);
  if (traveler && isTravelerPath(path)) return travelerTarget(method, target, path, query);
  return easTarget(method, target, backend.url);
};

const easTarget = (method: string, target: string, { pathname }: URL): Target => ({
  space: 'eas',
  request: readTarget(method, target),
  path: pathname === '/' ? easPath : pathname,
});

const ewsTarget = (query: string): Target => ({
  space: 'ews',
  request: query === '' ? blank : { unreadable: 'query', problem: 'EWS has no query' },
  path: ewsPath,
});

const travelerTarget = (method: string, target: string, path: string, query: string): Target => {
  const eas = travelerEasPath(path);
  if (eas !== null) return { space: 'eas', request: readTarget(method, `${easPath}${query}`), path: eas };
  const read = readTraveler(target);
  return typeof read === 'string'
    ? { space: 'traveler', request: { unreadable: 'query', problem: read }, path }
    : {
        space: 'traveler',
        request: { ...blank, deviceId: read.deviceId, query: read.query },
        path: read.path,
      };
};
