/**
 * Under which names numbers of web services stand in the telemetry store, beside those of devices: a deployment is told
 * of as a device is, with the module of its image, so that both are judged, summed and compared by the same means.
 */
import * as z from 'zod';

const name = '[a-z0-9][a-z0-9-]{0,62}';

/** Of a deployment. */
export const deploymentSourceSchema = z.string().regex(new RegExp(`^${name}/${name}$`), 'must be endpoint/deployment');

/** A device's name, or a deployment. */
export const sourceSchema = z
  .string()
  .regex(new RegExp(`^${name}(?:/${name})?$`), 'must be the name of a device, or a deployment as in fraud/blue');

/** Where a device's name stands otherwise; none has a slash. */
export function sourceOf(endpoint: string, deployment: string): string {
  return `${endpoint}/${deployment}`;
}

/** The word under which a deployment that answers tells how the copies of its requests compared, that `mirrored` got. */
export function mirrorTag(mirrored: string): string {
  return `mirror-${mirrored}`;
}

/** Undefined where it is the name of a device. */
export function deploymentOf(source: string): { readonly endpoint: string; readonly deployment: string } | undefined {
  const slash = source.indexOf('/');
  return slash < 0 ? undefined : { endpoint: source.slice(0, slash), deployment: source.slice(slash + 1) };
}

/** Of all deployments of an endpoint, in the order of texts: from the first on, and before the second. */
export function sourcesOf(endpoint: string): readonly [from: string, before: string] {
  // "0" follows "/".
  return [`${endpoint}/`, `${endpoint}0`];
}
