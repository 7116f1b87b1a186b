/**
 * Under which names numbers of web services stand in the telemetry store, beside those of devices: a deployment is told
 * of as a device is, with the module of its image, so that both are judged, summed and compared by the same means.
 */

/** Where a device's name stands otherwise; none has a slash. */
export function sourceOf(endpoint: string, deployment: string): string {
  return `${endpoint}/${deployment}`;
}

/** The word under which a deployment that answers tells how the copies of its requests compared, that `mirrored` got. */
export function mirrorTag(mirrored: string): string {
  return `mirror-${mirrored}`;
}
