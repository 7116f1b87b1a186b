/**
 * What a request to the front asks for, by its target alone: `/endpoints/<workspace>/<endpoint>/…`. Only paths of the
 * faces by which replicas answer callers go through; their metrics and their model repository do not. Nothing is decoded: what
 * would have to be (an escape, an empty segment, `..`) names nothing that we serve.
 */
import { type Face, faceOf } from '#shared/scoring/host/faults.js';

export interface FrontPath {
  readonly workspace: string;
  readonly endpoint: string;
  /** As the replica is asked, with the query. */
  readonly target: string;
  readonly face: Face;
  /** Runs a model: it is counted, and may be mirrored. All else tells something. */
  readonly scores: boolean;
}

const name = '[a-z0-9][a-z0-9-]{0,62}';
const shape = new RegExp(`^/endpoints/(${name})/(${name})((?:/[A-Za-z0-9._~:@!$&'()*+,;=-]*)*)(\\?[!-~]*)?$`);
const within = /^\/endpoints\/[^/?]*\/[^/?]*(.*)$/;
/** What callers may ask of a replica. */
const served = [
  /^\/$/,
  /^\/score(?:\/[^/]+)?\/?$/,
  /^\/(?:swagger|openapi)\.json$/,
  /^\/v1\/models(?:\/[^/]+)?\/?$/,
  /^\/v2\/?$/,
  /^\/v2\/health\/(?:live|ready)\/?$/,
  /^\/v2\/models\/[^/]+(?:\/.*)?$/,
  /^\/v2\/repository\/index$/,
];
const scoring = /^\/score(?:\/|$)|\/infer$|:predict$/;
const dots = /\/\.{1,2}(?:\/|$)|\/\/|\/v2\/.*\/trace\//;

/** @returns undefined where nothing is served */
export function readFrontPath(url: string): FrontPath | undefined {
  const match = shape.exec(url);
  if (!match) return undefined;
  const [, workspace = '', endpoint = '', rest = '', query = ''] = match;
  const path = rest === '' ? '/' : rest;
  if (dots.test(path) || !served.some((pattern) => pattern.test(path))) return undefined;
  return { workspace, endpoint, target: path + query, face: faceOf(path), scores: scoring.test(path) };
}

/** Whose shape a refusal has, of any target, served or not. */
export function faceAt(url: string): Face {
  return faceOf(within.exec(url)?.[1] ?? '/');
}
